"""Whole runs without a sandbox: what is tuned and how, and that a rebuilt proposer goes on as the first one would."""

from dataclasses import replace

import pytest

from agent.edits.assignments import Assignments, read_constants
from agent.edits.codec import Chain
from agent.edits.edit import WholeFile
from agent.edits.guard import fingerprint
from agent.modes.centaur_code.scripts import Scripts
from agent.modes.centaur_code.tuning import RHO, Tuner, _of_ancestors
from agent.modes.prompting.trial_digest import LINE_CHARACTERS
from agent.search.space import SearchSpace
from agent.trials.hybrid.turn import TurnKind
from agent.trials.steering import PERSON, Approval
from agent.trials.trial import Origin, Outcome, Status
from tests.agent.modes.centaur_code.made_run import SCRIPT, MadeRun

TWO = SCRIPT.replace("\n\n\ndef", "\nB = 1.5  # tune: 0.1..3\n\n\ndef").replace(
    "- 0.7) ** 2", "- 0.7) ** 2 + (B - 1) ** 2"
)
NEAR = TWO.replace("B = 1.5", "B = 1.1")  # worse than SCRIPT by 0.01
FAR = SCRIPT.replace("return 1", "return 3")
IDEAS = [NEAR, *(f"{SCRIPT}\n\nC{n} = {n}.5  # tune: 0..9\n\n\ndef g():\n    return C{n}\n" for n in range(30))]


def test_a_structure_near_the_incumbent_is_tuned_from_its_own_values_and_judged_as_any_trial() -> None:
    run = MadeRun([NEAR, FAR])
    run.sigma = 0.05
    run.run(6)
    first, tuning = run.trials[1], run.trials[2:6]
    assert (first.kept, first.proposal.turn and first.proposal.turn.kind) == (False, TurnKind.STRUCTURE)
    for trial in tuning:
        assert trial.proposal.origin is Origin.SEARCHER
        assert trial.proposal.turn is not None
        assert (trial.proposal.turn.tunes, trial.proposal.turn.is_required) == (1, True)
        assert set(read_constants(run.sources[trial.number], ["A", "B"])) == {"A", "B"}
        assert Assignments(read_constants(NEAR, ["A", "B"])).apply(run.sources[trial.number]) == NEAR
        assert trial.proposal.title.startswith("trial 1 with ")
        assert trial.proposal.fingerprint == fingerprint(run.sources[trial.number])
    kept = [trial for trial in tuning if trial.kept]
    assert kept  # the tuned version beats the incumbent, which the structure alone did not
    assert isinstance(tuning[0].proposal.edit, Chain)
    assert isinstance(run.trials[kept[0].number + 1].proposal.edit, Assignments)  # now it is the incumbent's own script


def test_the_numbers_of_the_baseline_are_tuned_before_the_first_structure() -> None:
    run = MadeRun(IDEAS, baseline=SCRIPT)
    run.run(13)
    tunes = [trial.proposal.turn.tunes for trial in run.trials[1:] if trial.proposal.turn is not None]
    n = tunes.index(None)
    assert 4 <= n <= 12
    assert tunes[:n] == [0] * n
    assert run.trials[n].proposal.title.startswith("the baseline with A 2→")
    assert run.trials[n + 1].proposal.origin is Origin.LLM
    before = [trial for trial in run.trials[: n + 1] if trial.kept][-1]
    assert before.val_loss is not None
    assert before.val_loss < 2.0  # the baseline has 2.69


def test_a_rejected_structure_is_tuned_even_when_the_incumbent_has_moved_on() -> None:
    run = MadeRun([NEAR], is_parallel=True)
    run.sigma = 0.05
    run.start()
    better = SCRIPT.replace("A = 2.0", "A = 1.99")
    run.proposer._structure.scripts = [NEAR, better]  # type: ignore[attr-defined]
    run.start()
    run.finish(2)
    run.finish(1)
    assert run.incumbent.number == 2
    trial = run.start()
    assert trial.proposal.turn is not None
    assert isinstance(trial.proposal.edit, WholeFile if trial.proposal.turn.tunes == 1 else Assignments)
    assert trial.proposal.turn.tunes in (1, 2)


@pytest.mark.parametrize("space", [None, SearchSpace.from_tables({"A": {"type": "float", "low": 0.1, "high": 10}})])
def test_a_rebuilt_proposer_proposes_the_same_at_every_trial(space: SearchSpace | None) -> None:
    run = MadeRun(IDEAS, space=space)
    for _ in range(36):
        again = run.rebuilt().propose(run.context)
        assert run.proposer.propose(run.context) == again
        run.finish(run.start(run.rebuilt()).number)
    turns = [trial.proposal.turn for trial in run.trials[1:]]
    assert {turn.tunes for turn in turns if turn is not None} > {None, 1}
    assert run.incumbent.val_loss == pytest.approx(1.0, abs=0.05)


def test_with_three_in_flight_a_rebuilt_proposer_goes_on_and_no_script_runs_twice() -> None:
    run = MadeRun(IDEAS, is_parallel=True)
    for n in range(36):
        while len(run.pending) < 3:
            assert run.rebuilt().propose(run.context) == run.proposer.propose(run.context)
            run.start()
        run.finish(run.pending[n % 3].number)
    ran = [trial.proposal.fingerprint for trial in (*run.trials, *run.pending) if trial.proposal.refused is None]
    assert len(set(ran)) == len(ran)


def test_the_values_of_a_model_that_only_changes_numbers_are_not_run_again() -> None:
    """Two structures whose scripts differ in values only have the same space: what one ran, the other does not."""
    spaces = SearchSpace.from_tables({"A": {"type": "categorical", "choices": [1.0, 2.0, 3.0], "ordered": True}})
    script = SCRIPT.replace("A = 2.0  # tune: 0.1..10 log", "A = 3.0")
    run = MadeRun([script.replace("3.0", "2.0"), script.replace("3.0", "1.0")], baseline=script, space=spaces)
    run.run(8)
    ran = [trial.proposal.fingerprint for trial in run.trials if trial.status is Status.OK and trial.number]
    assert len(set(ran)) == len(ran)
    refused = [trial for trial in run.trials if trial.status is Status.DUPLICATE and trial.proposal.turn]
    assert any(trial.proposal.turn and trial.proposal.turn.tunes is not None for trial in refused)


def test_a_point_that_a_person_refused_is_not_proposed_again() -> None:
    run = MadeRun([NEAR])
    run.sigma = 0.05
    run.run(1)
    vetoed = run.start()
    refusal = Approval(is_approved=False, by=PERSON)
    run.pending[0] = replace(vetoed, approval=refusal, needs_approval=True)
    run.finish(vetoed.number, status=Status.REFUSED, val_loss=None, kept=False)
    later = run.start()
    assert later.proposal.fingerprint != vetoed.proposal.fingerprint
    assert (
        run.rebuilt().propose(replace(run.context, number=2, trials=run.context.trials[:2], pending=())).fingerprint
        == vetoed.proposal.fingerprint
    )


def test_ancestors_are_evidence_with_a_discount_for_each_generation() -> None:
    two = SCRIPT.replace("\n\n\ndef", "\nD = 1.0  # tune: 0..2\n\n\ndef").replace("A = 2.0", "A = 1.9")
    three = two.replace("\n\n\ndef", "\nE = 1.0  # tune: 0..2\n\n\ndef").replace("A = 1.9", "A = 1.8")
    run = MadeRun([two, three], baseline=SCRIPT)
    run.proposer._rule = replace(run.proposer._rule, tunables=lambda base: frozenset({"A"} if base.number else ()))
    scripts = Scripts()
    run.finish(run.start().number)
    tuned = run.start()
    run.finish(tuned.number, val_loss=4.0, kept=False)
    run.finish(run.start().number, val_loss=5.0, kept=False)
    run.proposer._rule = replace(run.proposer._rule, tunables=lambda _trial: frozenset())
    last = run.finish(run.start().number)
    assert run.sources[last.number] == three
    scripts.see(run.context)
    space = scripts.space(last)
    assert space is not None
    own = {"A": 1.8, "D": 1.0, "E": 1.0}
    known = _of_ancestors(last, space, own, run.context, scripts)
    parent, first = run.trials[1].val_loss, run.trials[0].val_loss
    assert parent is not None
    assert first is not None
    assert last.val_loss is not None
    values = read_constants(run.sources[tuned.number], ["A", "D"])
    assert [point for point, _ in known] == [
        {**own, "A": 1.9},
        {**own, **values},
        {**own, **read_constants(run.sources[3], ["A", "D"])},
        {**own, "A": 2.0},
    ]
    gaps = [loss - last.val_loss for _, loss in known]
    assert gaps == pytest.approx([0.0, RHO * (4.0 - parent), RHO * (5.0 - parent), 0.0])


def test_an_ancestor_never_replaces_the_best_point_of_the_script_itself() -> None:
    run = MadeRun([NEAR])
    run.sigma = 0.05
    run.run(1)
    scripts = Scripts()
    scripts.see(run.context)
    space = scripts.space(run.trials[1])
    assert space is not None
    tuner = Tuner(tuned_structure(run), space, run.context, scripts, 0)
    point = tuner.find(tuned_structure(run), run.context).point
    changed = {name for name in point if point[name] != tuner.start[name]}
    assert tuner.start == {"A": 2.0, "B": 1.1}
    assert changed


def tuned_structure(run: MadeRun):  # type: ignore[no-untyped-def]
    from agent.modes.centaur_code.lineage import Lineage

    return Lineage.of(run.context).structures[1]


def test_a_crashed_tuning_trial_is_evidence_for_the_searcher_and_ends_nothing() -> None:
    run = MadeRun(IDEAS)
    run.sigma = 0.05
    run.run(1)
    for _ in range(4):
        trial = run.start()
        run.finish(trial.number, status=Status.CRASHED, val_loss=None, kept=False)
    assert run.rebuilt().propose(run.context) == run.proposer.propose(run.context)
    assert run.trials[-1].outcome == Outcome(Status.CRASHED, None, train_seconds=1.0)


def test_a_title_with_a_text_of_the_script_is_one_short_printable_line() -> None:
    texts = ["relu", "\x1b[31m" + "x" * 500]
    constants = f"A = 2.0\nACT = {texts[1]!r}  # tune: {texts[0]}|{texts[1]}\n"
    script = f"{constants}\n\ndef loss():\n    return 0.99 + len(ACT) / 1e5\n"
    run = MadeRun([script])
    run.run(2)
    assert run.trials[2].proposal.turn is not None
    assert run.trials[2].proposal.turn.tunes == 1
    title = run.trials[2].proposal.title
    assert title.isprintable()
    assert len(title) <= LINE_CHARACTERS
