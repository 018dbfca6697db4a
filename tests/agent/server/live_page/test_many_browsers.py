"""`agent serve` as a process: many browsers, slow ones, some that were away, and folders that change under it."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from agent.server.live_page.application import MOST_STREAMS
from agent.store.paths import RunPaths
from tests.made_runs import BASELINE, Result, append_results, made_run, scored, searched

pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 300.0  # of a busy machine
BETTER: Result = (searched(0.25), scored(2.4, kept=True))
SERVE = """
import sys
from agent.server.live_page import listening
listening.SEND_SECONDS = float(sys.argv.pop(1))
from agent.cli.main import main
main()
"""


@dataclass
class Served:
    """A server in a process of its own."""

    process: "subprocess.Popen[str]"
    link: str
    client: httpx2.Client

    @property
    def port(self) -> int:
        return int(self.link.split(":")[2].split("/")[0])

    def get(self, path: str, *lines: str) -> socket.socket:
        """Return a connection that has asked for a path, with further header lines."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.client.cookies.items())
        opened = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
        head = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Cookie: {cookie}", *lines]
        opened.sendall("\r\n".join([*head, "", ""]).encode())
        return opened

    def memory_kb(self) -> int:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1])


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:

        def started(*, send_seconds: float = 300.0) -> Served:
            process = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(send_seconds), "serve"],
                cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, text=True,
                stdout=subprocess.PIPE,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            link = process.stdout.readline().strip()
            base = link.partition("/?")[0]
            client = stack.enter_context(httpx2.Client(base_url=base, timeout=PATIENCE_SECONDS, follow_redirects=True))
            assert client.get(link).status_code == 200
            return Served(process, link, client)

        yield started


def next_event(opened: socket.socket, kind: str) -> str:
    """Return the data of the next event of a kind, and leave the rest unread."""
    found = b""
    while True:
        line = b""
        while not line.endswith(b"\n"):
            part = opened.recv(1)
            assert part, f"the server closed the connection after {found!r}"
            line += part
        found += line
        if line.strip() == b"" and f"event: {kind}\r".encode() in found:
            data = re.search(rb"data: (.*?)\r?\n", found)
            assert data is not None
            return data[1].decode()
        if line.strip() == b"":
            found = b""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return made_run(tmp_path / "runs", [BASELINE]).paths


def test_as_many_streams_as_are_allowed_get_a_trial_and_one_more_gets_the_remedy(serve: Serve, paths: RunPaths) -> None:
    served = serve()
    with ExitStack() as stack:
        streams = [stack.enter_context(served.get("/run/made/events")) for _ in range(MOST_STREAMS)]
        before = {next_event(each, "version") for each in streams}
        assert len(before) == 1
        refused = served.client.get("/run/made/events")
        assert refused.status_code == 503
        assert "Close some; this one shows what was there" in refused.text
        assert int(refused.headers["retry-after"]) > 0
        assert served.client.get("/run/made").status_code == 200  # pages are served all the same
        append_results(paths, [BASELINE, BETTER], n_before=1)
        after = {next_event(each, "version") for each in streams}
        assert len(after) == 1
        assert after != before
        streams[0].close()

        def has_room() -> bool:
            with served.get("/run/made/events") as opened:
                return opened.recv(12) == b"HTTP/1.1 200"

        until(has_room)  # one that leaves makes room


def test_a_browser_that_was_away_gets_the_present_state_and_no_other(serve: Serve, paths: RunPaths) -> None:
    served = serve()
    with served.get("/run/made/events") as opened:
        old = next_event(opened, "version")
    results: list[Result] = [BASELINE]
    for n in range(1, 6):  # an hour of trials, of which it hears nothing
        results.append((searched(n / 10), scored(3.0 - n / 10, kept=True)))
        append_results(paths, results, n_before=n)
    with served.get("/run/made/events", f"Last-Event-ID: {old}") as opened:
        present = next_event(opened, "version")
        if present == old:  # the server looks at the files now and then
            present = next_event(opened, "version")
        page = served.client.get("/run/made?parts").text
        assert f'data-version="{present}"' in page
        assert re.findall(r'data-trial-row="0/(\d+)"', page) == ["0", "1", "2", "3", "4", "5"]
        append_results(paths, [*results, BETTER], n_before=6)
        assert next_event(opened, "version") != present  # and nothing in between


def test_a_browser_that_takes_nothing_is_dropped(serve: Serve, paths: RunPaths) -> None:
    served = serve(send_seconds=0.5)
    n_bytes = len(served.client.get("/run/made").content)
    assert n_bytes > 100_000
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.settimeout(PATIENCE_SECONDS)
    slow.connect(("127.0.0.1", served.port))
    cookie = "; ".join(f"{name}={value}" for name, value in served.client.cookies.items())
    request = f"GET /run/made HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nCookie: {cookie}\r\n\r\n".encode()
    before = served.memory_kb()
    with slow:
        slow.sendall(request * 200)  # more than all buffers of the system take
        assert is_open(served, slow)
        until(lambda: not is_open(served, slow))
        assert served.memory_kb() - before < 100 * n_bytes / 1000
    assert served.client.get("/run/made").status_code == 200


def is_open(served: Served, browser: socket.socket) -> bool:
    """Return whether the server's end of a connection is established."""
    ends = (f":{served.port:04X}", f":{browser.getsockname()[1]:04X}")
    found = [line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(local.endswith(ends[0]) and remote.endswith(ends[1]) and state == "01" for local, remote, state in found)


def test_two_servers_of_one_folder_both_follow_it_and_write_nothing(
    serve: Serve, paths: RunPaths, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    before = sorted(path.relative_to(runs) for path in runs.rglob("*"))
    one, two = serve(), serve()
    assert one.port != two.port
    with one.get("/run/made/events") as first, two.get("/run/made/events") as second:
        assert next_event(first, "version") == next_event(second, "version")
        append_results(paths, [BASELINE, BETTER], n_before=1)
        assert next_event(first, "version") == next_event(second, "version")
    for served in (one, two):
        assert "MIX 0.25" in served.client.get("/run/made").text
        assert served.client.get("/").status_code == 200
    assert sorted(path.relative_to(runs) for path in runs.rglob("*")) == before


def test_a_run_that_grows_moves_vanishes_and_is_damaged_is_followed(
    serve: Serve, paths: RunPaths, tmp_path: Path
) -> None:
    served, seen = serve(), []

    def status() -> int:
        return served.client.get("/run/made").status_code

    with served.get("/run/made/events") as opened:
        seen.append(next_event(opened, "version"))
        append_results(paths, [BASELINE, BETTER], n_before=1)
        seen.append(next_event(opened, "version"))
        whole = paths.journal.read_bytes()
        paths.journal.write_bytes(whole[: len(whole) // 2] + b"\xff\n" + whole[len(whole) // 2 :])
        seen.append(next_event(opened, "version"))
        assert status() == 409
        paths.journal.write_bytes(whole)
        seen.append(next_event(opened, "version"))
        assert status() == 200
        (tmp_path / "elsewhere").mkdir()
        paths.root.rename(tmp_path / "elsewhere" / "made")
        seen.append(next_event(opened, "version"))
        assert status() == 404
        (tmp_path / "elsewhere" / "made").rename(paths.root)
        next_event(opened, "version")
        assert status() == 200
    assert len(set(seen)) == len(seen)


@pytest.mark.long
def test_ten_thousand_trials_are_shown_and_followed(serve: Serve, tmp_path: Path) -> None:
    results: list[Result] = [BASELINE, *((searched(n / 20_001), scored(3.1 + n / 1e6)) for n in range(1, 10_000))]
    paths = made_run(tmp_path / "runs", results).paths
    served = serve()
    page = served.client.get("/run/made").text
    assert len(re.findall(r'data-trial-row="0/\d+"', page)) == len(results)
    with served.get("/run/made/events") as opened:
        next_event(opened, "version")
        append_results(paths, [*results, BETTER], n_before=len(results))
        next_event(opened, "version")
    assert "MIX 0.25" in served.client.get("/run/made?parts").text
    trial = served.client.get("/run/made/trial/9999", headers={"accept": "application/json"})
    assert json.loads(trial.text)["trial"] == 9999
