"""The headline of a run distinguishes reverted, provisional, repeated and rolled-back trials; only one is a claim."""

from pathlib import Path

import pytest

from agent.edits.edit import Unchanged
from agent.errors import UsageError
from agent.report.json_documents import result_json
from agent.report.run_summary import headline, noise_summary, summary
from agent.report.trial_table import trial_lines
from agent.store import run_config
from agent.store.journal import Journal, read_history
from agent.store.paths import RunsFolder
from agent.store.run_config import keep_options
from agent.store.stored_run import NOISE_MEASURED, measured_sigma
from agent.task.task import Task
from agent.trials.events import RepeatFinished, RepeatStarted, TrialFinished, TrialStarted
from agent.trials.history import History
from agent.trials.keeping.keep_rule import KeepPolicy, KeepRule
from agent.trials.metric import Metric
from agent.trials.repeat import Purpose, RepeatVerdict
from agent.trials.trial import KeepState, Origin, Outcome, Proposal, Status

RULE = KeepRule(paired=True, sigma=0.01)
METRIC = Metric(name="val_bpb")


class Past:
    """A run made of losses: trials, and repeats of them."""

    def __init__(self, rule: KeepRule = RULE) -> None:
        self.history = History([])
        self.keeper = KeepPolicy(rule)

    def trial(self, loss: float) -> "Past":
        number = len(self.history.trials)
        outcome = self.keeper.decide(Outcome(Status.OK, loss), 0)
        parent = self.history.incumbent.number if self.history.incumbent else None
        self.history.add(
            TrialStarted(
                number, parent, Proposal(Origin.LLM, f"idea {number}", Unchanged()), "2026-11-21T22:00:00+00:00"
            )
        )
        self.keeper.observe(self.history.add(TrialFinished(number, outcome, "2026-11-21T22:00:00+00:00")))
        return self

    def again(self, trial: int, seed: int, loss: float, purpose: Purpose = Purpose.CONFIRM) -> "Past":
        self.history.add(RepeatStarted(trial, seed, purpose, "2026-11-21T22:00:00+00:00"))
        self.keeper.read(trial, seed, loss)
        verdict = self.keeper.verdict(trial, seed) if purpose is Purpose.CONFIRM else None
        if verdict is not None:
            self.keeper.move(trial, verdict.standing)
        self.history.add(RepeatFinished(trial, seed, Outcome(Status.OK, loss), verdict, "2026-11-21T22:00:00+00:00"))
        return self

    @property
    def summary(self) -> str:
        return "\n".join(headline(self.history, METRIC, self.keeper))


def repeated() -> Past:
    return Past().trial(1.0).trial(0.9).again(0, 1, 1.01, Purpose.CHAMPION).again(1, 1, 0.92)


def test_a_run_without_a_gain_says_so() -> None:
    past = Past().trial(1.0).trial(1.1)
    assert "no trial was lower" in past.summary
    gain = Metric(name="val_acc", goal="maximise")
    assert "no trial was higher" in "\n".join(headline(past.history, gain, past.keeper))


def test_a_script_that_follows_no_seed_has_no_noise_to_write_down() -> None:
    output = "\n".join(noise_summary(Past().trial(1.0).trial(1.0).history.trials, METRIC))
    assert "val_bpb is 1.000000 under all 2 training seeds" in output
    assert "TRAIN_SEED" in output
    assert "[noise]" not in output


def test_sigma_is_a_guess_until_a_repeat_has_measured_it() -> None:
    assert "is a guess at the noise of one run, from an earlier estimate: no repeat" in Past().trial(1.0).summary
    unknown = KeepRule(sigma_share=0.02)
    assert (
        "sigma 0.02 is a guess at the noise of one run, from 2 % of the baseline's loss"
        in Past(unknown).trial(1.0).summary
    )
    named = KeepRule(sigma=0.01, sigma_source="[noise] of task.toml")
    assert "from [noise] of task.toml" in Past(named).trial(1.0).summary
    earlier = KeepRule(sigma=0.01, sigma_source=NOISE_MEASURED)
    assert "sigma 0.01 is the noise of one run, measured by `agent noise`" in Past(earlier).trial(1.0).summary
    measured = Past().trial(1.0).again(0, 1, 1.01, Purpose.BASELINE).summary
    assert "is the noise of one run, measured so far" in measured


def test_repeats_of_a_script_that_follows_no_seed_measure_no_noise() -> None:
    past = Past(KeepRule(sigma=0.01)).trial(1.0).trial(0.5).again(0, 1, 1.0, Purpose.BASELINE).again(1, 1, 0.5)
    assert past.keeper.sigma == 0.01  # it has not shrunk
    assert "±" not in past.summary
    assert "sigma 0.01 is a guess" in past.summary
    assert "every seed gives the same loss to the last digit; let the script take its seed" in past.summary
    assert result_json(past.history, past.keeper)["champion_error"] is None


def test_a_gain_in_one_run_is_provisional_and_not_called_improved() -> None:
    output = Past().trial(1.0).trial(0.98).summary
    assert "no gain has been repeated" in output
    assert "gains are repeated, not confirmed: the task has no pool" in output
    assert "provisional: trial 1, val_bpb 0.980000" in output
    assert "-0.020000 from the baseline at 1.000000 (same seed): 2.0 sigma, not repeated" in output
    assert "improved" not in output


def test_what_a_lead_is_measured_from_is_shown_beside_it() -> None:
    past = Past(KeepRule(sigma=0.01)).trial(1.0).trial(0.5).again(0, 1, 1.5, Purpose.BASELINE)
    assert "-0.750000 from the baseline at 1.250000 (2 runs): " in past.summary
    paired = Past(KeepRule(paired=True, sigma=0.05)).trial(1.0).trial(0.9)
    paired.again(0, 1, 1.01, Purpose.CHAMPION).again(1, 1, 1.0).again(0, 2, 7.0, Purpose.CHAMPION)
    assert (
        "the mean of its 2 runs is 0.950000, -0.055000 from the baseline at 1.005000 (same seeds): " in paired.summary
    )


def test_a_repeated_gain_is_that_of_the_run_that_did_not_choose_it_and_not_called_confirmed() -> None:
    output = repeated().summary
    assert output.startswith("repeated: trial 1, val_bpb 0.920000")
    assert "improved by 0.085000 on the baseline 1.005000" in output


def test_final_runs_make_the_headline() -> None:
    past = repeated().again(1, 100, 0.93, Purpose.FINAL).again(1, 101, 0.95, Purpose.FINAL)
    assert "val_bpb 0.940000" in past.summary
    assert "(2 fresh runs)" in past.summary
    assert result_json(past.history, past.keeper)["champion_runs"] == 2


def test_what_stands_on_the_champion_is_named_beside_it() -> None:
    output = repeated().trial(0.89).summary
    assert output.startswith("repeated: trial 1")
    assert "provisional: trial 2" in output
    assert "from trial 1 at " in output


def test_under_the_paper_s_rule_nothing_is_ever_confirmed() -> None:
    output = Past(KeepRule("any", sigma=0.01)).trial(1.0).trial(0.5).summary
    assert "not confirmed" in output
    assert "improved" not in output


def test_repeats_have_lines_and_changes_are_to_the_incumbent_of_the_moment() -> None:
    past = Past().trial(1.0).trial(0.9).again(0, 1, 1.0, Purpose.CHAMPION).again(1, 1, 1.2).trial(1.1)
    lines = trial_lines(past.history, past.history.timeline, {}, METRIC, colour=False)
    assert ["rolled back" in line for line in lines] == [False, False, True, False, True, False]
    assert "+0.10000" in lines[-1]  # to the champion, not to what was rolled back
    assert "2 repeats" in "\n".join(summary(past.history, METRIC, past.keeper))


def test_a_chain_is_repeated_as_a_whole() -> None:
    past = Past().trial(1.0).trial(0.98).trial(0.96).again(0, 1, 1.01, Purpose.CHAMPION).again(2, 1, 0.95)
    assert [trial.standing for trial in past.history.trials] == [
        KeepState.CONFIRMED,
        KeepState.REPEATED,
        KeepState.REPEATED,
    ]


def test_a_history_can_be_read_as_it_was_before_a_trial(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    lucky = RepeatVerdict(KeepState.ROLLED_BACK, -1.0)
    for event in (
        TrialStarted(0, None, Proposal(Origin.BASELINE, "", Unchanged()), "2026-11-21T22:00:00+00:00"),
        TrialFinished(0, Outcome(Status.OK, 1.0, kept=True), "2026-11-21T22:00:00+00:00"),
        TrialStarted(1, 0, Proposal(Origin.LLM, "", Unchanged()), "2026-11-21T22:00:00+00:00"),
        TrialFinished(1, Outcome(Status.OK, 0.9, kept=True), "2026-11-21T22:00:00+00:00"),
        RepeatStarted(1, 1, Purpose.CONFIRM, "2026-11-21T22:00:00+00:00"),
        RepeatFinished(1, 1, Outcome(Status.OK, 1.2), lucky, "2026-11-21T22:00:00+00:00"),
        TrialStarted(2, 0, Proposal(Origin.LLM, "", Unchanged()), "2026-11-21T22:00:00+00:00"),
    ):
        journal.append(event)
    journal.close()
    was = read_history(journal.path, before=2)
    assert was.incumbent is not None
    assert (was.incumbent.number, len(was.trials), was.in_flight) == (0, 2, {})


@pytest.mark.parametrize(("asked", "n_trials", "final_runs"), [(None, 8, 0), (None, 20, 3), (1, 8, 1), (0, 100, 0)])
def test_a_short_run_is_not_lengthened_by_final_runs(
    bigram: Task, asked: int | None, n_trials: int, final_runs: int
) -> None:
    options = keep_options(bigram, None, asked, n_trials=n_trials, on_gpu=False)
    assert (options["keep"], options["paired"], options["final_runs"]) == ("two-tier", True, final_runs)


def test_a_rule_that_there_is_not_is_refused(bigram: Task) -> None:
    with pytest.raises(UsageError, match="two-tier or any"):
        keep_options(bigram, "baseline", None, n_trials=8, on_gpu=False)


def test_the_noise_that_was_measured_here_is_known_to_later_runs(tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path / "runs")
    assert measured_sigma(runs, "digest") is None
    runs.prepare()
    paths = runs.run("noise")
    paths.root.mkdir()
    config = run_config.checked(
        run_id="noise", mode="noise", task_folder="x", task_name="x", task_digest="digest", keep="baseline"
    )
    run_config.save(paths.run_json, config, {})
    journal = Journal(paths.journal)
    for number, loss in enumerate([1.0, 2.0, 3.0]):
        assert measured_sigma(runs, "digest") is None  # too few to say
        journal.append(
            TrialStarted(
                number, None, Proposal(Origin.BASELINE, "", Unchanged(), train_seed=number), "2026-11-21T22:00:00+00:00"
            )
        )
        journal.append(TrialFinished(number, Outcome(Status.OK, loss, kept=number == 0), "2026-11-21T22:00:00+00:00"))
    journal.close()
    assert measured_sigma(runs, "digest") == 1.0
    assert measured_sigma(runs, "another") is None
