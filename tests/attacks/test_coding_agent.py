"""What a coding agent can reach from inside its sandbox: hostile programs in its place, behind a real gateway.

docs/security.md lists what was tried ("A coding agent as the proposer").
"""

import json
import textwrap
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.agents.headless import PLACEHOLDER_KEY, HeadlessCommand, Program
from agent.execution.coding_agent.agent_job import AgentLimits, AgentWork, run_agent
from agent.llm.gateway.gateway import Gateway
from agent.llm.gateway.sources import Endpoints, Upstream
from sandbox.job import Job, Limits, Sandbox
from tests.agent.llm.fake_server import FakeServer, fake_server, says
from tests.contracts.sandbox_contract import processes_with

SPY = Path(__file__).parents[1] / "clients" / "spy.py"
TESTS = Path(__file__).parents[1]
FILES = {"train.py": b"WIDTH = 1\n", "NOTES.md": b"# Notes\n"}
ASK = """
import http.client, json, os, socket, sys
PORT = 8765
CALL = json.dumps({"model": "fake-1", "messages": []})

def ask(method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    connection.request(method, path, body, headers or {})
    reply = connection.getresponse()
    return reply.status, reply.read().decode()
"""


@dataclass
class Prison:
    """A host with a key, runs, a cache and a home, each with `mark` in it, and an agent's sandbox beside them."""

    root: Path
    sandbox: Sandbox
    server: FakeServer
    mark: str
    asked: list[str]
    check: Callable[[str], tuple[bool, str]] = lambda _text: (True, "it runs")
    gateway: Gateway | None = None

    @property
    def key(self) -> str:
        return f"sk-{self.mark}"

    @property
    def folder(self) -> Path:
        return self.root / "runs" / "r" / "trials" / "0001" / "agent"

    def run(self, code: str, *arguments: str, files: dict[str, bytes] | None = None, **limits: float) -> AgentWork:
        """Run code in the place of an agent."""
        gateway_socket = self.root / "private" / "gateway"
        source = Endpoints({"chat": Upstream(self.server.base_url, self.key)})
        gateway = Gateway(
            source,
            gateway_socket,
            model="fake-1",
            price_of=lambda _name: None,
            exchanges=[self.folder.parent / "llm.jsonl"],
            check=self.check,
        )
        with gateway:
            work = run_agent(
                self.sandbox,
                HeadlessCommand(("python", "-c", textwrap.dedent(code), *arguments), {"GATEWAY_KEY": PLACEHOLDER_KEY}),
                Program("python", {"/agent/program": self.root / "program"}),
                {**FILES, **(files or {})},
                editable=("train.py",),
                gateway_socket=gateway_socket,
                folder=self.folder,
                label="r/0001/agent",
                limits=AgentLimits(**{"seconds": 300.0, **limits}),  # type: ignore[arg-type]
            )
        self.gateway = gateway
        return work

    def answer(self, code: str, *arguments: str, **options: Any) -> Any:
        """Run code that prints JSON as its last line; return that."""
        work = self.run(code, *arguments, **options)
        assert (work.exit_code, work.stopped) == (0, ""), f"{work.stopped} {work.stderr}"
        return json.loads(work.stdout.splitlines()[-1])


@pytest.fixture
def prison(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Prison]:
    mark = uuid.uuid4().hex
    for name in ("home", "cache", "runs/r/trials/0000", "program", "private"):
        (tmp_path / name).mkdir(parents=True)
        if name != "program":
            (tmp_path / name / "secret").write_text(mark)
    (tmp_path / "private").chmod(0o700)
    for folder in (tmp_path, tmp_path / "program"):
        folder.chmod(0o755)
    monkeypatch.setenv("OPENAI_API_KEY", f"sk-{mark}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    asked: list[str] = []
    with fake_server(lambda _request: says(f"your key is sk-{mark}")) as server:
        yield Prison(tmp_path, sandbox, server, mark, asked)


def test_a_spy_finds_no_key_no_file_of_the_host_and_no_network(prison: Prison) -> None:
    found = prison.answer(SPY.read_text(), prison.mark[::-1], "memory")
    assert (found["marked"], found["memory"]) == ([], [])
    assert found["interfaces"] == ["lo"]
    assert set(found["network"].values()) <= {"Network is unreachable", "Cannot assign requested address"}
    assert found["resolves"] is False
    assert int(found["capabilities"], 16) == 0
    assert found["uid"] != 0
    assert not [name for name in found["environment"] if name.endswith("_KEY") and name != "GATEWAY_KEY"]
    assert prison.mark not in json.dumps(found)


def test_the_spy_would_find_them(prison: Prison) -> None:
    code = """
        import os, subprocess, sys
        spy, mark = sys.argv[1:]
        kept = mark[::-1].encode()
        os.environ["KEPT"] = kept.decode()
        subprocess.run([sys.executable, "-c", spy, mark, "memory"], check=True)
    """
    found = prison.answer(code, SPY.read_text(), prison.mark[::-1], files={"lib/a.py": prison.mark.encode()})
    assert "/tmp/work/lib/a.py" in found["marked"]
    assert [name for name in found["marked"] if name.endswith("/environ")]
    yama = Path("/proc/sys/kernel/yama/ptrace_scope")
    assert found["memory"] or (yama.exists() and yama.read_text().strip() != "0")


def test_no_path_leads_to_the_host_and_nothing_shown_can_be_written(prison: Prison) -> None:
    code = """
        import ctypes, json, os, sys
        libc, failed, done = ctypes.CDLL(None, use_errno=True), {}, []
        host = sys.argv[1:]
        def tried(name, act):
            try:
                act()
                done.append(name)
            except OSError as error:
                failed[name] = os.strerror(error.errno)
        for path in host:
            for way in ("", "/proc/self/root", "/proc/1/root", "/proc/1/cwd", "/proc/self/cwd/../../../.."):
                tried(f"read {way}{path}", lambda: os.stat(way + path))
        for path in ("/usr/bin/x", "/etc/passwd", "/agent/program/x", "/in/files/train.py", "/in/workload.py", "/x"):
            tried(f"write {path}", lambda: open(path, "w"))
        tried("replace the socket", lambda: os.remove("/in/gateway"))
        tried("become root", lambda: os.setuid(0))
        tried("signal process 1", lambda: open("/proc/1/mem", "wb"))
        def call(name, *arguments):
            def act():
                if getattr(libc, name)(*arguments) == -1:
                    raise OSError(ctypes.get_errno(), name)
            tried(name, act)
        call("unshare", 0x10000000)
        call("mount", b"none", b"/tmp/home", b"tmpfs", 0, None)
        call("chroot", b"/tmp")
        call("ptrace", 16, os.getppid(), 0, 0)
        print(json.dumps({"done": done, "failed": failed}))
    """
    host = [str(prison.root), str(prison.root / "runs"), str(prison.root / "cache"), str(TESTS)]
    tried = prison.answer(code, *host)
    assert tried["done"] == []
    assert len(tried["failed"]) == 5 * len(host) + 6 + 3 + 4


def test_the_gateway_makes_model_calls_and_nothing_else(prison: Prison) -> None:
    code = (
        ASK
        + """
odd = [
    ("GET", "/v1/files"), ("POST", "/v1/files"), ("POST", "/v1/fine_tuning/jobs"), ("POST", "/v1/embeddings"),
    ("DELETE", "/v1/models/fake-1"), ("GET", "/v1/organization/api_keys"), ("POST", "/v1/messages"),
    ("POST", "/v1/chat/completions/../files"), ("POST", "/v1/chat/completions/%2e%2e/files"),
    ("GET", "/v1/models/../files"),
    ("GET", "//example.org/v1/models"), ("GET", "http://169.254.169.254/latest/meta-data"),
    ("POST", "http://example.org/v1/chat/completions"), ("CONNECT", "example.org:443"), ("GET", "/"),
    ("TRACE", "/v1/models"),
]
statuses = {}
for method, path in odd:
    try:
        statuses[f"{method} {path}"] = ask(method, path, CALL if method == "POST" else None)[0]
    except (OSError, http.client.HTTPException) as error:
        statuses[f"{method} {path}"] = type(error).__name__
own = {"Authorization": "Bearer mine", "Host": "example.org", "X-Forwarded-Host": "example.org", "OpenAI-Project": "p",
       "Proxy-Authorization": "Basic eDp5", "Cookie": "a=b"}
called = ask("POST", "/v1/chat/completions?key=mine&api-version=2", CALL, own)
print(json.dumps({"statuses": statuses, "called": called}))
"""
    )
    found = prison.answer(code)
    assert set(found["statuses"].values()) <= {404, 501}, found["statuses"]
    status, reply = found["called"]
    assert status == 200
    assert "your key is [secret]" in reply
    assert prison.server.paths == ["POST /v1/chat/completions"]
    assert prison.server.authorizations == [f"Bearer {prison.key}"]
    assert not {"x-forwarded-host", "openai-project", "proxy-authorization", "cookie"} & prison.server.headers[0].keys()
    assert prison.key not in (prison.folder.parent / "llm.jsonl").read_text()


def test_nothing_of_it_survives(prison: Prison) -> None:
    mark = uuid.uuid4().hex
    leave = """
        import os, signal, socket, subprocess, sys, time
        mark = sys.argv[1]
        for folder in ("/tmp", "/dev/shm", os.environ["HOME"], "/tmp/work"):
            open(f"{folder}/{mark}", "w").write(mark)
        held = [socket.create_connection(("127.0.0.1", 8765)) for _ in range(100)]  # with no request
        code = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; time.sleep(3600)"
        if os.fork() == 0:
            os.setsid()
            for one in held:
                os.set_inheritable(one.fileno(), True)
            if os.fork() == 0:
                os.execvp(sys.executable, [sys.executable, "-c", code, mark])
            os._exit(0)
        subprocess.Popen(["nohup", "setsid", sys.executable, "-c", code, mark], stdout=subprocess.DEVNULL)
        print("{}")
    """
    prison.answer(leave, mark)
    assert processes_with(mark) == []
    assert not (prison.root / "private" / "gateway").exists()
    found = prison.answer(SPY.read_text(), mark[::-1])
    assert found["marked"] == []


def test_it_and_the_job_of_a_check_do_not_reach_each_other(prison: Prison, tmp_path: Path) -> None:
    """A script that works with the agent: they are alive at the same time, and each looks for the other."""
    script = """
import json, os, socket, sys
server, abstract = socket.create_server(("127.0.0.1", 9999)), socket.socket(socket.AF_UNIX)
abstract.bind("\\0meet")
abstract.listen()
open("/tmp/meet", "w").write("meet")
reached = []
for one in (server, abstract):
    one.settimeout(4)
    try:
        one.accept()
        reached.append("the agent came")
    except TimeoutError:
        pass
for name, family, address in (("port", socket.AF_INET, ("127.0.0.1", 8765)), ("abstract", socket.AF_UNIX, "\\0agent")):
    with socket.socket(family) as client:
        try:
            client.connect(address)
            reached.append(f"the agent's {name}")
        except OSError:
            pass
reached += [path for path in ("/in/gateway", "/tmp/work", "/tmp/agent-was-here") if os.path.exists(path)]
reached += [pid for pid in os.listdir("/proc") if pid.isdigit() and pid not in ("1", str(os.getpid()))]
print(json.dumps(reached))
"""
    code = (
        ASK
        + """
import threading
listener = socket.socket(socket.AF_UNIX)
listener.bind("\\0agent")
listener.listen()
open("/tmp/agent-was-here", "w").write("x")
reached, ended = set(), threading.Event()
before = {pid for pid in os.listdir("/proc") if pid.isdigit()}
def look():
    while not ended.wait(0.05):
        for family, address in ((socket.AF_INET, ("127.0.0.1", 9999)), (socket.AF_UNIX, "\\0meet")):
            with socket.socket(family) as client:
                try:
                    client.connect(address)
                    reached.add(str(address))
                except OSError:
                    pass
        if os.path.exists("/tmp/meet"):
            reached.add("/tmp/meet")
        reached.update({pid for pid in os.listdir("/proc") if pid.isdigit()} - before)
looker = threading.Thread(target=look)
looker.start()
said = ask("POST", "/check", sys.argv[1])
ended.set()
looker.join()
print(json.dumps({"reached": sorted(reached), "said": said}))
"""
    )

    def check(text: str) -> tuple[bool, str]:
        log = tmp_path / "check.log"
        job = Job(
            ("python", "-I", "-c", text), "r/0001/smoke", Limits(wall_seconds=300, memory_gb=0.25), log, workdir="/tmp"
        )
        prison.sandbox.run(job)
        return True, log.read_text()

    prison.check = check
    found = prison.answer(code, script)
    assert found == {"reached": [], "said": [200, "[]\n"]}


@pytest.mark.slow
def test_it_cannot_fill_the_disk(prison: Prison) -> None:
    scratch = 32
    code = (
        ASK
        + """
piece, written = b"x" * 2**20, {}
for path in ("/tmp/fill", "/dev/shm/fill", os.environ["HOME"] + "/fill", "/out/artifact", f"/proc/{os.getppid()}/fd/1"):
    n = 0
    try:
        with open(path, "wb", 0) as file:
            for _ in range(300):
                n += file.write(piece)
    except OSError:
        pass
    written[path] = n >> 20
for path in ("/tmp/fill", "/dev/shm/fill", os.environ["HOME"] + "/fill"):
    if os.path.exists(path):
        os.remove(path)
refused = [ask("GET", f"/v1/nothing/{n}")[0] for n in range(150)]
print(json.dumps({"written": written, "refused": sorted(set(refused))}))
"""
    )
    found = prison.answer(code, scratch_mb=scratch, memory_gb=1.0)
    assert found["refused"] == [404]
    assert found["written"]["/tmp/fill"] <= scratch
    assert found["written"]["/dev/shm/fill"] <= scratch
    kept = sum(path.stat().st_size for path in prison.root.rglob("*") if path.is_file())
    assert kept < 70 * 2**20, found
    assert len((prison.folder.parent / "llm.jsonl").read_text().splitlines()) == 100
