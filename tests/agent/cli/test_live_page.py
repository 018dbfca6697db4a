"""`agent serve` as a process: its link, its port, its events, its end; and a real run that is steered through it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from agent.server.live_page.access import CONTROL_HEADER
from agent.server.live_page.listening import MOST_PORTS, open_port
from agent.store.journal import read_history
from agent.store.paths import RunsFolder
from agent.store.run_lock import holder
from tests.commands import agent
from tests.kill_anywhere.killed_runs import INSTANT
from tests.made_runs import BASELINE, Result, append_results, made_run, scored, searched

ENVIRONMENT = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "AUTOCENTAUR_TRUST": "1"}
PATIENCE_SECONDS = 300.0  # of a busy machine
BETTER: Result = (searched(0.25), scored(2.4, kept=True))


@dataclass
class Served:
    """A server in a process of its own, and a client with its cookie."""

    process: "subprocess.Popen[str]"
    link: str
    client: httpx2.Client
    folder: Path

    @property
    def port(self) -> int:
        return int(self.link.split(":")[2].split("/")[0])

    def end(self, number: int) -> str:
        """Send a signal, and return what the process had printed to standard error."""
        self.process.send_signal(number)
        assert self.process.wait(PATIENCE_SECONDS) == 130
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def post(self, path: str, fields: dict[str, str] | None = None) -> httpx2.Response:
        page = self.client.get("/".join(path.split("/")[:3])).text
        token = re.search(r'data-token="([\w-]+)"', page)
        assert token is not None
        origin = f"http://127.0.0.1:{self.port}"
        return self.client.post(path, json=fields or {}, headers={"origin": origin, CONTROL_HEADER: token[1]})


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:

        def started(*argv: str, before: tuple[str, ...] = ()) -> Served:
            process = subprocess.Popen(
                [*before, sys.executable, "-m", "agent", "serve", *argv],
                cwd=tmp_path, env={**ENVIRONMENT, "HOME": str(tmp_path)}, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            link = process.stdout.readline().strip()
            assert link.startswith("http://"), process.communicate()
            base = link.partition("?")[0].removesuffix("/")
            base = base if "/run/" not in base else base.partition("/run/")[0]
            client = stack.enter_context(httpx2.Client(base_url=base, timeout=PATIENCE_SECONDS, follow_redirects=True))
            assert client.get(link).status_code == 200
            return Served(process, link, client, tmp_path)

        yield started


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_browser_hears_of_each_event_and_a_signal_ends_the_server_at_once(
    serve: Serve, tmp_path: Path, number: int
) -> None:
    stored = made_run(tmp_path / "runs", [BASELINE])
    served = serve("made")
    assert served.link.partition("?")[0].endswith("/run/made")
    with served.client.stream("GET", "/run/made/events") as events:
        lines = events.iter_lines()
        versions = (next(lines).removeprefix("data: ") for line in lines if line == "event: version")
        first = next(versions)
        assert f'data-version="{first}"' in served.client.get("/run/made").text
        append_results(stored.paths, [BASELINE, BETTER], n_before=1)
        second = next(versions)
        assert second != first
        page = served.client.get("/run/made").text
        assert f'data-version="{second}"' in page
        assert "MIX 0.25" in page
        assert served.end(number) == ""  # with a stream open


@pytest.mark.slow
def test_the_first_free_port_is_taken(serve: Serve, tmp_path: Path) -> None:
    with closing(open_port("127.0.0.1", 21_000)) as taken:
        port = taken.getsockname()[1]
        served = serve("--port", str(port))
        assert port < served.port < port + MOST_PORTS
    assert "There is no run in" in served.client.get("/").text
    assert served.process.stdout is not None
    output = [served.process.stdout.readline() for _ in range(3)]
    assert f"ssh -L {served.port}:127.0.0.1:{served.port} {socket.gethostname()}" in output[1]
    assert output[2].startswith("read-only; ")


@pytest.mark.slow
@pytest.mark.parametrize("host", ["localhost", "127.0.0.2"])
def test_the_link_of_another_loopback_address_leads_there(serve: Serve, host: str) -> None:
    assert "There is no run in" in serve("--host", host).client.get("/").text


@pytest.mark.slow
def test_another_address_than_loopback_is_warned_of(serve: Serve, tmp_path: Path) -> None:
    served = serve("--host", "0.0.0.0", "--control")
    assert served.process.stdout is not None
    lines = [served.process.stdout.readline() for _ in range(2)]
    assert f"from another machine: http://{socket.gethostname()}:{served.port}/?token=" in lines[1]
    output = served.end(signal.SIGINT)
    assert output.startswith("WARNING: 0.0.0.0:")
    assert "STEER the runs" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_a_run_that_this_user_may_not_read_is_listed_as_such(serve: Serve, tmp_path: Path) -> None:
    # Root may read everything unless it lacks these two capabilities.
    drop = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    for name in ("closed", "half", "open"):
        made_run(tmp_path / "runs", [BASELINE, BETTER], name=name)
    (tmp_path / "runs" / "closed").chmod(0o000)
    (tmp_path / "runs" / "half" / "journal.jsonl").chmod(0o000)
    try:
        served = serve(before=drop)
        page = served.client.get("/").text
        for name in ("closed", "half"):
            assert re.search(
                f'/run/{name}">{name}</a></th><td[^>]*>unreadable</td><td[^>]*>this user may not read ', page
            )
        assert "2.4 (−20.0 %)" in page
        assert served.client.get("/run/open").status_code == 200
        closed = served.client.get("/run/closed")
        assert (closed.status_code, "this user may not read" in closed.text) == (409, True)
        command = [*drop, sys.executable, "-m", "agent", "runs"]
        env = {**ENVIRONMENT, "HOME": str(tmp_path)}
        listed = subprocess.run(command, cwd=tmp_path, env=env, text=True, capture_output=True, check=False)
        assert (listed.returncode, listed.stdout.count("unreadable"), listed.stderr) == (0, 2, "")
    finally:
        (tmp_path / "runs" / "closed").chmod(0o700)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nope"], "there is no run"),
        (["--host", "192.0.2.1"], "cannot listen on port 8300 of 192.0.2.1"),
        (["--host", "no.such.host.invalid"], "cannot listen on port 8300 of no.such.host.invalid"),
        (["--port", "0"], "--port"),
        (["--port", "70000"], "--port"),
    ],
)
def test_what_cannot_be_served_is_one_line(tmp_path: Path, argv: list[str], message: str) -> None:
    done = agent("serve", *argv, cwd=tmp_path, env=ENVIRONMENT)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_real_run_is_stopped_resumed_approved_and_paused_from_the_page(serve: Serve, tmp_path: Path) -> None:
    argv = ["run", "--task", str(INSTANT), "--mode", "random", "--name", "r", "--trials", "4", "--approve"]
    with (tmp_path / "said").open("w") as output:
        run = subprocess.Popen(
            [sys.executable, "-m", "agent", *argv],
            cwd=tmp_path, env={**ENVIRONMENT, "HOME": str(tmp_path)}, stdout=output, stderr=output,
        )  # fmt: skip
    paths = RunsFolder(tmp_path / "runs").run("r")

    def waiting() -> set[int]:
        in_flight = read_history(paths.journal).in_flight.values() if paths.journal.exists() else ()
        return {trial.number for trial in in_flight if trial.waits_for_approval}

    try:
        until(lambda: waiting() == {1})
        served = serve("--control")
        assert "waits for approval" in served.client.get("/run/r").text
        assert served.post("/run/r/stop").text.startswith(f"stopped process {run.pid}; `agent resume r`")
        assert run.wait(PATIENCE_SECONDS) == 130
        until(lambda: "waiting" in served.client.get("/run/r").text)
        answer = served.post("/run/r/resume").text
        assert re.fullmatch(r"process \d+ continues r", answer), answer
        assert "is approved; process" in served.post("/run/r/trial/1/approve").text
        until(lambda: waiting() == {2})
        assert "is refused; process" in served.post("/run/r/trial/2/refuse", {"reason": "no"}).text
        until(lambda: waiting() == {3})
        assert "r: pauses once repeats that are due have ended" in served.post("/run/r/pause").text
        until(lambda: holder(paths) is None)
        until(lambda: "paused" in served.client.get("/run/r").text)
        until(lambda: "no process of this machine works on r" in served.post("/run/r/pause").text)
        assert [trial.number for trial in read_history(paths.journal).trials] == [0, 1, 2]
    finally:
        pid = holder(paths)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        run.kill()
        run.wait()
