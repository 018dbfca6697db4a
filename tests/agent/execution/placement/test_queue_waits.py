"""Why jobs wait for a cluster: each reason is said once, and a file has the present ones."""

from pathlib import Path

from agent.execution.placement.queue_waits import QueueWaits, read_waits


def test_a_reason_is_reported_once_also_when_the_nodes_that_slurm_lists_change(tmp_path: Path) -> None:
    lines: list[str] = []
    waits = QueueWaits(tmp_path, lines.append)
    for label, nodes in (("r/0001/train", "n1"), ("r/0002/train", "n[1-2]"), ("r/0001/train", "n2")):
        waits.begin(label, f"in the queue: nodes are down (ReqNodeNotAvail, UnavailableNodes:{nodes})")
    waits.begin("r/0001/claim", "in the queue: QOSMaxJobsPerUserLimit")
    assert lines == [
        "r/0001/train waits in the queue: nodes are down (ReqNodeNotAvail, UnavailableNodes:n1)",
        "r/0001/claim waits in the queue: QOSMaxJobsPerUserLimit",
    ]
    assert read_waits(tmp_path)["r/0001/train"].endswith("UnavailableNodes:n2)")


def test_the_file_has_what_waits_now_and_goes_with_the_run(tmp_path: Path) -> None:
    waits = QueueWaits(tmp_path, lambda _line: None)
    assert read_waits(tmp_path) == {}
    waits.begin("a", "x\x1b[31m\ny")
    waits.begin("b", "z")
    waits.end("b")
    waits.end("never began")
    assert read_waits(tmp_path) == {"a": "x [31m y"}
    waits.close()
    waits.close()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_stops_no_run(tmp_path: Path) -> None:
    lines: list[str] = []
    QueueWaits(tmp_path / "missing", lines.append).begin("a", "for a node")
    assert lines == ["a waits for a node"]
