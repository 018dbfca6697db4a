"""A lead on examples is right on average, and wrong by as much as its error says, for every measure."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.execution.scoring.measures import Labels, Outputs, measured
from agent.execution.slices.row_lead import SHARES, row_lead
from agent.task.measure_table import MEASURES
from agent.task.spec import ScoreSpec
from agent.trials.metric import Metric

N, N_PAIRS = 300, 400
CLASSES = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
TWO_CLASSES = np.array([0.9, 0.1])


def spec(measure: str) -> ScoreSpec:
    return ScoreSpec(kind="predictions", measure=measure, top_k=2 if measure == "top_k_accuracy" else None)


def metric(measure: str) -> Metric:
    return Metric("m", MEASURES[measure].goal)


def drawn(measure: str, n: int, chance: np.random.Generator) -> tuple[Outputs, Outputs, Labels]:
    """Outputs of a better and a worse model that are alike, each (n, C), and labels, (n,)."""
    if not MEASURES[measure].outputs.of_classes:
        numbers = chance.standard_t(5, n)
        common = chance.normal(0, 0.7, n)
        better = numbers + common + chance.normal(0, 0.5, n)
        worse = 0.8 * numbers + common + chance.normal(0, 0.9, n)
        return better[:, None], worse[:, None], numbers
    shares = TWO_CLASSES if measure == "auc" else CLASSES
    labels = chance.choice(len(shares), n, p=shares)
    common = chance.normal(0, 1, (n, len(shares)))
    common[np.arange(n), labels] += 1.2
    better = common + chance.normal(0, 0.5, common.shape)
    better[np.arange(n), labels] += 0.3
    return better, common + chance.normal(0, 0.5, common.shape), labels


@pytest.mark.slow
@pytest.mark.parametrize("measure", MEASURES)
def test_the_error_covers_as_often_as_it_says(measure: str) -> None:
    """400 slices of 300 examples: 95 % intervals hold the truth in 90 to 98 % of them, and the bias is small."""
    score, of, chance = spec(measure), metric(measure), np.random.default_rng(20261129)
    better, worse, labels = drawn(measure, 400_000, chance)
    truth = of.to_loss(measured(score, worse, labels)) - of.to_loss(measured(score, better, labels))
    assert truth > 0
    leads = []
    for _ in range(N_PAIRS):
        better, worse, labels = drawn(measure, N, chance)
        leads.append(row_lead(score, of, [better], [worse], labels))
    off = np.array([lead.mean for lead in leads]) - truth
    errors = np.array([lead.error for lead in leads])
    assert 0.90 < (np.abs(off) < 1.96 * errors).mean() < 0.98
    assert abs(off.mean()) < 4 * off.std() / math.sqrt(N_PAIRS)
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(off.std(), rel=0.2)


def test_the_lead_is_the_difference_of_the_losses(chance: np.random.Generator) -> None:
    for measure in MEASURES:
        score, of = spec(measure), metric(measure)
        better, worse, labels = drawn(measure, N, chance)
        third = (better + worse) / 2
        loss = [of.to_loss(measured(score, outputs, labels)) for outputs in (better, third, worse)]
        assert row_lead(score, of, [better], [worse], labels).mean == pytest.approx(loss[2] - loss[0])
        assert row_lead(score, of, [better, third], [worse], labels).mean == pytest.approx(
            loss[2] - (loss[0] + loss[1]) / 2
        )


def test_models_that_answer_alike_have_no_lead_and_the_least_error(chance: np.random.Generator) -> None:
    for measure in MEASURES:
        outputs, _, labels = drawn(measure, N, chance)
        lead = row_lead(spec(measure), metric(measure), [outputs], [outputs], labels)
        assert lead.mean == 0.0
        assert lead.error == pytest.approx(1 / math.sqrt(N * (N - 1)) if measure in SHARES else 0.0)


def test_a_pair_has_a_smaller_error_than_its_models_alone(chance: np.random.Generator) -> None:
    """Both models of a pair are right about the same examples, mostly: their difference varies less."""
    better, worse, labels = drawn("accuracy", 20_000, chance)
    other, _, others = drawn("accuracy", 20_000, chance)
    paired = row_lead(spec("accuracy"), metric("accuracy"), [better], [worse], labels).error
    rights: list[NDArray[np.bool_]] = [found.argmax(1) == own for found, own in ((other, others), (worse, labels))]
    alone = math.sqrt(sum(right.var() / len(right) for right in rights))
    assert paired < 0.8 * alone


def test_a_rare_class_is_in_what_is_left_of_every_group(chance: np.random.Generator) -> None:
    labels = np.zeros(1000, np.int64)
    labels[::100] = 1  # all of them in one group, if every hundredth example made one
    better, worse = chance.normal(size=(1000, 1)) + labels[:, None], chance.normal(size=(1000, 1))
    lead = row_lead(spec("auc"), metric("auc"), [better], [worse], labels)
    assert 0.03 < lead.error < 0.3


@pytest.fixture
def chance() -> np.random.Generator:
    return np.random.default_rng(7)
