"""How well the embedded model edits code, by edit format: how many of 20 replies applied, ran, improved.

    python -m benchmarks.embedded_edits --runs DIR              # resumes where it was stopped
    python -m benchmarks.embedded_edits --runs DIR --forms diff # one format only

With one reply per proposal and no rehearsal, every reply is one trial of a real `agent run` on a script of 50 lines.
A reply takes 10 to 60 s of one processor. A second call on finished runs prints the table and asks no model.
"""

import argparse
import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

from agent.edits.edit import Edit
from agent.edits.formats import FORMATS
from agent.errors import EditError
from agent.llm.recording import RecordedModel
from agent.store.paths import RunsFolder
from agent.store.stored_run import StoredRun
from agent.trials.trial import Trial

BIGRAM = Path(__file__).parents[1] / "tests" / "tasks" / "bigram"
COLUMNS = ("replies", "whole", "applied", "parsed", "ran", "ok", "improved")


def run(form: str, n_replies: int, runs: RunsFolder) -> None:
    """Run the search until it has `n_replies` replies; resume it if an earlier call was stopped."""
    name = f"edits-{form}"
    command = [sys.executable, "-m", "agent"]
    if runs.run(name).run_json.exists():
        command += ["resume", name]
    else:
        command += ["run", "--task", str(BIGRAM), "--name", name, "--mode", "code-edit", "--edit-format", form]
        command += ["--attempts", "1", "--no-smoke", "--trials", str(n_replies + 1)]
    # Exit 1: 20 consecutive replies never ran, which ends a run; 3: the run was already finished.
    ended = subprocess.run([*command, "--runs", str(runs.root)], check=False)
    if ended.returncode not in (0, 1, 3):
        sys.exit(ended.returncode)


def counts(form: str, stored: StoredRun) -> Counter[str]:
    """Return how many replies of a run reached each column of the table."""
    reached: Counter[str] = Counter()
    sources = {0: stored.task(0).source}
    for trial in stored.history.trials[1:]:
        assert trial.parent is not None
        assert trial.outcome is not None
        reached.update(_steps(form, stored, trial, sources[trial.parent]))
        if trial.kept:
            sources[trial.number] = trial.proposal.edit.apply(sources[trial.parent])
    return reached


def _steps(form: str, stored: StoredRun, trial: Trial, source: str) -> list[str]:
    steps = ["replies"]
    reply = RecordedModel(stored.paths.trial(trial.number).llm).complete([])
    if reply.finish_reason != "length":
        steps.append("whole")
        try:
            edit: Edit = FORMATS[form].parse(reply.text, "train.py", source)
            edited = edit.apply(source)
            steps.append("applied")
            ast.parse(edited)
            steps.append("parsed")
        except (EditError, SyntaxError):
            pass
    assert trial.outcome is not None
    if trial.outcome.status.ran:
        steps.append("ran")
    if trial.val_loss is not None:
        steps.append("ok")
    return [*steps, "improved"] if trial.kept else steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--replies", type=int, default=20)
    parser.add_argument("--forms", nargs="+", default=["lines", "search-replace", "diff", "whole-file"])
    given = parser.parse_args()
    runs = RunsFolder(given.runs.resolve())
    for form in given.forms:
        run(form, given.replies, runs)
    print(f"{'form':16}" + "".join(f"{column:>10}" for column in COLUMNS) + "  statuses")
    for form in given.forms:
        stored = StoredRun.find(runs, f"edits-{form}")
        reached = counts(form, stored)
        ends = Counter(str(trial.status) for trial in stored.history.trials[1:])
        ended = ", ".join(f"{count} {status}" for status, count in ends.most_common())
        print(f"{form:16}" + "".join(f"{reached[column]:10}" for column in COLUMNS) + f"  {ended}")


if __name__ == "__main__":
    main()
