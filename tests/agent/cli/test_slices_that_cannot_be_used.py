"""What a user is told where a pool, a model or an answer is not there: one sentence, and nothing is lost by it."""

import json
import shutil
from pathlib import Path

import pytest

from agent.store.journal import read_history
from agent.trials.trial import KeepState
from tests.conftest import TASKS
from tests.kill_anywhere.killed_runs import NEVER, Death, Zygote

pytestmark = pytest.mark.slow

SIGKILL = -9
BETTER = {"MIX = 0.5": "MIX = 0.9"}
BEST = {"MIX = 0.5": "MIX = 0.95", "CHUNK = 256": "CHUNK = 1024", "SMOOTHING = 20.0": "SMOOTHING = 2.0"}
LOADS_NO_MORE = {
    "    return lambda rows": '    if sys.argv[1:] == ["rounds"]:\n        sys.exit(1)\n    return lambda rows'
}


class Commands:
    """`agent` in a folder of its own, with a copy of the small task and two scripts for it."""

    def __init__(self, warm: Zygote, folder: Path, *scripts: dict[str, str]) -> None:
        self._warm = warm.within(folder)
        self.task = folder / "task"
        self.cache = folder / "cache"
        shutil.copytree(TASKS / "bigram_plain", self.task)
        self.replies = folder / "replies.jsonl"
        self.replies.write_text("".join(self._reply(changes) for changes in scripts))
        self.paths = self._warm.runs.run("r")

    def _reply(self, changes: dict[str, str]) -> str:
        source = (self.task / "train.py").read_text()
        for old, new in changes.items():
            assert old in source
            source = source.replace(old, new)
        return json.dumps({"reply": f"TITLE: a change\n```python\n{source}```\n"}) + "\n"

    def in_task(self, old: str, new: str) -> None:
        toml = self.task / "task.toml"
        assert old in toml.read_text()
        toml.write_text(toml.read_text().replace(old, new))

    def run(self, death: Death = NEVER) -> int:
        trials = str(1 + len(self.replies.read_text().splitlines()))
        argv = ["run", "--task", str(self.task), "--mode", "code-edit", "--edit-format", "whole-file", "--name", "r"]
        return self._agent(death, *argv, "--model", f"replay:{self.replies}", "--no-smoke", "--trials", trials)

    def resume(self) -> int:
        return self._agent(NEVER, "resume", "r")

    def _agent(self, death: Death, *argv: str) -> int:
        return self._warm.agent(*argv, death=death, AUTOCENTAUR_CACHE=str(self.cache))

    @property
    def error(self) -> str:
        """The last line of what the last command said; it is the only one that begins with `error:`."""
        lines = self._warm.said.splitlines()
        assert [line.startswith("error: ") for line in lines].count(True) == 1, self._warm.said
        assert "Traceback" not in self._warm.said
        return lines[-1]

    @property
    def said(self) -> str:
        return self._warm.said


def test_a_pool_too_small_for_one_slice_is_reported_before_anything_is_written(warm: Zygote, tmp_path: Path) -> None:
    commands = Commands(warm, tmp_path, BETTER)
    commands.in_task("slice_sequences = 100", "slice_sequences = 2000")
    assert commands.run() == 2
    assert commands.error == (
        "error: the pool of bigram is too small: 1040 sequences of 260 documents (4 per document at most, 4 apart, "
        "without copied text), and a slice needs 2000; let python pool.py write more documents, or lower [data] "
        f"slice_sequences in {commands.task}/task.toml"
    )
    assert not (tmp_path / "runs").exists()


def test_once_the_pool_is_used_up_the_search_goes_on_and_confirms_nothing(warm: Zygote, tmp_path: Path) -> None:
    commands = Commands(warm, tmp_path, {"MIX = 0.5": "MIX = 0.7"}, BETTER, BEST)
    commands.in_task("slice_sequences = 100", "slice_sequences = 500")  # two slices
    assert commands.run() == 0, commands.said
    history = read_history(commands.paths.journal)
    assert [use.number for use in history.slices] == [0, 1]
    assert [trial.standing for trial in history.trials[2:]] == [KeepState.CONFIRMED, KeepState.PROVISIONAL]


def test_a_model_that_loads_only_outside_of_rounds_is_rolled_back(warm: Zygote, tmp_path: Path) -> None:
    commands = Commands(warm, tmp_path, BETTER | LOADS_NO_MORE)
    assert commands.run() == 0, commands.said
    history = read_history(commands.paths.journal)
    verdict = history.repeats[-1].verdict
    assert verdict is not None
    assert verdict.standing is KeepState.ROLLED_BACK
    assert verdict.reason == (
        "it did not answer on unseen text: the scoring job failed: the model could not be loaded or used"
    )
    score = history.slices[0].score
    assert score is not None
    assert (score.burned_by, dict(score.losses)) == ("challenger", {})


@pytest.mark.parametrize("made_again", [False, True])
def test_a_run_goes_on_with_no_other_pool(warm: Zygote, tmp_path: Path, made_again: bool) -> None:
    commands = Commands(warm, tmp_path, BETTER)
    assert commands.run(Death("after fsync runs/r/journal.jsonl", 4)) == SIGKILL
    (pool,) = (path for path in commands.cache.iterdir() if "-pool-" in path.name and path.is_dir())
    kept = tmp_path / "kept"
    shutil.move(pool, kept)
    if made_again:
        task = str(commands.task)
        assert warm.agent("prepare", "--pool", "--task", task, AUTOCENTAUR_CACHE=str(commands.cache)) == 0, warm.said
    before = commands.paths.journal.read_bytes()
    assert commands.resume() == 2
    assert commands.error.startswith("error: the slices of bigram are not those that r began with (digest ")
    assert commands.error.endswith("restore them, or start a new run")
    assert commands.paths.journal.read_bytes() == before
    shutil.rmtree(pool, ignore_errors=True)
    shutil.move(kept, pool)
    assert commands.resume() == 0, commands.said
    assert read_history(commands.paths.journal).trials[1].standing is KeepState.CONFIRMED


def test_a_baselines_model_that_the_user_has_removed_is_named(warm: Zygote, tmp_path: Path) -> None:
    commands = Commands(warm, tmp_path, BETTER)
    assert commands.run(Death("after fsync runs/r/journal.jsonl", 4)) == SIGKILL
    artifact = commands.paths.trial(0).artifact
    kept = artifact.read_bytes()
    artifact.unlink()
    assert commands.resume() == 1
    assert commands.error.startswith(f"error: {artifact} is missing, and the baseline must be evaluated")
    artifact.write_bytes(kept)
    assert commands.resume() == 0, commands.said
    assert read_history(commands.paths.journal).trials[1].standing is KeepState.CONFIRMED
