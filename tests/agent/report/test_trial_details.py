"""`agent show`: what a trial wrote cannot steer the reader's terminal, and nothing of the exchange is lost."""

import re
from dataclasses import replace
from pathlib import Path

from agent.llm.gateway.dialects import TokenCounts
from agent.llm.gateway.exchanges import AgentExchange, ExchangeFiles
from agent.llm.model import ModelUsage
from agent.llm.recorded_calls import read_calls
from agent.report.trial_details import describe, painted, time_by_phase
from agent.trials.machine_speed import SlotUse
from agent.trials.repeat import Purpose, Repeat, RepeatVerdict
from agent.trials.trial import KeepState, Trial
from tests.made_runs import BASELINE, BEGAN, made_run, scored, searched

CALL = {
    "messages": [{"role": "user", "content": "MIX is 0.5. What now?"}], "reply": "0.25 \x1b[2J", "prompt_tokens": 7,
    "completion_tokens": 3, "seconds": 1.5,
}  # fmt: skip


def test_evidence_changes_and_exchange_are_shown(tmp_path: Path) -> None:
    results = [(searched(0.5), BASELINE[1]), (searched(0.25), scored(2.5, kept=True))]
    stored = made_run(tmp_path / "runs", results, exchanges={1: [CALL]}, logs={1: "step 1\n\x1b]0;title\x07\n"})
    short, full = (describe(stored, stored.trial(1), exchange=exchange) for exchange in (False, True))
    assert "largest difference: 1.5e-07" in short
    assert "  MIX 0.5 → 0.25\n" in short
    assert re.search(r"\ntime: +2026-11-2\d \d\d:\d\d:00 to (2026-11-2\d )?\d\d:\d\d:00 \S+\n", short)
    assert "reply 1: 7 tokens in, 3 out, 1.5 s" in short
    assert "What now?" not in short
    assert "What now?" in full
    assert "\x1b" not in short + full
    assert "0.25 \\x1b[2J" in full


def test_runs_under_other_seeds_are_shown_with_what_they_decided(tmp_path: Path) -> None:
    stored = made_run(tmp_path / "runs", [BASELINE, (searched(0.25), scored(2.5, kept=True))])
    begun = Repeat(1, 1, Purpose.CONFIRM, "t")
    stored.history.repeats.append(begun.finished(scored(2.75), RepeatVerdict(KeepState.REPEATED, 4.0), "t"))
    assert "2.75 (repeated; seed 1, to confirm it: lead 4.0 sigma)" in describe(stored, stored.trial(1))
    assert "seed 1" not in describe(stored, stored.trial(0))


def test_a_difference_is_painted_line_by_line() -> None:
    assert painted("@@ -1 +1 @@\n-a\n+b\n", colour=True).splitlines()[1:] == ["\x1b[31m-a\x1b[0m", "\x1b[32m+b\x1b[0m"]
    assert painted("-a\n", colour=False) == "-a\n"


def test_the_exchange_of_a_coding_agent_is_shown_in_its_dialect(tmp_path: Path) -> None:
    exchange = AgentExchange(
        *("messages", "POST", "/v1/messages", 200, {"model": "m"}, "text/event-stream", "data: {}", 1.25),
        usage=TokenCounts(1000, 50, 400),
    )
    files = ExchangeFiles([tmp_path / "llm.jsonl"], ())
    files.append(exchange)
    files.append(replace(exchange, status=502, reply="", usage=None, fault="the connection was lost"))
    first, second = read_calls(tmp_path / "llm.jsonl")
    assert first.describe(1) == "reply 1: 1000 tokens in, 50 out, 1.2 s"
    assert (first.messages, first.reply) == ((("request", '{"model": "m"}'),), "data: {}")
    assert (second.describe(2), second.reply) == ("reply 2: 0 tokens in, failed", "the connection was lost")


def test_a_transcript_with_a_torn_end_is_read_up_to_it(tmp_path: Path) -> None:
    path = tmp_path / "llm.jsonl"
    path.write_text('{"reply": "yes", "messages": []}\n{"error": "timeout", "messages": []}\n{"reply": "y')
    assert [(call.reply, call.failed) for call in read_calls(path)] == [("yes", False), ("timeout", True)]
    assert read_calls(tmp_path / "none") == []


def test_the_time_of_a_trial_is_divided_among_its_phases() -> None:
    outcome = replace(scored(2.5), wall_seconds=10.0, total_seconds=20.0, place=SlotUse(1, "", 15.0, 2.0, 20.0))
    proposal = replace(searched(0.1), smoke_seconds=1.5, usage=ModelUsage("m", seconds=3.0))
    trial = Trial(1, 0, proposal, BEGAN.isoformat(), outcome)
    assert time_by_phase(trial) == [
        ("model", 3.0), ("rehearsal", 1.5), ("waiting for a worker", 2.0), ("training", 10.0), ("scoring", 0.5),
        ("rest", 3.0),
    ]  # fmt: skip
    assert time_by_phase(Trial(1, 0, proposal, BEGAN.isoformat())) == []
