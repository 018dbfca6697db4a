"""`agent attribute`: finds which of a run's kept changes carry its gain."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import DEFAULT_RUNS, Json, RunName, Runs, host_of, print_json, printer, stored_run
from agent.cli.trust import Trusted, agree_to_run

if TYPE_CHECKING:
    from agent.analysis.ablation_chain import ChangeFinding


app = typer.Typer()


@app.command()
def attribute(
    run_name: RunName = None,
    *,
    seeds: Annotated[int, typer.Option(metavar="K", min=1, max=20, help="Most training seeds per comparison.")] = 3,
    trials: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Limit on runs of scripts, earlier calls included.")
    ] = None,
    budget: Annotated[str | None, typer.Option(metavar="2h", help="Training budget, earlier calls included.")] = None,
    task: Annotated[
        Path | None, typer.Option("--task", metavar="DIR", help="Folder of the task, if it was moved.")
    ] = None,
    accept_changed: Annotated[
        list[str],
        typer.Option("--accept-changed", metavar="WHAT", help="Run all anew although this has changed, e.g. torch."),
    ] = [],  # noqa: B006 (typer copies it)
    trust: Trusted = False,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Find which kept changes carry the gain.

    Removes the kept changes from the result one by one, and writes the script that remains, minimal.py.

    Exit codes: 0 found, 3 the budget left nothing to run.
    """
    from agent.analysis.ablation import AblationOptions
    from agent.analysis.ablation import attribute as take_out
    from agent.report.ablation_text import lines, to_json
    from agent.report.run_summary import turn_lines
    from agent.trials.budget import seconds

    stored = stored_run(runs, run_name)
    agree_to_run(stored, task.resolve() if task else None, trusted=trust)

    say = printer(json_=json_)

    def decided(finding: "ChangeFinding") -> None:
        say(f"  {finding.change.key}: {finding.verdict}" + (f", {finding.reason}" if finding.reason else ""))

    options = AblationOptions(
        seeds=seeds,
        runs=trials,
        train_seconds=seconds(budget, "--budget") if budget else None,
        accept_changed=tuple(accept_changed),
        task_folder=task.resolve() if task else None,
    )
    try:
        attributed = take_out(stored, options, host_of(say), decided)
    except KeyboardInterrupt:
        say(f"interrupted; continue with `agent attribute {stored.run_id}`")
        raise
    if json_:
        print_json(to_json(attributed, stored.run_id, stored.history))
        return
    print("\n" + "\n".join([*lines(attributed, stored.run_id, stored.metric), *turn_lines(stored.history)]))
    if attributed.minimal is not None:
        print(f"the minimal script: {attributed.minimal}, with minimal.patch beside it")
