"""What trackers hold of a run: read back with their own libraries, nothing missing and nothing twice."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.errors import TrackError, UsageError
from agent.report.trackers.tracker import facts_of
from agent.report.trackers.updating import check_kind, exclusive, follow, open_tracker, update
from agent.store.git.command import run_git
from agent.store.stored_run import StoredRun
from agent.trials.trial import Origin, Status
from tests.made_runs import BASELINE, failed, made_run, scored, searched

RESULTS = [
    BASELINE,
    (searched(0.5), scored(2.5, kept=True)),
    (searched(0.7, title="a =\t<b>title</b>"), failed(Status.CRASHED, "exit 1: no")),
    (searched(0.6, origin=Origin.LLM), scored(2.75)),
]
BEST = [3.0, 2.5, 2.5, 2.5]


@pytest.fixture
def stored(tmp_path: Path) -> StoredRun:
    return made_run(tmp_path / "runs", RESULTS)


def shorter(tmp_path: Path, stored: StoredRun, n_trials: int) -> None:
    """Let the run have only its first trials, as it was once."""
    lines = stored.paths.journal.read_text().splitlines(keepends=True)
    (tmp_path / "whole").write_text("".join(lines))
    stored.paths.journal.write_text("".join(lines[: 2 * n_trials]))


def whole(tmp_path: Path, stored: StoredRun) -> None:
    stored.paths.journal.write_text((tmp_path / "whole").read_text())


def test_the_facts_follow_from_the_journal(stored: StoredRun) -> None:
    facts = facts_of(stored)
    assert [trial.metrics.get("val_bpb") for trial in facts.trials] == [3.0, 2.5, None, 2.75]
    assert [trial.metrics["best_so_far"] for trial in facts.trials] == BEST
    assert [trial.metrics["spent_seconds"] for trial in facts.trials] == [1.0, 2.0, 2.5, 3.5]
    assert [trial.tags["status"] for trial in facts.trials] == ["ok", "ok", "crashed", "ok"]
    assert [trial.tags["commit"] for trial in facts.trials] == [stored.hashes[number] for number in range(4)]
    assert facts.trials[2].tags["title"] == "a = <b>title</b>"
    assert facts.trials[3].tags["origin"] == "llm"
    assert facts.settings["mode"] == "random"


@pytest.mark.parametrize("name", ["kept", "train_seconds", "dollars"])
def test_a_metric_called_like_another_number_is_value(stored: StoredRun, name: str) -> None:
    as_it_was = facts_of(stored)
    named = facts_of(replace(stored, config=replace(stored.config, metric_name=name)))
    assert named.metric == "value"
    for trial, before in zip(named.trials, as_it_was.trials, strict=True):
        assert trial.metrics.get("value") == before.metrics.get(as_it_was.metric)
        assert trial.metrics.get(name) == before.metrics.get(name)


def test_a_trial_without_its_commit_is_left_for_the_next_time(stored: StoredRun) -> None:
    run_git(["--git-dir", str(stored.repo.path), "tag", "-d", "made/0003"])
    assert [trial.number for trial in facts_of(stored).trials] == [0, 1, 2]


def test_unknown_trackers_and_misplaced_options_are_refused(stored: StoredRun) -> None:
    with pytest.raises(UsageError, match="use one of mlflow, tensorboard, wandb"):
        check_kind("comet")
    with pytest.raises(UsageError, match="--uri is for mlflow; tensorboard writes to"):
        open_tracker("tensorboard", stored.paths, "http://127.0.0.1:1")
    with (
        exclusive(stored.paths, "mlflow"),
        pytest.raises(UsageError, match="another process"),
        exclusive(stored.paths, "mlflow"),
    ):
        pass


# TensorBoard


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    """Read the event files with TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, round(event.value, 4)) for event in events.Scalars(tag)]


def test_tensorboard_draws_the_trials_and_compares_their_parameters(stored: StoredRun, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install tensorboard, to read the event files back")
    folder = stored.paths.root / "tensorboard"
    shorter(tmp_path, stored, 2)
    first = open_tracker("tensorboard", stored.paths)
    assert update(stored, first) == 2
    assert scalars(folder, "best_so_far") == [(0, 3.0), (1, 2.5)]
    whole(tmp_path, stored)
    update(stored, first)
    update(stored, first)
    assert str(folder) in first.close()
    assert scalars(folder, "best_so_far") == list(enumerate(BEST))

    again = open_tracker("tensorboard", stored.paths)  # after an interruption: all of it once, whatever was there
    assert update(stored, again) == 4
    again.close()
    assert scalars(folder, "val_bpb") == [(0, 3.0), (1, 2.5), (3, 2.75)]
    assert scalars(folder, "train_seconds") == [(0, 1.0), (1, 1.0), (2, 0.5), (3, 1.0)]
    assert scalars(folder / "trials" / "0001", "trial/val_bpb") == [(1, 2.5)]
    assert hparams(folder / "trials" / "0003")["MIX"] == 0.6
    assert hparams(folder / "trials" / "0002")["status"] == "crashed"


def hparams(folder: Path) -> dict[str, Any]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    events = EventAccumulator(str(folder))
    events.Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    started = HParamsPluginData.FromString(content).session_start_info
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in started.hparams.items()}


# MLflow


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of files: making the tables of a database takes MLflow ten seconds."""
    pytest.importorskip("mlflow", reason="pip install mlflow-skinny")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return (tmp_path / "mlruns").as_uri()


def mlflow_runs(uri: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("bigram")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))


def assert_whole(uri: str, stored: StoredRun) -> None:
    from mlflow import MlflowClient

    runs = mlflow_runs(uri)
    searches = [run for run in runs if "autocentaur.trial" not in run.data.tags]
    trials = {int(run.data.tags["autocentaur.trial"]): run for run in runs if run not in searches}
    assert len(searches) == 1
    assert len(runs) == 5
    assert searches[0].info.run_name == "made"
    assert searches[0].data.params["mode"] == "random"
    history = MlflowClient(tracking_uri=uri).get_metric_history(searches[0].info.run_id, "best_so_far")
    assert [(point.step, point.value) for point in history] == list(enumerate(BEST))
    assert {run.data.tags["mlflow.parentRunId"] for run in trials.values()} == {searches[0].info.run_id}
    assert [trials[n].data.metrics.get("val_bpb") for n in range(4)] == [3.0, 2.5, None, 2.75]
    assert trials[3].data.params["MIX"] == "0.6"
    assert [trials[n].info.status for n in range(4)] == ["FINISHED", "FINISHED", "FAILED", "FINISHED"]
    assert [trials[n].data.tags["commit"] for n in range(4)] == [stored.hashes[n] for n in range(4)]


def test_mlflow_has_a_run_for_the_search_and_one_for_each_trial(stored: StoredRun, tmp_path: Path, store: str) -> None:
    from mlflow import MlflowClient

    shorter(tmp_path, stored, 2)
    tracker = open_tracker("mlflow", stored.paths, store)
    update(stored, tracker)
    whole(tmp_path, stored)
    update(stored, tracker)
    update(stored, tracker)
    assert store in tracker.close()
    assert_whole(store, stored)

    # Killed while it wrote trial 3, and before the search's curve had it; and trial 1 has been rolled back since.
    client = MlflowClient(tracking_uri=store)
    runs = mlflow_runs(store)
    last = next(run for run in runs if run.data.tags.get("autocentaur.trial") == "3")
    client.update_run(last.info.run_id, status="RUNNING")
    second = next(run for run in runs if run.data.tags.get("autocentaur.trial") == "1")
    client.set_tag(second.info.run_id, "standing", "confirmed")
    again = open_tracker("mlflow", stored.paths, store)
    update(stored, again)
    again.close()
    assert_whole(store, stored)
    assert client.get_run(second.info.run_id).data.tags["standing"] == "provisional"


@pytest.mark.usefixtures("store")
def test_a_server_that_cannot_be_reached_is_tried_again_and_reported_once(
    stored: StoredRun, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    gone = open_tracker("mlflow", stored.paths, "http://127.0.0.1:9")
    looks, lines = iter([False, False, True]), list[str]()
    with pytest.raises(TrackError, match="mlflow: "):
        follow(stored, gone, lambda _: next(looks), lines.append)
    assert len(lines) == 1
    assert "trying again" in lines[0]
    back = open_tracker("mlflow", stored.paths, store)
    assert follow(stored, back, lambda _: True, lines.append) == 4
    back.close()
    assert_whole(store, stored)


@pytest.mark.long
def test_mlflow_in_a_database_as_is_its_default(stored: StoredRun, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="pip install mlflow-skinny")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for _ in range(2):
        tracker = open_tracker("mlflow", stored.paths, uri)
        update(stored, tracker)
        tracker.close()
    assert_whole(uri, stored)


# Weights & Biases


def records(data: bytes) -> Iterator[bytes]:
    """Yield the records of a LevelDB log, which an offline run is: blocks of 32 KiB after a heading of 7 bytes."""
    at, record = 7, b""
    while at < len(data):
        left = 2**15 - at % 2**15
        if left < 7:
            at += left
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        record += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def wandb_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the steps of an offline run. The library has no reader of its own; the messages are its."""
    from wandb.proto.wandb_internal_pb2 import Record

    [path] = folder.glob("wandb/offline-run-*/*.wandb")
    for data in records(path.read_bytes()):
        record = Record.FromString(data)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            yield {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_wandb_writes_an_offline_run_with_one_step_a_trial(stored: StoredRun, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="pip install wandb (70 MB): not part of the dev extra")
    shorter(tmp_path, stored, 1)
    for _ in range(2):
        tracker = open_tracker("wandb", stored.paths)
        update(stored, tracker)
        whole(tmp_path, stored)
        update(stored, tracker)
        assert "wandb sync" in tracker.close()
    rows = list(wandb_rows(stored.paths.root / "wandb"))
    assert [row["_step"] for row in rows] == [0, 1, 2, 3]
    assert [row["best_so_far"] for row in rows] == BEST
    assert [row.get("val_bpb") for row in rows] == [3.0, 2.5, None, 2.75]
    assert rows[3]["params/MIX"] == 0.6
    assert rows[2]["trial/status"] == "crashed"
