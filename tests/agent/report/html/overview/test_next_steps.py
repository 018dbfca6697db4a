"""What a page points to: commands that fit the state of the run, and what the records warn of."""

from dataclasses import replace
from pathlib import Path

from agent.report.html.overview.next_steps import cautions, next_commands
from agent.report.html.tables import RunOnPage
from agent.trials.steering import Submission
from agent.trials.trial import KeepState, Origin, Proposal, Status
from tests.made_runs import BASELINE, Again, Result, failed, made_run, opened, opened_for_result, scored, searched


def on_page(root: Path, results: list[Result], name: str = "made", **options: object) -> RunOnPage:
    stored = made_run(root, results, name=name, options={"trials": len(results), **options})
    return RunOnPage(stored, stored.task(0), {}, None)


def commands(run: RunOnPage) -> list[str]:
    return [each.command for each in next_commands(run)]


def test_a_gain_is_to_be_looked_at_exported_and_verified(tmp_path: Path) -> None:
    results: list[Result] = [BASELINE, (searched(0.1), scored(2.7, kept=True)), (searched(0.2), scored(2.5, kept=True))]
    found = commands(on_page(tmp_path, results, noise_sigma=0.01, noise_source="`agent noise`"))
    assert found == [
        "agent show made/2", "agent export made --to REPO --branch NAME", "agent best made --verify",
        "agent attribute made",
    ]  # fmt: skip


def test_a_failed_baseline_is_all_that_there_is_to_look_at(tmp_path: Path) -> None:
    assert commands(on_page(tmp_path, [(BASELINE[0], failed(Status.CRASHED))])) == ["agent show made/0"]


def test_an_interrupted_run_with_many_failures_and_unknown_noise_says_how_to_go_on(tmp_path: Path) -> None:
    results: list[Result] = [BASELINE, (searched(0.1), failed(Status.CRASHED)), (searched(0.2), failed(Status.CRASHED))]
    found = next_commands(on_page(tmp_path, results, trials=9, noise_sigma=None))
    assert [each.command for each in found] == ["agent resume made", "agent noise made/0", "agent show made/2"]
    assert found[-1].purpose == "one of 2 trials without a loss"


def test_flags_of_trials_are_listed_once_with_links(tmp_path: Path) -> None:
    flagged = replace(scored(3.5), flags=("fixes its own seed",))
    results: list[Result] = [BASELINE, *((searched(n / 20), flagged) for n in range(1, 11))]
    (found,) = cautions([on_page(tmp_path, results)])
    assert (found.text, found.n_more) == ("fixes its own seed", 2)
    assert found.trials[:2] == (("0/1", "trial 1"), ("0/2", "trial 2"))
    several = cautions([on_page(tmp_path, results[:2], name) for name in ("a", "b")])
    assert [each.trials for each in several] == [(("0/1", "a/1"), ("1/1", "b/1"))]


def test_flags_that_differ_in_numbers_alone_are_one_caution(tmp_path: Path) -> None:
    def flagged(n: int) -> Result:
        return (
            searched(n / 20),
            replace(scored(3.5), flags=(f"reports {n}.5 s of training; the host measured 9.1 s",)),
        )

    (found,) = cautions([on_page(tmp_path, [BASELINE, *map(flagged, range(1, 11))])])
    assert (found.text, found.n_more) == ("reports … s of training; the host measured … s", 2)


def test_metric_edits_trusted_clients_and_limits_that_were_not_enforced_are_named(tmp_path: Path) -> None:
    submission = Submission("s1", "claude", is_client_trusted=True)
    sent = Proposal(Origin.SUBMITTED, "sent", searched(0.1).edit, submission=submission)
    outcome = replace(scored(3.5), metric_edit=True, unenforced=("memory: no control group",))
    found = [each.text for each in cautions([on_page(tmp_path, [BASELINE, (sent, outcome)])])]
    assert found == [
        "edits the code that prints or writes the score",
        "sent by a trusted client, which could read the data of this machine",
        "not enforced: memory: no control group",
    ]


def test_a_slice_that_was_burned_or_opened_before_is_named(tmp_path: Path) -> None:
    use = opened(3, 1, 0.29, flags=("two jobs answered the same",))
    results: list[Result] = [
        BASELINE, (searched(0.1), scored(2.0, kept=True)), Again(1, scored(2.1), KeepState.CONFIRMED, slices=(use,)),
        replace(opened_for_result(7, 1, 0.25), n_other_runs=2),
        opened(8, 1, 0.1, burned_by="challenger"),
    ]  # fmt: skip
    run = on_page(tmp_path, results, keep="two-tier", pool="digest", n_slices=10)
    assert [each.text for each in cautions([run])] == [
        "slice 7, on which the result is published, was opened before by 2 other runs",
        "slice 3: two jobs answered the same",
        "slice 8 was burned by the challenger: it was silent",
    ]


def test_nothing_to_warn_of(tmp_path: Path) -> None:
    assert cautions([on_page(tmp_path, [BASELINE, (searched(0.1), scored(2.7, kept=True))])]) == []
