"""Misspelt commands, options and names: one line says what may have been meant, and nothing is started."""

from pathlib import Path

import pytest
import typer.main

from agent.cli.main import OTHER_WORDS, app
from tests.kill_anywhere.killed_runs import INSTANT, Zygote
from tests.made_runs import BASELINE, made_run

TASK = ("--task", str(INSTANT))


@pytest.fixture
def at(warm: Zygote, tmp_path: Path) -> Zygote:
    return warm.within(tmp_path)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["rum"], "there is no command 'rum'; did you mean rm or run? (see `agent --help`)"),
        (["ls"], "there is no command 'ls'; did you mean runs? (see `agent --help`)"),
        (["conjure"], "there is no command 'conjure' (see `agent --help`)"),
        (["run", "--trails", "5"], "`agent run` has no option --trails; did you mean --trials"),
        (["log", "--las", "3"], "`agent log` has no option --las; did you mean --last? (see `agent log --help`)"),
        (["log", "--conjure"], "`agent log` has no option --conjure (see `agent log --help`)"),
        (["run", "--trials", "many"], "Invalid value for '--trials': it should be a whole number, not 'many' (see"),
        (["run", *TASK, "--mode", "cma"], "--mode cma: there is no such mode; did you mean cma-es?"),
        (["run", *TASK, "--mode", "x"], "--mode x: there is no such mode; there are centaur, centaur:echo, fixed"),
        (["run", *TASK, "--sandbox", "dokcer"], "--sandbox dokcer: there is no such sandbox; did you mean docker?"),
        (["log", "nihgt"], "; did you mean night?"),
        (["show", "nihgt/0"], "; did you mean night?"),
        (["log", "--status", "crashd"], "--status crashd: there is no such status; did you mean crashed?"),
        (["track", "night", "--to", "mlfow"], "there is no tracker 'mlfow'; did you mean mlflow?"),
        (["run", *TASK, "--wall", "8"], "--wall '8' is not a duration, because it has no unit; did you mean 8h, 8m or"),
        (["run", *TASK, "--budget", "24"], "--budget '24' is not a duration, because it has no unit; did you mean 24h"),
        (["resume", "night", "--wall", "8"], "--wall '8' is not a duration, because it has no unit"),
        (["attribute", "night", "--budget", "2"], "--budget '2' is not a duration, because it has no unit"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_a_mistake_is_named_with_what_may_have_been_meant(at: Zygote, argv: list[str], message: str) -> None:
    made_run(at.runs.root, [BASELINE], name="night")
    assert at.agent(*argv) == 2, at.said
    assert at.said.startswith("error: ")
    assert message in at.said
    assert len(at.said.splitlines()) == 1
    assert at.runs.run_ids() == ["night"]


def test_other_words_for_commands_lead_to_commands() -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(OTHER_WORDS.values()) <= set(known)
    assert not set(OTHER_WORDS) & set(known)
