"""Who found what: counted by origin, gains by the trial that brought them."""

from agent.report.finders import finders
from agent.trial import Origin, Outcome, Status, Trial
from tests.made_runs import BASELINE, failed, scored, searched

AT = "2026-11-22T10:00:00+00:00"


def test_each_origin_is_credited_with_its_own_gains() -> None:
    by: list[tuple[Origin, Outcome]] = [
        (Origin.BASELINE, BASELINE[1]), (Origin.SEARCHER, scored(2.5, kept=True)), (Origin.LLM, scored(2.75)),
        (Origin.LLM, scored(2.0, kept=True)), (Origin.LLM, failed(Status.NO_PROPOSAL)),
        (Origin.SEARCHER, failed(Status.CRASHED)),
    ]  # fmt: skip
    trials = [Trial(n, 0, searched(0.5, origin=origin), AT, outcome, AT) for n, (origin, outcome) in enumerate(by)]
    searcher, llm = finders(trials)
    assert (searcher.origin, searcher.n_proposed, searcher.n_ran, searcher.n_scored) == (Origin.SEARCHER, 2, 2, 1)
    assert (llm.n_proposed, llm.n_ran, llm.n_kept, llm.best) == (3, 2, 1, 2.0)
    assert (searcher.gain, llm.gain) == (0.5, 0.5)
