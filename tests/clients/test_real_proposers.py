"""The real programs Codex, Claude Code, OpenCode and Gemini CLI as the proposer of a run, each in our sandbox.

A scripted model is on loopback of the host, behind our gateway; the agent has no other network. Where a test sets a
limit of time, it is the only limit that the agent can reach.
"""

import base64
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.agents.headless import PLACEHOLDER_KEY
from agent.errors import ModelError
from agent.trials.trial import Origin, Status
from tests.clients.install import Client
from tests.clients.plans import Plan, Say, in_order, value_in
from tests.clients.proposing import Host, RefusingEndpoint, StallingEndpoint, edit, one_plan_for_each, shell

pytestmark = [
    pytest.mark.long,
    pytest.mark.parametrize("name", ["codex", "claude", "opencode", "gemini"]),
]

TESTS = Path(__file__).parents[1]
SPY = Path(__file__).with_name("spy.py").read_text()


@pytest.fixture
def host(name: str, installed: Callable[[str], Client], tmp_path: Path, cache: Path) -> Host:
    return Host(tmp_path, cache, name, installed(name))


def mix(value: float) -> str:
    """Return a command that sets a value of the script."""
    return f"sed -i 's/^MIX = [0-9.]*/MIX = {value}/' train.py"


def test_one_edit(host: Host) -> None:
    with host.model(edit(host.name, "cat NOTES.md", f"{mix(0.9)} && ./check", title="mix more")) as model:
        code, printed = model.run("--trials", "2", "--no-confirm")
    assert (code, model.endpoint.faults) == (0, []), printed
    notes, checked = model.results
    _, trial = host.trials
    assert (trial.proposal.origin, trial.proposal.title) == (Origin.AGENT, "mix more")
    assert (trial.status, trial.kept) == (Status.OK, True)
    assert "minimise val_bpb" in notes
    assert "ok: one step ran" in checked
    used = trial.proposal.usage
    assert used is not None
    assert (used.calls, used.prompt_tokens) == (len(model.endpoint.seen), 1000 * len(model.endpoint.seen))
    assert trial.proposal.agent is not None
    assert trial.proposal.agent.ending == "exit code 0"


def test_no_change_and_a_loop_of_reads_up_to_the_cap(host: Host) -> None:
    n_calls = 4  # Gemini CLI itself ends a loop of five equal calls
    read = shell(host.name, "cat train.py")
    plans: list[Plan] = [in_order(read, Say("All is well.")), lambda _results: read]
    with host.model(one_plan_for_each(plans)) as model:
        code, printed = model.run("--trials", "3", "--agent-calls", str(n_calls))
    assert (code, model.endpoint.faults) == (0, []), printed
    _, idle, looped = host.trials
    assert (idle.proposal.refused, looped.proposal.refused) == (Status.NO_PROPOSAL, Status.NO_PROPOSAL)
    assert idle.proposal.reason == f"{host.name} made no change: All is well."
    assert f"this proposal may make {n_calls} model calls, and no more" in looped.proposal.reason
    assert idle.proposal.usage is not None
    assert looped.proposal.usage is not None
    assert looped.proposal.usage.calls == n_calls
    assert len(model.endpoint.seen) == idle.proposal.usage.calls + n_calls


def test_a_key_that_is_refused_stops_the_run_which_can_be_resumed(host: Host) -> None:
    plan = edit(host.name, mix(0.9), title="mix more")
    with host.model(plan, RefusingEndpoint) as model:
        code, printed = model.run("--trials", "2", "--no-confirm")
    assert code == ModelError.exit_code, printed
    assert f"{host.name} cannot reach its model: 401" in printed
    assert "no such key" in printed
    assert host.mark not in printed
    assert len(host.trials) == 1
    with host.model(plan) as model:
        code, printed = model.resume()
    assert code == 0, printed
    assert [trial.status for trial in host.trials] == [Status.OK, Status.OK]


def test_an_endpoint_that_stalls_ends_at_the_time_of_a_proposal(host: Host) -> None:
    with host.model(edit(host.name, mix(0.9), title="mix more"), StallingEndpoint) as model:
        code, printed = model.run("--trials", "2", "--agent-time", "45s")
    assert code == 0, printed
    _, trial = host.trials
    assert (trial.proposal.refused, trial.proposal.reason) == (
        Status.NO_PROPOSAL,
        f"{host.name}: it was stopped after 45 s",
    )


def test_a_spy_finds_neither_the_key_nor_the_host(host: Host) -> None:
    spy = base64.b64encode(SPY.encode()).decode()  # Gemini CLI refuses commands with backticks
    look = f"echo {spy} | base64 -d > /tmp/spy.py; python3 /tmp/spy.py {host.mark[::-1]}"
    reach = "; ".join(
        f"ls {shlex.quote(str(folder))} 2>&1" for folder in (host.root, host.cache, host.runs.root, TESTS)
    )
    with host.model(edit(host.name, look, reach, f"env; {mix(0.9)}", title="spied")) as model:
        code, printed = model.run("--trials", "2", "--no-confirm")
    assert (code, model.endpoint.faults) == (0, []), printed
    found, reached, environment = model.results
    assert host.trials[1].proposal.title == "spied"
    assert value_in(found, "interfaces") == ["lo"]
    assert value_in(found, "marked") == []
    assert set(value_in(found, "network").values()) == {"Network is unreachable"}
    assert reached.count("No such file or directory") == 4, reached
    assert PLACEHOLDER_KEY in environment
    for kept in (path for path in host.runs.root.rglob("*") if path.is_file() and path.name != "private"):
        assert host.mark.encode() not in kept.read_bytes(), kept


CRASHES = r"""sed -i 's/^    rng = .*/&\n    no_such_name()/' train.py && ./check"""


def test_six_trials(host: Host) -> None:
    name = host.name
    deleted = "sed -i /no_such_name/d train.py"
    plans = [
        edit(name, mix(0.9), "./check", title="mix more"),
        edit(name, CRASHES, f"{deleted} && {mix(0.95)} && ./check", title="mix still more"),
        edit(name, mix(0.5), title="the first values"),
        edit(name, "echo 'print(\"val_bpb: 0.0\")' >> train.py", title="a perfect loss"),
        edit(name, mix(0.1), title="mix less"),
        edit(name, "rm train.py", title="remove it"),
    ]
    with host.model(one_plan_for_each(plans)) as model:
        code, printed = model.run("--trials", "7", "--no-confirm")
    assert (code, model.endpoint.faults) == (0, []), printed
    trials = host.trials[1:]
    assert [trial.proposal.title for trial in trials] == [
        *("mix more", "mix still more", "the first values", "a perfect loss", "mix less", "remove it")
    ]
    assert [trial.status for trial in trials] == [
        *(Status.OK, Status.OK, Status.DUPLICATE, Status.OK, Status.OK, Status.INVALID_EDIT)
    ]
    improved, mended, copied, cheat, worse, removed = trials
    shown = (host.run.trial(2).llm).read_text()
    assert "NameError" in shown
    assert "no_such_name" not in mended.proposal.edit.apply("")
    assert copied.proposal.copied_from == "trial 0"
    assert [trial.kept for trial in (improved, mended, cheat, worse)] == [True, True, False, False]
    assert cheat.val_loss == mended.val_loss  # what it printed counts for nothing
    assert "it was deleted" in removed.proposal.reason
