"""Who found what: counted by origin, gains by the trial that brought them."""

from agent.report.html.tables import origin_stats
from agent.trials.trial import KeepState, Origin, Outcome, Status
from tests.made_runs import BASELINE, Again, failed, made_history, scored, searched


def test_each_origin_is_credited_with_its_own_gains() -> None:
    by: list[tuple[Origin, Outcome]] = [
        (Origin.BASELINE, BASELINE[1]), (Origin.SEARCHER, scored(2.5, kept=True)), (Origin.LLM, scored(2.75)),
        (Origin.LLM, scored(2.0, kept=True)), (Origin.LLM, failed(Status.NO_PROPOSAL)),
        (Origin.SEARCHER, failed(Status.CRASHED)),
    ]  # fmt: skip
    searcher, llm = origin_stats(made_history([(searched(0.5, origin=origin), outcome) for origin, outcome in by]))
    assert (searcher.origin, searcher.n_proposed, searcher.n_ran, searcher.n_scored) == (Origin.SEARCHER, 2, 2, 1)
    assert (llm.n_proposed, llm.n_ran, llm.n_kept, llm.best) == (3, 2, 1, 2.0)
    assert (searcher.gain, llm.gain) == (0.5, 0.5)


def test_what_was_rolled_back_is_nobody_s_gain() -> None:
    results = [BASELINE, (searched(0.5), scored(2.5, kept=True)), Again(1, scored(3.1), KeepState.ROLLED_BACK),
               (searched(0.6, origin=Origin.LLM), scored(2.75, kept=True))]  # fmt: skip
    searcher, llm = origin_stats(made_history(results))
    assert (searcher.gain, llm.gain) == (0.0, 0.25)
