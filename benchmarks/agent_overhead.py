"""What a proposal of a coding agent costs beyond the agent's own command: `python -m benchmarks.agent_overhead`.

The real programs, each installed by tests/clients/install.py, do the same work twice, alternating: bare, as a command
on this machine, and as a proposal, in the sandbox and through the gateway. A scripted model on loopback answers at
once: it reads the script, changes one line, and ends. The rehearsal of the script, which any proposer has, is left out.
"""

import argparse
import os
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from agent.agents.headless import HOME, HeadlessRequest
from agent.agents.kinds import AGENTS
from agent.agents.program import find_program
from agent.edits.guard import Guard
from agent.execution.coding_agent.agent_job import open_agent_sandbox
from agent.llm.gateway.dialects import DIALECTS
from agent.llm.gateway.gateway import Gateway
from agent.llm.gateway.sources import Endpoints, Upstream
from agent.modes.coding_agents.proposer import Agent, CodingAgentProposer
from agent.store.paths import RunPaths
from sandbox.job import Sandbox
from tests.agent.modes.run_so_far import BRIEFING, baseline, context
from tests.clients.endpoint import ScriptedEndpoint
from tests.clients.install import Client, client
from tests.clients.proposing import TASK, edit

SOURCE = (TASK / "train.py").read_text(encoding="utf-8")
EDITED = SOURCE.replace("MIX = 0.5", "MIX = 0.9")
COMMANDS = ("cat train.py", "sed -i 's/^MIX = 0.5/MIX = 0.9/' train.py")
KEY = "sk-no-key"
MODEL = "scripted"
TARGET = 2.0  # seconds


def path_of(found: Client) -> str:
    return os.pathsep.join((str(found.program.parent), found.path, os.environ["PATH"]))


def upstream(name: str, endpoint: ScriptedEndpoint) -> str:
    """Return the endpoint's address in the form of an agent's provider."""
    below = "/v1" if DIALECTS[AGENTS[name].dialect].provider.address.endswith("/v1") else ""
    return endpoint.url + below


def bare_seconds(name: str, found: Client, endpoint: ScriptedEndpoint) -> float:
    """Run the agent's command on this machine; return its wall seconds."""
    with tempfile.TemporaryDirectory(prefix="bare-") as scratch:
        home, folder = Path(scratch, "home"), Path(scratch, "work")
        folder.mkdir()
        (folder / "train.py").write_text(SOURCE, encoding="utf-8")
        request = HeadlessRequest("Improve train.py.", str(folder), endpoint.url, MODEL, str(found.program), key=KEY)
        command = AGENTS[name].headless(request)
        for file, text in {".keep": "", **command.home_files}.items():
            (home / file).parent.mkdir(parents=True, exist_ok=True)
            (home / file).write_text(text, encoding="utf-8")
        own = {variable: value.replace(HOME, str(home)) for variable, value in command.environment.items()}
        env = {"PATH": path_of(found), "HOME": str(home), "LANG": "C.UTF-8", **own}
        began = time.monotonic()
        done = subprocess.run(
            command.argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        seconds = time.monotonic() - began
        assert (folder / "train.py").read_text(encoding="utf-8") == EDITED, done.stderr.decode(errors="replace")[-2000:]
        return seconds


def proposal_seconds(name: str, found: Client, endpoint: ScriptedEndpoint, sandbox: Sandbox) -> float:
    """Let the agent propose; return the wall seconds from the call to the proposal."""
    kind = AGENTS[name]
    program = find_program(name, path_of(found), kind.remedy)
    with tempfile.TemporaryDirectory(prefix="proposal-") as scratch:
        proposer = CodingAgentProposer(
            Agent(name, kind.tested, program, MODEL, kind.headless, kind.final_message),
            lambda _context, gateway_socket, check: Gateway(
                Endpoints({kind.dialect: Upstream(upstream(name, endpoint), KEY)}),
                gateway_socket,
                model=f"{name}:{MODEL}",
                price_of=lambda _model: None,
                exchanges=[Path(scratch, "llm.jsonl")],
                check=check,
            ),
            sandbox,
            briefing=BRIEFING,
            guard=Guard(required=("load",)),
            frozen={},
            paths=RunPaths(Path(scratch, "r")),
        )
        began = time.monotonic()
        proposal = proposer.propose(context(SOURCE, [baseline()]))
        seconds = time.monotonic() - began
        assert proposal.edit.apply(SOURCE) == EDITED, proposal.reason
        return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("agents", nargs="*", default=["codex", "claude"], help="codex, claude, opencode")
    parser.add_argument("--pairs", type=int, default=10, help="how often each is run, both ways")
    options = parser.parse_args()
    sandbox = open_agent_sandbox(frozenset())
    try:
        for name in options.agents:
            found, bare, proposed, loads = client(name), [], [], []
            with (
                socket.create_server(("127.0.0.1", 0)) as listening,
                ScriptedEndpoint(edit(name, *COMMANDS, title="mix more"), listening) as endpoint,
            ):
                for _ in range(options.pairs + 1):  # the first pair reads the program from the disk
                    loads.append(os.getloadavg()[0])
                    bare.append(bare_seconds(name, found, endpoint))
                    proposed.append(proposal_seconds(name, found, endpoint, sandbox))
            print(f"{name} {AGENTS[name].tested}, {options.pairs} pairs, load {min(loads):.1f} to {max(loads):.1f}:")
            more = [both - alone for alone, both in zip(bare[1:], proposed[1:], strict=True)]
            for what, seconds in (("bare", bare[1:]), ("proposal", proposed[1:]), ("overhead", more)):
                spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
                print(f"  {what:9} {statistics.median(seconds):6.2f} s (median; {spread})")
            print(f"  target: at most {TARGET:g} s of overhead", flush=True)
    finally:
        sandbox.close()


if __name__ == "__main__":
    main()
