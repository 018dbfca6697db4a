"""Stand-ins for a model answer as their skill says, from the prompt alone; the ladder compares them with the host."""

import json

import numpy as np
import pytest

from agent.llm.model import Message, Schema
from benchmarks.autoresearch.experiment import DEFAULTS, LIMIT_GB
from benchmarks.autoresearch.stand_ins import PLAIN, SKILLS, StandIn, incumbent_of
from benchmarks.autoresearch.surrogate import Surrogate
from benchmarks.skill import Job, PairedLedger, search

SURROGATE = Surrogate("gp")
TABLE = "name,type,low,high,best\n" + "\n".join(f"{name},int,0,1,{value}" for name, value in DEFAULTS.items())
MESSAGES = [Message("system", ""), Message("user", TABLE)]


def losses(name: str, n_replies: int = 10) -> list[float]:
    """Return the losses, without noise, of the points that a stand-in likes best."""
    model = StandIn(name, SURROGATE, seed=3)
    replies = [json.loads(model.complete(MESSAGES, Schema("configurations", {})).text) for _ in range(n_replies)]
    assert all(len(reply["configurations"]) == 4 for reply in replies)
    return [SURROGATE.mean(PLAIN.canonical(reply["configurations"][0])) for reply in replies]


def test_the_incumbent_is_read_from_the_last_column_of_the_table() -> None:
    assert incumbent_of(TABLE) == DEFAULTS


def test_the_rungs_of_the_ladder_are_in_order() -> None:
    mean = {name: float(np.mean(losses(name))) for name in SKILLS}
    default = SURROGATE.mean(DEFAULTS)
    assert mean["strong"] < mean["weak"] < mean["saboteur"] < mean["adversary"]
    assert mean["strong"] < default < mean["random"]
    assert mean["copyist"] == pytest.approx(default, abs=0.002)


def test_what_sees_memory_offers_only_what_fits() -> None:
    model = StandIn("adversary", SURROGATE, seed=0)
    points = json.loads(model.complete(MESSAGES, Schema("configurations", {})).text)["configurations"]
    assert max(SURROGATE.memory_gb(point) for point in points) <= LIMIT_GB


def test_without_a_list_in_the_schema_the_answer_is_one_configuration() -> None:
    answer = json.loads(StandIn("random", SURROGATE, seed=0).complete(MESSAGES, Schema("configuration", {})).text)
    assert PLAIN.validate(answer) == []


def test_paired_searches_see_the_same_loss_for_the_same_configuration() -> None:
    first, second = (PairedLedger(SURROGATE, 4, 3600.0) for _ in range(2))
    other = {**DEFAULTS, "DEPTH": 9}
    second.run(other)
    assert first.run({**DEFAULTS, "DEPTH": 7}) == second.run({**DEFAULTS, "DEPTH": 7})
    assert PairedLedger(SURROGATE, 5, 3600.0).baseline != first.baseline


@pytest.mark.parametrize("host", ["cma-es", "local-gp"])
def test_a_saboteur_is_asked_less_often_and_runs_less_than_a_strong_model(host: str) -> None:
    found = {
        name: [search(Job("gp", host, name, seed, 4.0)).counts for seed in (1, 2, 3)] for name in ("saboteur", "strong")
    }
    ran = {name: sum(counts["ran"] for counts in those) for name, those in found.items()}
    kept = {name: sum(counts["kept"] for counts in those) for name, those in found.items()}
    assert ran["saboteur"] < ran["strong"]
    assert kept["saboteur"] < kept["strong"]


def test_what_is_read_at_four_hours_does_not_depend_on_the_hours_that_follow() -> None:
    """So a search may stop at the hour that is read."""
    short, long = (search(Job("gp", "cma-es", "weak", 7, hours)) for hours in (2.0, 4.0))
    assert long.curve[: len(short.curve) - 1] == short.curve[:-1]
