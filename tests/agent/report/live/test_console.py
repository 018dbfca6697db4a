"""The live lines of a run on a real terminal: one about what began last or, with several workers, one for each."""

import os
import pty
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from agent.report.live.console import LiveConsole
from agent.report.live.observer import ConsoleObserver
from agent.store.paths import RunPaths
from agent.trials.metric import Metric
from agent.trials.trial import Trial
from tests.made_runs import BEGAN, scored, searched

PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
from agent.execution.slots import Slot
from agent.report.live.console import LiveConsole
from agent.report.live.observer import ConsoleObserver
from agent.store.paths import RunPaths
from agent.trials.events import TrialStarted
from agent.trials.metric import Metric
from agent.trials.repeat import Purpose, Repeat
from agent.trials.trial import Trial
from tests.made_runs import BEGAN, scored, searched

paths, n_workers = RunPaths(Path(sys.argv[1])), int(sys.argv[2])
slots = [Slot(number, (str(number),)) for number in range(n_workers)]
live = LiveConsole()
if n_workers > 1:
    live.split(slots)
screen = ConsoleObserver(
    Metric("val_bpb", "minimise"), paths, lambda _number: None, live, proposer="centaur", model="tiny"
)
done = iter(["trial 5 of 40", "trial 6 of 40, best 2.5"])
live.follow(lambda: next(done))
trials = [Trial(number, 0, searched(number / 10), BEGAN.isoformat()) for number in range(8)]
paths.trial(5).root.mkdir(parents=True)
paths.trial(5).log.write_text("progress 0.50 loss 2.3456\\n")

def shown():
    live._live.refresh()  # else it is drawn four times a second
    live.report("=====")

screen.proposing(5); screen.proposed(5); screen.started(trials[5], slots[0]); shown()
screen.repeating(Repeat(3, 1, Purpose.CONFIRM, BEGAN.isoformat()), slots[-1]); shown()
screen.proposing(6); live.replying(120); shown()
screen.proposed(6); screen.repeated(Repeat(3, 1, Purpose.CONFIRM, "", scored(2.0)), trials[3]); shown()
screen.finished(trials[5].finished(scored(2.5), ""), trials[0]); shown()
live.close()
"""


def frames(folder: Path, n_workers: int, columns: int) -> list[list[str]]:
    """Return the live lines just before each `=====`, without colours, spinners, bars and times."""
    import fcntl
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    command = [sys.executable, "-c", PROGRAM, str(folder), str(n_workers)]
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "LANG": "C.UTF-8", "PYTHONPATH": os.getcwd()}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    output = b""
    while chunk := _read(ours):
        output += chunk
    os.close(ours)
    assert process.wait() == 0, output.decode()
    found = []
    for part in output.decode().split("=====")[:-1]:
        *_, drawn = (piece for piece in re.split(r"(?:\x1b\[1A|\r)?\x1b\[2K", part) if piece.strip())
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[━╸╺⠀-⣿]|\d:\d\d:\d\d", "", drawn)
        found.append([" ".join(line.split()) for line in plain.splitlines() if line.strip()])
    return found


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # the other end is closed
        return b""


@pytest.mark.parametrize("columns", [80, 160])
def test_one_worker_has_one_line_about_what_began_last_and_one_says_how_far_the_run_is(
    tmp_path: Path, columns: int
) -> None:
    trained, again, asked, repeated, finished = frames(tmp_path, 1, columns)
    assert trained == ["trial 5: training, MIX 0.5 loss 2.3456 (reported)", "trial 5 of 40"]
    assert again == ["trial 3 again: seed 1, to confirm it", "trial 5 of 40"]
    assert asked == ["trial 6: centaur proposes, 120 tokens by tiny", "trial 5 of 40"]
    assert repeated == asked
    assert finished == [asked[0], "trial 6 of 40, best 2.5"]


def test_each_worker_has_a_line_and_the_proposal_has_one(tmp_path: Path) -> None:
    trained, again, asked, repeated, _ = frames(tmp_path, 3, 120)
    first = "gpu 0 trial 5: training, MIX 0.5 loss 2.3456 (reported)"
    third, last = "gpu 2 trial 3 again: seed 1, to confirm it", "trial 5 of 40"
    asking = "trial 6: centaur proposes, 120 tokens by tiny"
    assert trained == [first, "gpu 1 idle", "gpu 2 idle", last]
    assert again == [first, "gpu 1 idle", third, last]
    assert asked == [first, "gpu 1 waiting for a proposal", third, asking, last]
    assert repeated == trained


def test_a_narrow_terminal_cuts_what_a_line_is_about_and_not_the_loss(tmp_path: Path) -> None:
    trained, *_ = frames(tmp_path, 2, 60)
    assert re.fullmatch(r"gpu 0 trial .*… loss 2\.3456 \(reported\)", trained[0])


def test_off_a_terminal_how_far_the_run_is_stands_after_the_baseline_and_every_tenth_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live = LiveConsole()
    screen = ConsoleObserver(Metric("val_bpb"), RunPaths(tmp_path), lambda _number: None, live)
    done = iter(range(100))
    live.follow(lambda: f"trial {next(done)} of 40")
    for number in range(12):
        trial = Trial(number, None, searched(0.5), BEGAN.isoformat())
        screen.finished(trial.finished(scored(2.5), BEGAN.isoformat()), None)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if " of 40" in line] == ["trial 1 of 40", "trial 11 of 40"]
    assert len(lines) == 1 + 12 + 2
