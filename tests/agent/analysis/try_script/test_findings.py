"""What one run shows about files, modules and the network: added by itself inside the folder, a line to add outside."""

from pathlib import Path

import pytest

from agent.analysis.try_script.findings import explained, learn_files, remarks
from agent.analysis.try_script.lengths import Length
from agent.analysis.try_script.tries import Tries, TryOptions
from agent.analysis.try_script.try_script import _Examination
from agent.execution.host import Host
from agent.execution.observing.observed_run import ObservedRun
from agent.execution.observing.observer import FileNotes
from agent.task.init.dependencies import MOST_BYTES
from agent.task.init.host import HostResources
from agent.task.init.script_report import InitOptions, ScriptReport, read_script
from agent.task.init.shortening import Training
from agent.task.init.task_toml import files_of, task_of
from agent.trials.trial import Status


@pytest.fixture
def reading(tmp_path: Path) -> ScriptReport:
    folder = tmp_path / "p"
    (folder / "nets").mkdir(parents=True)
    (folder / "nets" / "a.py").touch()
    (folder / "there.csv").touch()
    (folder / "train.py").write_text("LR = 0.1\nprint('val loss', LR)\n")
    return read_script(folder, InitOptions(), HostResources(4.0, 8.0, 2))


def run(log: str = "", failed: bool = True, **notes: tuple[str, ...]) -> ObservedRun:
    fault = (Status.CRASHED, log.strip().rpartition("\n")[2]) if failed else None
    return ObservedRun(1.0, log, FileNotes(**notes), fault, folder="/tmp/work")


def test_files_and_modules_of_the_folder_are_added(reading: ScriptReport) -> None:
    log = "ModuleNotFoundError: No module named 'nets.a'\n"
    found = learn_files(
        reading, run(log, missing=("/tmp/work/there.csv", "/tmp/work/not.csv", "/srv/x", "/task/train.py"))
    )
    assert found.added == ("there.csv", "nets/")
    assert set(found.reading.needs.frozen) == {"there.csv", "nets/"}
    assert learn_files(found.reading, run(log, missing=("/tmp/work/there.csv",))).added == ()


@pytest.mark.parametrize("path", ["/tmp/work/../../etc/passwd", "/tmp/work/..", "/tmp/workshop/there.csv"])
def test_no_path_of_a_script_leads_out_of_the_folder(reading: ScriptReport, path: str) -> None:
    assert learn_files(reading, run(missing=(path,))).added == ()


def test_a_link_out_of_the_folder_is_not_followed_but_named(reading: ScriptReport, tmp_path: Path) -> None:
    (tmp_path / "far.csv").touch()
    (reading.folder / "data.csv").symlink_to(tmp_path / "far.csv")
    seen = run("No such file or directory: 'data.csv'\n", missing=("/tmp/work/data.csv",))
    assert learn_files(reading, seen).added == ()
    assert 'mounts = [{ source = "data.csv", target = "data.csv" }]' in explained(reading, seen)[-1]


def test_a_file_above_the_folder_gets_its_line(reading: ScriptReport, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").touch()
    seen = run("No such file or directory: '../data/x.csv'\n", missing=("/tmp/data/x.csv",))
    assert 'mounts = [{ source = "../data/x.csv", target = "../data/x.csv" }]' in explained(reading, seen)[-1]


@pytest.mark.parametrize("name", ["id_rsa", "passwd"])
def test_keys_and_system_files_are_never_proposed(
    reading: ScriptReport, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = reading.folder.parent / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id_rsa").touch()
    monkeypatch.setenv("HOME", str(home))
    path = {"id_rsa": str(home / ".ssh" / "id_rsa"), "passwd": "/etc/passwd"}[name]
    seen = run(f"FileNotFoundError: [Errno 2] No such file or directory: '{path}'\n", missing=(path,))
    assert "mounts" not in "\n".join(explained(reading, seen))


def test_a_file_too_large_for_every_trial_is_mounted(reading: ScriptReport) -> None:
    with (reading.folder / "big.bin").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    found = learn_files(reading, run(missing=("/tmp/work/big.bin",)))
    assert found.added == ("big.bin",)
    assert (found.reading.needs.frozen, set(found.reading.needs.mounts)) == ({}, {"big.bin"})


def test_a_folder_that_is_missed_again_is_not_added_again(reading: ScriptReport) -> None:
    seen = run(missing=("/tmp/work/nets",))
    found = learn_files(reading, seen)
    assert found.added == ("nets/",)
    assert learn_files(found.reading, seen).added == ()


def test_a_long_word_of_a_log_is_read_in_one_pass(reading: ScriptReport) -> None:
    log = f"{'.' * 300_000} \nthere.csv: No such file or directory\n"
    assert learn_files(reading, run(log)).added == ("there.csv",)


def test_what_a_script_looks_up_on_its_own_machine_is_no_network(tmp_path: Path, reading: ScriptReport) -> None:
    hosts = ("localhost", "127.0.0.1", "sandbox", "::1", "h.org")
    (tmp_path / "notes").write_text("".join(f'["network", "{host}"]\n' for host in hosts))
    assert FileNotes.load(tmp_path / "notes").network == ("h.org",)
    assert len(explained(reading, run("ValueError: a bug\n"))) == 1


def test_notes_of_a_script_are_data(tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(
        b'["read", "/a"]\nno json\n[1, 2]\n["written", "/b"]\n["missing", "/b"]\n{"x": 1}\n'
    )
    assert FileNotes.load(tmp_path / "notes") == FileNotes(read=("/a",), written=("/b",))
    assert FileNotes.load(tmp_path / "none") == FileNotes()


def test_what_a_run_did_with_files_is_reported() -> None:
    written = ("/tmp/work/out/m.pt", "/tmp/own")
    read = ("/srv/data/x", "/tmp/work/a", "/tmp/own")
    seen = run(failed=False, read=read, written=written, network=("h.org",))
    assert list(remarks(seen)) == [
        "writes beside itself, into a copy that ends with the trial: out/m.pt",
        "reads outside of its folder: /srv/data/x",
        "looks up h.org, but trials have no network",
    ]


def test_no_time_for_a_second_run_is_reported(reading: ScriptReport, tmp_path: Path) -> None:
    task = task_of(reading.folder, files_of(reading))
    times = iter([0.0, *[9.5] * 9])
    options = TryOptions(Host({}, tmp_path, lambda _line: None), "bwrap", seconds=10.0)
    examination = _Examination(
        Tries(options, tmp_path, clock=lambda: next(times)),
        *(task, reading, Length(Training(task.files, task.script, task.command), 1.0, "the whole training")),
        run("val loss 0.1\n", failed=False),
    )
    found = examination.result([], "2026-11-30")
    assert found.seen[-1] == (
        "no time for a second run, so whether runs agree and which names have an effect is unknown: --try-budget 10s"
    )
