"""Where CMA-ES stood, made again from the journal, is where it stood."""

from dataclasses import replace
from pathlib import Path

from agent.edits.assignments import Assignments
from agent.modes.numeric import cma_host
from agent.modes.proposer import Context
from agent.report.html.charts.cma_states import search_states
from agent.task.task import Task
from agent.trials.trial import Outcome, Proposal, Trial
from tests.made_runs import BASELINE, made_run, scored

AT = "2026-11-22T10:00:00+00:00"


def test_the_states_are_those_that_the_run_had(tmp_path: Path, bigram: Task) -> None:
    results: list[tuple[Proposal, Outcome]] = [BASELINE]
    trials = [Trial(0, None, *BASELINE[:1], AT, BASELINE[1], AT)]
    host, state = cma_host(made_run(tmp_path / "first", results, mode="cma-es", seed=3).config, bigram)
    seen = {}
    for number in range(1, 20):
        context = Context(number, bigram.source, bigram.source, trials[0], tuple(trials), bigram.space, "no cap")
        proposal = host.propose(context)
        seen[number] = state()
        assert proposal.params is not None
        results.append((proposal, scored(1 + float(proposal.params["MIX"]))))
        trials.append(Trial(number, 0, proposal, AT, results[-1][1], AT))
    found = search_states(made_run(tmp_path / "whole", results, mode="cma-es", seed=3), bigram)
    assert found == {number: seen[number] for number in found}
    assert {state.generation for state in found.values()} == {state.generation for state in seen.values()}
    assert max(found) == 19

    # An earlier version left points out by estimates that nobody has any more: then no state is made up.
    other = {**(results[9][0].params or {}), "MIX": 0.123}
    results[9] = replace(results[9][0], params=other, edit=Assignments(other)), results[9][1]
    assert search_states(made_run(tmp_path / "other", results, mode="cma-es", seed=3), bigram) == {}


def test_a_mode_without_cma_es_has_no_states(tmp_path: Path, bigram: Task) -> None:
    assert search_states(made_run(tmp_path / "runs", [BASELINE, BASELINE]), bigram) == {}
