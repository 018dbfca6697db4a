"""What a user sees when the environment of a run fails, each fault injected for real: `python -m benchmarks.faults`.

Every run is a few trials of a task that takes milliseconds. After the fault it is resumed, and compared with a run
without a fault. Full disks are small file systems in memory, which need root or user namespaces.
"""

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent.store.run_lock import locked
from tests.agent.llm.fake_server import STALLS, fake_server, says
from tests.kill_anywhere.killed_runs import INSTANT, Death, Zygote, contents_of, zygote

BEGIN = ("run", "--task", str(INSTANT), "--mode", "cma-es", "--trials", "5", "--name", "r")
IN_TRIAL_2 = Death("start sandbox", nth=3)
DISK_KIB = (4, 24, 48, 80, 120, 160, 200, 240, 280, 320, 360, 400)  # a whole run takes about 450
ENGINE = "/var/run/docker.sock"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    fault: str
    sees: str  # the line that the user reads
    exit: int
    equal: bool  # whether the resumed run equals the run without a fault
    n_times: int = 1


class Bench:
    """Folders for the runs of each fault, and the run without a fault."""

    def __init__(self, warm: Zygote) -> None:
        self._warm = warm
        self._n_used = 0
        unbroken = self.fresh()
        assert unbroken.agent(*BEGIN) == 0, unbroken.said
        self._unbroken = contents_of(unbroken.runs, "r")

    def fresh(self) -> Zygote:
        """Return a folder without runs."""
        self._n_used += 1
        return self._warm.within(self._warm.folder / f"fault-{self._n_used}")

    def killed(self, death: Death = IN_TRIAL_2) -> Zygote:
        """Return a run that was killed in its third trial."""
        agent = self.fresh()
        assert agent.agent(*BEGIN, death=death) == -9, agent.said
        return agent

    def is_equal(self, agent: Zygote) -> bool:
        """Whether the run equals the one without a fault, and passes `log --verify`."""
        return contents_of(agent.runs, "r") == self._unbroken and agent.agent("log", "--verify", "r") == 0

    def resumed(self, fault: str, agent: Zygote, *, sees: str | None = None, code: int | None = None) -> Row:
        """Resume, and return the table's row; by default with the line and exit status of the resume."""
        ended = agent.agent("resume", "r")
        seen = first_line(agent.said) if sees is None else sees
        equal = ended in (0, 3) and self.is_equal(agent)
        return Row(fault, seen, ended if code is None else code, equal)


def first_line(said: str) -> str:
    """Return the line that reports the fault: an error, or a warning before the run continues."""
    lines = said.splitlines()
    signs = ("error:", "the journal ended", "removed ")
    return next((line for line in lines if line.startswith(signs)), "(nothing: the run continues)")


def torn_last_line(bench: Bench) -> Row:
    agent = bench.killed()
    with agent.runs.run("r").journal.open("a") as file:
        file.write('{"event":"trial_finished","number":2,"outco')
    return bench.resumed("journal: last line torn", agent)


def torn_middle_line(bench: Bench) -> Row:
    agent = bench.killed()
    journal = agent.runs.run("r").journal
    whole = journal.read_bytes()
    lines = whole.split(b"\n")
    journal.write_bytes(b"\n".join([lines[0], lines[1][:40], *lines[2:]]))
    code, sees = agent.agent("resume", "r"), first_line(agent.said)
    journal.write_bytes(whole)  # from the backup that the message asks for
    return bench.resumed("journal: middle line torn", agent, sees=sees, code=code)


def missing_worktree(bench: Bench) -> Row:
    agent = bench.killed()
    shutil.rmtree(agent.runs.run("r").worktree)
    return bench.resumed("worktree/ removed", agent)


def runs_moved(bench: Bench) -> Row:
    agent = bench.killed()
    elsewhere = agent.folder / "another" / "place"
    elsewhere.mkdir(parents=True)
    agent.runs.root.rename(elsewhere / "runs")
    return bench.resumed("runs/ moved", agent.within(elsewhere))


def git_locks(bench: Bench) -> Row:
    agent = bench.killed()
    repo = agent.runs.repo
    for name in ("packed-refs.lock", "refs/heads/r.lock", "refs/tags/r/0002.lock", "worktrees/worktree/index.lock"):
        (repo / name).touch()
    return bench.resumed("git: four lock files left behind", agent)


def another_process(bench: Bench) -> Row:
    agent = bench.killed()
    with locked(agent.runs.run("r")):
        code, sees = agent.agent("resume", "r"), first_line(agent.said)
    return bench.resumed("another process on the run", agent, sees=sees, code=code)


def torn_writes(bench: Bench) -> Row:
    """Return the row for 8 processes that the kernel ends in the middle of a write to the journal."""
    equal, sees, code = True, set(), 0
    for n_bytes in range(4600, 6600, 250):
        agent = bench.fresh()
        code = agent.agent(*BEGIN, death=Death(file_bytes=n_bytes))
        row = bench.resumed("", agent)
        equal &= row.equal
        sees.add(re.sub(r"\d+", "N", row.sees))
    return Row("killed in the middle of a write", "; ".join(sorted(sees)), code, equal, 8)


def disk_full(bench: Bench) -> Iterator[Row]:
    """Yield a row for each message when the disk of runs/ is full after DISK_KIB; then make room and resume."""
    rows: dict[str, Row] = {}
    for kib in DISK_KIB:
        agent = bench.fresh()
        with small_disk(agent.folder / "runs", kib) as grow:
            code = agent.agent(*BEGIN)
            if code == 0:
                continue
            seen = re.sub(r"(/\S*)?/fault-\d+/|\d{2,}|[0-9a-f]{6,}", "…", agent.said.splitlines()[-1])
            bad = "Traceback" in agent.said
            grow()
            begun = agent.runs.run("r").run_json.exists()
            ended = agent.agent(*(("resume", "r") if begun else BEGIN))
            equal = not bad and ended == 0 and bench.is_equal(agent)
            if not equal:
                print(f"--- {kib} KiB, bad={bad}, ended={ended}: {seen}\n{agent.said}", file=sys.stderr)
        before = rows.get(seen)
        rows[seen] = Row(
            "disk full", seen, code, equal and (before is None or before.equal), (before.n_times if before else 0) + 1
        )
    yield from rows.values()


def run_command(*argv: str) -> None:
    """Run a command. Raises CalledProcessError if it fails."""
    subprocess.run(argv, check=True)


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Callable[[], None]]:
    """Mount a file system of `kib` KiB; yield a function that enlarges it."""
    folder.mkdir()
    run_command("mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder))
    try:
        yield lambda: run_command("mount", "-o", "remount,size=64m", str(folder))
    finally:
        run_command("umount", "--lazy", str(folder))


class Relay:
    """A socket in front of the Docker engine that can be closed, as when the engine restarts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Drop all connections, and accept no more."""
        self.path.unlink()
        for end in (self._listener, *self._open):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self._listener.accept()
            except OSError:
                return
            theirs = socket.socket(socket.AF_UNIX)
            theirs.connect(ENGINE)
            self._open += [ours, theirs]
            for source, target in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return


def engine_restarted(bench: Bench) -> Row:
    agent = bench.fresh()
    plain = (*BEGIN[:-1], "docked", "--sandbox", "docker")
    assert agent.agent(*plain) == 0, agent.said
    unbroken = contents_of(agent.runs, "docked")
    relay = Relay(agent.folder / "engine")
    journal = agent.runs.run("r").journal

    def restart() -> None:
        while not journal.exists() or journal.read_bytes().count(b"\n") < 5:
            threading.Event().wait(0.005)
        relay.cut()

    cutter = threading.Thread(target=restart)
    cutter.start()
    code = agent.agent(*BEGIN, "--sandbox", "docker", DOCKER_HOST=f"unix://{relay.path}")
    cutter.join()
    sees = first_line(agent.said)
    ended = agent.agent("resume", "r")
    return Row(
        "Docker engine restarted in a trial", sees, code, ended == 0 and contents_of(agent.runs, "r") == unbroken
    )


def endpoint_gone(bench: Bench) -> Row:
    """Return the row for a model server that ends during a request; the call is retried for 600 s."""
    edits = [f"TITLE: {n}\n<<<<<<< SEARCH\nSHIFT = 0.3\n=======\nSHIFT = {n}\n>>>>>>> REPLACE\n" for n in (0.5, 0.6)]
    begin = (
        *("run", "--task", str(INSTANT), "--mode", "code-edit", "--no-smoke"),
        *("--keep", "any", "--trials", "3", "--name", "r"),
    )
    agent = bench.fresh()
    run_with_model = partial(agent.agent, OPENAI_MODEL="fake-1", OPENAI_API_KEY="k")
    with fake_server([says('{"word": "heron"}'), says(edits[0]), STALLS]) as server:
        url = server.base_url
        port = int(url.rsplit(":", 1)[1].split("/")[0])
        codes: list[int] = []
        begun = threading.Thread(target=lambda: codes.append(run_with_model(*begin, "--base-url", url)))
        begun.start()
        while len(server.requests) < 3:
            threading.Event().wait(0.01)
    begun.join()
    sees = re.sub(r"127.0.0.1:\d+", "…", agent.said.splitlines()[-1])
    with fake_server([says('{"word": "heron"}'), says(edits[1])], port=port) as server:
        ended = run_with_model("resume", "r")
        paid = len(server.requests)
    return Row("model endpoint gone (600 s)", sees, codes[0], ended == 0 and paid == 2)


def rows(bench: Bench, only: str) -> Iterator[Row]:
    """Yield the table, row by row; if `only` names the function of a fault, only its rows."""
    faults = [torn_last_line, torn_middle_line, torn_writes, missing_worktree, runs_moved, git_locks, another_process]
    if Path(ENGINE).exists():
        faults.append(engine_restarted)
    for fault in (*faults, endpoint_gone):
        if only in ("", fault.__name__):
            yield fault(bench)
    if only in ("", disk_full.__name__):
        yield from disk_full(bench)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME", help="run one fault, e.g. disk_full")
    parser.add_argument("--apart", action="store_true", help=argparse.SUPPRESS)  # in a mount namespace of our own
    options = parser.parse_args()
    if not options.apart:
        apart = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
        os.execvp(apart[0], [*apart, sys.executable, "-m", "benchmarks.faults", "--apart", *sys.argv[1:]])
    print("| fault | what the user sees | exit | trials lost | resumed equal |\n|---|---|---|---|---|")
    bad = 0
    with tempfile.TemporaryDirectory() as folder, zygote(Path(folder)) as warm:
        for row in rows(Bench(warm), options.only):
            often = f" ({row.n_times}x)" if row.n_times > 1 else ""
            lost, equal = ("none", "yes") if row.equal else ("?", "NO")
            sees = row.sees.replace("|", "/").replace(folder, "…").replace("`", "'")
            print(f"| {row.fault}{often} | `{sees}` | {row.exit} | {lost} | {equal} |", flush=True)
            bad += not row.equal
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
