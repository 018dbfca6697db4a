"""What comes of a coding agent's work: small programs of our own in its place, in the real sandbox."""

import re
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from agent.agents.headless import FinalMessage, HeadlessCommand, HeadlessRequest, Program
from agent.edits.guard import Guard
from agent.errors import ModelBudgetSpentError, ModelError
from agent.execution.coding_agent.agent_job import AgentLimits
from agent.execution.smoke_test import Rehearse, SmokeResult
from agent.llm.gateway.check_requests import MAX_CHECKS
from agent.llm.model import ModelUsage
from agent.modes.coding_agents.proposer import Agent, CodingAgentProposer, ModelAccess
from agent.modes.proposer import Context
from agent.store.paths import RunPaths
from agent.trials.trial import Origin, Proposal, Status
from sandbox.job import Sandbox
from tests.agent.modes.run_so_far import BRIEFING, baseline, context, trial

SOURCE = "DEPTH = 4  # layers\nLR = 0.04\n\n\ndef load(path):\n    return path\n"
EDIT = "s = open('train.py').read().replace('DEPTH = 4', 'DEPTH = 6')\nopen('train.py', 'w').write(s)\n"
TITLE = "print('I did it.\\nTITLE: deeper model')\n"
USAGE = ModelUsage("fake-1", 3, 900, 60, 1.5, 0.02)


@dataclass
class Gateway:
    """A gateway that only answers checks; a test sets its other attributes."""

    usage: ModelUsage = USAGE
    stop_reason: str | None = None
    unreachable: str | None = None
    spent: str = ""
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def open(
        self, _context: Context, gateway_socket: Path, check: Callable[[str], tuple[bool, str]]
    ) -> Iterator[ModelAccess]:
        if self.spent:
            raise ModelBudgetSpentError(self.spent)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/check"
                passed, answer = check(self.rfile.read(int(self.headers["Content-Length"])).decode())
                text = answer.encode()
                self.send_response(200 if passed else 422)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def address_string(self) -> str:
                return "agent"

            def log_message(self, *_arguments: object) -> None: ...

        with socketserver.ThreadingUnixStreamServer(str(gateway_socket), Handler) as server:
            gateway_socket.chmod(0o666)
            server.block_on_close = False  # the real one, too, does not wait for a check
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            yield self
            server.shutdown()


Propose = Callable[..., Proposal]


@pytest.fixture
def propose(sandbox: Sandbox, tmp_path: Path) -> Propose:
    def of(
        code: str,
        seen: Context | None = None,
        gateway: Gateway | None = None,
        rehearse: Rehearse | None = None,
        limits: AgentLimits = AgentLimits(seconds=60),  # noqa: B008 (frozen)
    ) -> Proposal:
        def headless(request: HeadlessRequest) -> HeadlessCommand:
            return HeadlessCommand((request.program, "-c", code), {"PROMPT": request.prompt, "MODEL": request.model})

        agent = Agent("fake", "1.0", Program("python"), "fake-1", headless, lambda out: FinalMessage(out, session="s1"))
        proposer = CodingAgentProposer(
            agent,
            (gateway or Gateway()).open,
            sandbox,
            briefing=BRIEFING,
            guard=Guard(required=("load",)),
            frozen={"prepare.py": b"FROZEN = 1\n"},
            paths=RunPaths(tmp_path / "r"),
            limits=limits,
            rehearse=rehearse,
            log_of=lambda number: f"log of trial {number}\n",
        )
        return proposer.propose(seen or context(SOURCE, [baseline()]))

    return of


def test_the_script_is_the_edit(propose: Propose) -> None:
    found = propose(EDIT + TITLE)
    assert found.edit.apply(SOURCE) == SOURCE.replace("DEPTH = 4", "DEPTH = 6")
    assert (found.origin, found.title, found.refused, found.usage) == (Origin.AGENT, "deeper model", None, USAGE)
    assert found.agent is not None
    assert (found.agent.name, found.agent.version, found.agent.session) == ("fake", "1.0", "s1")
    assert found.agent.ending == "exit code 0"
    assert Proposal.from_json(found.to_json()) == found


def test_the_agent_reads_what_a_model_would(propose: Propose) -> None:
    tried = trial(1, "wider", status=Status.CRASHED, reason="no such name")
    code = """
import os, sys
notes, prompt = open("NOTES.md").read(), os.environ["PROMPT"]
for text in ("minimise val_bpb", "wider", "no such name", "log of trial 1", "23 trials", "prepare.py, score.py"):
    assert text in notes, text
assert "train.py" in prompt and "./check" in prompt and "$" not in prompt
assert sorted(os.listdir()) == [".check", "NOTES.md", "check", "prepare.py", "train.py"]
"""
    found = propose(code + EDIT, context(SOURCE, [baseline(), tried]))
    assert found.refused is None, found.reason


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("print('I looked around.')", Status.NO_PROPOSAL, "fake made no change: I looked around."),
        ("import os; os.remove('train.py')", Status.INVALID_EDIT, "the agent left no train.py: it was deleted"),
        ("import os; os.remove('train.py'); os.symlink('/etc/passwd', 'train.py')", Status.INVALID_EDIT, "a link"),
        ("open('train.py', 'a').write('# a comment\\n')", Status.DUPLICATE, "changes nothing but comments"),
        ("open('train.py', 'w').write('def broken(')", Status.INVALID_EDIT, "does not parse"),
        ("open('train.py', 'w').write('x = 1')", Status.INVALID_EDIT, "no longer defines load"),
        ("open('train.py', 'wb').write(b'x' * 10_000_000)", Status.INVALID_EDIT, "more than 200000 bytes"),
        (f"{EDIT}import sys; sys.exit(3)", Status.NO_PROPOSAL, "fake ended with 3"),
        ("import os; [os.fork() for _ in range(100)]; import time; time.sleep(100)", Status.NO_PROPOSAL, "fake"),
        ("while True: print('flood ' * 1000)", Status.NO_PROPOSAL, "fake"),
    ],
)
def test_what_is_no_proposal_is_refused_by_name(propose: Propose, code: str, status: Status, reason: str) -> None:
    found = propose(code, limits=AgentLimits(seconds=10, processes=32, scratch_mb=64))
    assert (found.refused, found.origin, found.usage) == (status, Origin.AGENT, USAGE)
    assert reason in found.reason
    assert "\n" not in found.reason


def test_a_stalled_agent_gives_no_half_made_edit(propose: Propose) -> None:
    found = propose(f"{EDIT}import time; time.sleep(600)", limits=AgentLimits(seconds=2))
    assert (found.refused, found.reason) == (Status.NO_PROPOSAL, "fake: it was stopped after 2 s")
    assert found.agent is not None
    assert found.agent.ending == "it was stopped after 2 s"


def test_other_files_are_listed_in_the_journal(propose: Propose) -> None:
    found = propose(f"{EDIT}{TITLE}open('eval.py', 'w').write('x')")
    assert found.refused is None
    assert found.agent is not None
    assert found.agent.changed == ("eval.py",)


def test_a_copy_of_an_earlier_trial_is_a_duplicate(propose: Propose) -> None:
    first = propose(EDIT + TITLE)
    seen = context(SOURCE, [baseline(), trial(1, loss=3.0, fingerprint=first.fingerprint)])
    second = propose(EDIT, seen)
    assert (second.refused, second.copied_from) == (Status.DUPLICATE, "trial 1")


def test_caps_and_keys(propose: Propose) -> None:
    capped = propose(EDIT, gateway=Gateway(stop_reason="100 calls"))
    assert (capped.refused, capped.reason) == (Status.NO_PROPOSAL, "fake reached a limit of its proposal: 100 calls")
    with pytest.raises(ModelBudgetSpentError, match="the cap of 900"):
        propose(EDIT, gateway=Gateway(spent="the cap of 900 model tokens is reached"))
    with pytest.raises(
        ModelError, match="fake cannot reach its model: 401 wrong key; correct this, then: agent resume"
    ):
        propose(EDIT, gateway=Gateway(unreachable="401 wrong key"))


def test_check_shows_a_traceback_before_the_agent_hands_in(propose: Propose) -> None:
    """Its last script is rehearsed once more, as any model's."""
    rehearsed: list[str] = []

    def rehearse(source: str, number: int) -> SmokeResult:
        rehearsed.append(source)
        if "DEPTH = 6" in source:
            return SmokeResult(0.5)
        return SmokeResult(1.0, Status.CRASHED, "NameError: no such name", "Traceback\n  File x\nNameError\n")

    code = f"""
import subprocess
def check():
    done = subprocess.run(["./check"], capture_output=True, text=True)
    return done.stdout + done.stderr
open("train.py", "a").write("raise NameError\\n")
first = check()
assert "crashed: NameError: no such name" in first and "File x" in first, first
s = open("train.py").read().replace("raise NameError\\n", "").replace("DEPTH = 4", "DEPTH = 6")
open("train.py", "w").write(s)
answers = [check() for _ in range({MAX_CHECKS} - 1)]
assert "ok: one step ran" in answers[0], answers
{TITLE}"""
    found = propose(code, rehearse=rehearse)
    assert found.refused is None, found.reason
    assert len(rehearsed) == MAX_CHECKS + 1  # the last is that of the proposal
    assert found.smoke_seconds == pytest.approx(1.0 + 0.5 * MAX_CHECKS)


def test_check_does_not_claim_a_rehearsal_that_there_was_not(propose: Propose) -> None:
    def rehearse(_source: str, _number: int) -> SmokeResult:
        return SmokeResult(0.0, why_none="its training cannot be made short")

    code = f"""
import subprocess
done = subprocess.run(["./check"], capture_output=True, text=True)
assert "it was not rehearsed: its training cannot be made short" in done.stdout, done
assert "one step ran" not in done.stdout
{EDIT}{TITLE}"""
    found = propose(code, rehearse=rehearse)
    assert found.refused is None, found.reason


def test_a_check_that_the_agent_does_not_wait_for_ends_before_its_script_is_rehearsed(propose: Propose) -> None:
    """Both use the same files."""
    n_running, most = 0, 0
    begun = threading.Event()

    def rehearse(_source: str, _number: int) -> SmokeResult:
        nonlocal n_running, most
        n_running += 1
        most = max(most, n_running)
        begun.set()
        time.sleep(1)
        n_running -= 1
        return SmokeResult(0.5)

    code = """
import http.client
connection = http.client.HTTPConnection("127.0.0.1", 8765)
connection.request("POST", "/check", open("train.py").read())
import time; time.sleep(0.5)  # and no look at the reply
"""
    found = propose(code + EDIT, rehearse=rehearse)
    assert found.refused is None, found.reason
    assert begun.is_set()
    assert most == 1


def test_a_script_whose_rehearsal_fails_is_a_crashed_trial_with_its_edit(propose: Propose) -> None:
    def rehearse(_source: str, _number: int) -> SmokeResult:
        return SmokeResult(1.0, Status.CRASHED, "NameError", "Traceback\n")

    found = propose(EDIT + TITLE, rehearse=rehearse)
    assert found.refused is Status.CRASHED
    assert found.edit.apply(SOURCE) == SOURCE.replace("DEPTH = 4", "DEPTH = 6")
    assert re.search("NameError", found.reason)
