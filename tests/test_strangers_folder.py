"""A stranger's folder of runs, in which any file may be anything: each command says one line, or does its work.

Nothing outside of the folder is read or written, nothing waits for ever, and no traceback is shown.
"""

import json
import os
import random
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from sandbox.characters import is_hidden
from tests.kill_anywhere.killed_runs import INSTANT, Zygote

SECRET = "the secret of this machine"
STEERING = "\x1b]0;OWNED\x07\x1b[2J\x9b31m\u202e\U000e0041"
MOST_SECONDS = 300.0  # of one command: only what waits for ever takes longer

READING = (
    ("log",), ("log", "r"), ("log", "r", "--json"), ("log", "r", "--graph"), ("log", "--verify", "r"), ("show", "r/1"),
    ("show", "r/1", "--json"), ("show", "r/2", "--exchange"), ("best", "r"), ("best", "r", "--json"), ("diff", "r/1"),
    ("report", "r", "--out", "page.html"), ("export", "r", "--out", "exported"),
    ("prompt", "r/1"), ("compare", "r"), ("watch", "new"),
)  # fmt: skip
RUNNING = (
    ("resume", "r", "--trials", "4"), ("replay", "r/1"), ("attribute", "r"),
    ("run", "--task", str(INSTANT), "--trials", "1", "--name", "new")
)  # fmt: skip

ODD_VALUES: tuple[Any, ...] = (
    None, True, -1, 10**9, 1e308, -1e308, 0.0, float("nan"), float("inf"), "", "x" * 10**6, STEERING, "../../outside",
    "/proc/self/environ", "<img src=x onerror=alert(1)>", [], [[]], {}, {STEERING: STEERING}, [1, "a", None], "\ud800",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where the cases happen: a run as its stranger sent it, and beside it what is none of his business."""

    made: Path  # the folder of runs, to be copied
    outside: Path
    copies: Path


@pytest.fixture(scope="module")
def place(warm: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("strangers")
    box = warm.within(root / "made")
    argv = ("run", "--task", str(INSTANT), "--mode", "random", "--trials", "3", "--keep", "any", "--name", "r")
    assert box.agent(*argv) == 0, box.said
    run = box.folder / "runs" / "r"
    call = {"messages": [{"role": "user", "content": "what?"}], "reply": "this", "prompt_tokens": 3}
    (run / "trials" / "0002" / "llm.jsonl").write_text(json.dumps(call) + "\n")
    (run / "verified.json").write_text("{}")
    (root / "outside").mkdir()
    (root / "outside" / "file").write_text(SECRET)
    return Place(box.folder / "runs", root / "outside", root / "copies")


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    make(path)


def mutations(place: Place, chance: random.Random) -> dict[str, Callable[[Path], object]]:
    """Return what can become of a file or a folder, by name."""
    odd = chance.choice(ODD_VALUES)
    found: dict[str, Callable[[Path], object]] = {
        "link": lambda path: replaced(path, lambda p: p.symlink_to(place.outside / "file")),
        "link to a folder": lambda path: replaced(path, lambda p: p.symlink_to(place.outside)),
        "link to nothing": lambda path: replaced(path, lambda p: p.symlink_to(place.outside / "new")),
        "link to /dev/zero": lambda path: replaced(path, lambda p: p.symlink_to("/dev/zero")),
        "FIFO": lambda path: replaced(path, os.mkfifo),
        "folder": lambda path: replaced(path, lambda p: p.mkdir()),
        "empty": lambda path: replaced(path, lambda p: p.touch()),
        "huge": lambda path: replaced(path, lambda p: (p.touch(), os.truncate(p, 2**40))),
        "deep": lambda path: replaced(path, lambda p: p.write_text("[" * 100_000 + "]" * 100_000 + "\n")),
        "garbage": lambda path: replaced(path, lambda p: p.write_bytes(chance.randbytes(200))),
        "text": lambda path: replaced(path, lambda p: p.write_text(f"{STEERING}\n" * 3)),
        "bytes": lambda path: _other_bytes(path, chance),
        "value": lambda path: _other_value(path, odd, chance),
        "gone": lambda path: replaced(path, lambda _path: None),
        "name": lambda path: path.rename(path.with_name(f"{path.name}{STEERING}")),
        "neighbour": lambda path: path.with_name(f"0009{STEERING}").mkdir(),
    }
    if os.geteuid() == 0:
        found["device"] = lambda path: replaced(path, lambda p: os.mknod(p, 0o600 | stat.S_IFCHR, os.makedev(1, 5)))
    return found


def _other_bytes(path: Path, chance: random.Random) -> None:
    if not path.is_file():
        return
    data = bytearray(path.read_bytes())
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(data) + 1)
        data[at : at + chance.randrange(9)] = chance.randbytes(chance.randrange(9))
    replaced(path, lambda p: p.write_bytes(data))


def _other_value(path: Path, odd: Any, chance: random.Random) -> None:
    """Put an odd value anywhere into a JSON file; into any other, an odd line."""
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        is_many = True
    except (OSError, ValueError):
        try:
            lines, is_many = [json.loads(path.read_text())], False
        except (OSError, ValueError):
            lines, is_many = [], True
    if not lines:
        _other_bytes(path, chance)
        return
    index = chance.randrange(len(lines))
    lines[index] = _with_odd(lines[index], odd, chance)
    text = "".join(json.dumps(line) + "\n" for line in lines) if is_many else json.dumps(lines[0])
    replaced(path, lambda p: p.write_text(text))


def _with_odd(value: Any, odd: Any, chance: random.Random) -> Any:
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        return {**value, key: _with_odd(value[key], odd, chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        return [*value[:at], _with_odd(value[at], odd, chance), *value[at + 1 :]]
    return odd


def places_in(runs: Path) -> list[Path]:
    """Return all files and folders of the folder of runs; as often those that commands read as all of git's."""
    every = sorted(path.relative_to(runs) for path in runs.rglob("*"))
    of_git = [path for path in every if "trials.git" in path.parts]
    read = [path for path in every if path not in of_git and path.suffix in (".json", ".jsonl", ".log", ".tsv", ".py")]
    others = [path for path in every if path not in of_git and path not in read]
    return of_git + others + read * (1 + len(of_git) // len(read))


@pytest.mark.slow
def test_nothing_of_a_strangers_folder_does_harm(place: Place, warm: Zygote) -> None:
    survives(place, warm, n_cases=100, seed=0)


def test_numbers_that_no_chart_can_show_are_one_line(place: Place, warm: Zygote) -> None:
    here = place.copies / "numbers"
    shutil.copytree(place.made, here / "runs", symlinks=True)
    journal = here / "runs" / "r" / "journal.jsonl"
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    for event in events:
        if event["event"] == "trial_finished":
            event["outcome"] |= {"peak_memory_gb": 1e308, "wall_seconds": 1e308, "train_seconds": 1e308}
    journal.write_text("".join(json.dumps(event) + "\n" for event in events))
    env = {"PATH": os.environ["PATH"], "HOME": str(place.copies), "LANG": "C.UTF-8"}
    for argv in (("report", "r"), ("log", "r"), ("show", "r/1"), ("best", "r"), ("export", "r")):
        ended = warm.within(here / "said").completed(argv, here, env, at_most_seconds=MOST_SECONDS)
        assert list(faults(ended, here)) == [], argv


def test_names_and_scripts_that_steer_the_terminal_are_shown_as_escapes(warm: Zygote, tmp_path: Path) -> None:
    box, task = warm.within(tmp_path), tmp_path / "task"
    shutil.copytree(INSTANT, task)
    script = task / "train.py"
    script.write_text(script.read_text().replace("SHIFT = 0.3", f'SHIFT = 0.3  # {STEERING}\nNAME = "{STEERING}"'))
    argv = ("run", "--task", str(task), "--mode", "random", "--trials", "2", "--keep", "any", "--name", "r")
    assert box.agent(*argv) == 0, box.said
    (tmp_path / "runs" / "r" / "trials" / f"0009{STEERING}").mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    for argv in (("diff", "r/1"), ("show", "r/1"), ("log", "--verify", "r"), ("space", str(script)), ("log", "r")):
        ended = box.completed(argv, tmp_path, env, at_most_seconds=MOST_SECONDS)
        assert list(faults(ended, tmp_path)) == [], argv
        assert (argv[0] == "log" and argv[1] == "r") == ("\\u202e" not in ended.stdout), argv


@pytest.mark.long
def test_nothing_of_two_thousand_strangers_folders_does_harm(place: Place, warm: Zygote) -> None:
    survives(place, warm, n_cases=2_000, seed=1)


def survives(place: Place, warm: Zygote, n_cases: int, seed: int) -> None:
    chance = random.Random(seed)
    names, before = places_in(place.made), snapshot(place.outside)
    wrong = []
    for case in range(n_cases):
        name = chance.choice(names)
        kind, mutate = chance.choice(list(mutations(place, chance).items()))
        argv = chance.choice(RUNNING if case % 10 == 0 else READING)
        here = place.copies / str(case)
        shutil.copytree(place.made, here / "runs", symlinks=True)
        mutate(here / "runs" / name)
        env = {"PATH": os.environ["PATH"], "HOME": str(place.copies), "LANG": "C.UTF-8"}
        ended = warm.within(here / "said").completed(argv, here, env, at_most_seconds=MOST_SECONDS)
        where = f"{case}: {kind} at {name}, agent {' '.join(argv)}"
        wrong += [f"{where}: {what}" for what in faults(ended, here)]
        if snapshot(place.outside) != before:
            wrong.append(f"{where}: something outside was written")
            break
        shutil.rmtree(here)
    assert not wrong, "\n".join(wrong)


def faults(ended: "CompletedProcess[str]", here: Path) -> Iterator[str]:
    """Yield what a command did that it must not do, whatever it was given."""
    output = ended.stdout + ended.stderr
    if "Traceback" in output:
        yield f"a traceback: {output.strip().splitlines()[-1][:200]}"
    elif ended.returncode not in (0, 1, 2, 3, 4):
        yield f"it ended with {ended.returncode}"
    elif ended.returncode in (2, 4) and [line[:7] for line in ended.stderr.splitlines()][-1:] != ["error: "]:
        yield f"no line says what is wrong: {ended.stderr[-200:]!r}"
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    if len(errors) > 1 or (errors and ended.stderr.splitlines()[-1] != errors[0]):
        yield f"more than one line: {ended.stderr[-300:]!r}"
    hidden = sorted({character for character in output if character not in "\n\t" and is_hidden(character)})
    if hidden:
        yield f"these reach the terminal: {hidden!r}"
    written = [here / "page.html", *(here / "exported").glob("*.csv"), *(here / "exported").glob("*.py")]
    texts = [path.read_text(errors="replace") for path in written if path.is_file()]
    if any(SECRET in text for text in (output, *texts)):
        yield "a file outside was read"
    if any("<img src=x" in text for text in texts[:1] if written[0].is_file()):
        yield "markup in the page"
