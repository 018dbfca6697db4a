"""What a job apart does is not to be seen by a later job: bits sent by what the kernel keeps arrive by chance.

The first job of a pair sends bits; the second times the same look-ups or reads, or asks for the same ports. At chance,
half of them are right. `make test-long` sends 1,536 bits a case, the quick tests 512.
"""

import ast
import math
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.in_memory import place
from sandbox.in_memory.runtime import Shared
from sandbox.job import Job, Limits, Mount, Sandbox

N_BITS, N_PAIRS = 512, 3  # 1,536 bits a case
LIMITS = Limits(wall_seconds=600.0, memory_gb=0.5)

LOOK_UP = """
import os
for name in {names!r}:
    for _ in range(2):
        try: os.stat(name)
        except OSError: pass
"""
TIME_LOOK_UPS = """
import os, time
def cost(name):
    begin = time.perf_counter_ns()
    try: os.stat(name)
    except OSError: pass
    return time.perf_counter_ns() - begin
for name in {warm!r}: cost(name); cost(name)
print([(cost(a), cost(b)) for a, b in {pairs!r}])
"""
READ = """
import os
file = os.open({path!r}, os.O_RDONLY)
for at in {places!r}: os.pread(file, 64, at)
"""
TIME_READS = """
import os, time
file = os.open({path!r}, os.O_RDONLY)
def cost(at):
    begin = time.perf_counter_ns()
    os.pread(file, 64, at)
    return time.perf_counter_ns() - begin
cost(0); cost(0)
print([(cost(a), cost(b)) for a, b in {pairs!r}])
"""
# The kernel keeps, for each pair of addresses and for all network namespaces, how far the next local port is moved on.
# So the first job connects until the next port will have the bit; a port is used up with each connection.
PORTS = """
import socket, threading
def listen():
    server = socket.create_server(("0.0.0.0", 4000), backlog=1024)
    def accept():
        while True: server.accept()[0].close()
    threading.Thread(target=accept, daemon=True).start()
def port(n):
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, *[0] * 7]))
        client.connect((f"127.{{1 + n // 10000}}.{{n // 100 % 100}}.{{1 + n % 100}}", 4000))
        return client.getsockname()[1]
def will_be(bit, port):
    return all((port + further) // 64 % 2 == bit for further in (2, 16, 28))
"""
CHOOSE_PORTS = (
    PORTS
    + """
try:
    listen()
    for n, bit in enumerate({bits!r}, start={first}):
        while not will_be(bit, port(n)): pass
except OSError as error: print(error)
"""
)
TELL_PORTS = (
    PORTS
    + """
try:
    listen()
    print([port(n) // 64 % 2 for n in range({first}, {first} + {n_bits})])
except OSError: print([0] * {n_bits})
"""
)


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with closing(BubblewrapSandbox()) as box:
        yield box


def ran(box: Sandbox, folder: Path, code: str, *, apart: bool) -> str:
    argv = ("python", "-I", "-S", "-c", code)
    (folder / "task").mkdir(exist_ok=True)
    (folder / "task").chmod(0o755)
    mounts = (Mount(folder / "task", "/task"),)
    execution = box.run(Job(argv, "RUN/1/claim", LIMITS, folder / "log", mounts=mounts, apart=apart))
    assert execution.exit_code == 0, (folder / "log").read_text()
    assert not [word for word in execution.unenforced if word.startswith("apart")]
    return (folder / "log").read_text()


def right_by_look_ups(box: Sandbox, folder: Path, base: str, *, sends: bool, reads: bool) -> int:
    """Return how many bits came through; `sends` and `reads` say which of the two jobs is apart."""
    salt, bits = os.urandom(4).hex(), [random.getrandbits(1) for _ in range(N_BITS)]
    pairs = [(f"{base}/{salt}_{n}_0", f"{base}/{salt}_{n}_1") for n in range(N_BITS)]
    ran(box, folder, LOOK_UP.format(names=[pair[bit] for pair, bit in zip(pairs, bits, strict=True)]), apart=sends)
    warm = [f"{base}/warm{n}" for n in range(50)]
    costs = ast.literal_eval(ran(box, folder, TIME_LOOK_UPS.format(warm=warm, pairs=pairs), apart=reads))
    return sum((b < a) == bit for (a, b), bit in zip(costs, bits, strict=True))


def right_by_reads(
    box: Sandbox, folder: Path, path: str, *, sends: bool, reads: bool, host_path: str | None = None
) -> int:
    """The same, by pages of a file: two a bit, of which one is read. `host_path` is where it lies on the host."""
    step = os.path.getsize(host_path or path) // (2 * N_BITS + 2) // 4096 * 4096
    first = random.randrange(step // 4096) * 4096  # other pages in each pair of jobs
    places = random.sample([first + n * step for n in range(2 * N_BITS)], 2 * N_BITS)
    pairs = list(zip(places[::2], places[1::2], strict=True))
    bits = [random.getrandbits(1) for _ in pairs]
    chosen = [pair[bit] for pair, bit in zip(pairs, bits, strict=True)]
    ran(box, folder, READ.format(path=path, places=chosen), apart=sends)
    costs = ast.literal_eval(ran(box, folder, TIME_READS.format(path=path, pairs=pairs), apart=reads))
    return sum((b < a) == bit for (a, b), bit in zip(costs, bits, strict=True))


def right_by_ports(box: Sandbox, folder: Path, *, sends: bool, reads: bool) -> int:
    """The same, by the local ports of connections on loopback, one address a bit."""
    first, bits = random.randrange(1_000_000), [random.getrandbits(1) for _ in range(N_BITS)]
    ran(box, folder, CHOOSE_PORTS.format(first=first, bits=bits), apart=sends)
    all_received = ast.literal_eval(ran(box, folder, TELL_PORTS.format(first=first, n_bits=N_BITS), apart=reads))
    return sum(received == bit for received, bit in zip(all_received, bits, strict=True))


def arrive_by_chance(measure: Callable[[], int], n_pairs: int = N_PAIRS) -> bool:
    """Return whether `measure`, how many of N_BITS were right, lies within three standard deviations of a half.

    Chance alone is outside once in 370 times, so that it is asked once more there.
    """
    n = N_BITS * n_pairs
    for _ in range(2):
        right = sum(measure() for _ in range(n_pairs))
        print(f"{right} of {n}")
        if abs(right - n / 2) <= 3 * math.sqrt(n) / 2:
            return True
    return False


WHO = pytest.mark.parametrize(
    ("sends", "reads"),
    [(True, True), (True, False), (False, True)],
    ids=["scoring to scoring", "scoring to training", "training to scoring"],
)
BASES = {"task": "/task", "system": "/usr/lib", "packages": f"{sys.prefix}/lib"}


@pytest.mark.long
@WHO
@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_failed_look_ups_of_a_job_apart_are_forgotten(
    box: Sandbox, tmp_path: Path, base: str, sends: bool, reads: bool
) -> None:
    tmp_path.chmod(0o755)
    assert arrive_by_chance(lambda: right_by_look_ups(box, tmp_path, base, sends=sends, reads=reads))


@pytest.mark.long
@WHO
def test_reads_of_a_job_apart_are_forgotten(box: Sandbox, tmp_path: Path, sends: bool, reads: bool) -> None:
    tmp_path.chmod(0o755)
    path = largest_library()
    assert arrive_by_chance(lambda: right_by_reads(box, tmp_path, path, sends=sends, reads=reads))


@pytest.mark.long
@WHO
def test_ports_of_a_job_apart_are_forgotten(box: Sandbox, tmp_path: Path, sends: bool, reads: bool) -> None:
    tmp_path.chmod(0o755)
    assert arrive_by_chance(lambda: right_by_ports(box, tmp_path, sends=sends, reads=reads))


def test_a_training_job_learns_nothing_of_a_scoring_job(box: Sandbox, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    who = {"sends": True, "reads": False}
    assert arrive_by_chance(lambda: right_by_look_ups(box, tmp_path, "/usr/lib", **who), n_pairs=1)
    assert arrive_by_chance(lambda: right_by_reads(box, tmp_path, largest_library(), **who), n_pairs=1)
    assert arrive_by_chance(lambda: right_by_ports(box, tmp_path, **who), n_pairs=1)


def test_the_ports_of_other_jobs_are_remembered(box: Sandbox, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    # Connections of other programs of this machine, between the two jobs, erase it: so up to five pairs.
    found = (right_by_ports(box, tmp_path, sends=False, reads=False) for _ in range(5))
    assert any(right > 0.75 * N_BITS for right in found)


def test_the_look_ups_of_other_jobs_are_remembered(box: Sandbox, tmp_path: Path) -> None:
    # That the probe sees what there is to see: without it, the tests above would say nothing.
    tmp_path.chmod(0o755)
    right = right_by_look_ups(box, tmp_path, "/usr/lib", sends=False, reads=False)
    assert right > 0.75 * N_BITS


def test_the_reads_of_other_jobs_are_remembered(box: Sandbox, tmp_path: Path) -> None:
    # Of a file on a disk that nobody has read since the machine started. Jobs apart get a copy of their own.
    tmp_path.chmod(0o755)
    (tmp_path / "task").mkdir(mode=0o755)
    cold = tmp_path / "task" / "cold"
    with cold.open("wb") as file:
        file.write(os.urandom(1 << 20) * (N_BITS // 2))  # 256 KiB for each place: more than what is read ahead
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if (tmp_path / "task").stat().st_dev == os.stat("/dev/shm").st_dev:
        pytest.skip("the folder of the tests is in memory, where nothing is cold")
    right = right_by_reads(box, tmp_path, "/task/cold", sends=False, reads=False, host_path=str(cold))
    assert right > 0.75 * N_BITS


def test_where_the_copy_is_on_a_disk_every_job_says_so(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "_too_little_memory", lambda _: "7 MiB of memory are free")
    monkeypatch.setattr(Shared, "_known", {})  # not the copy that other sandboxes of this process have
    with closing(BubblewrapSandbox()) as without_memory:
        argv = ("python", "-I", "-S", "-c", "print('ran')")
        execution = without_memory.run(Job(argv, "RUN/1/claim", LIMITS, tmp_path / "log", apart=True))
        other = without_memory.run(Job(argv, "RUN/1/train", LIMITS, tmp_path / "log"))
    assert (tmp_path / "log").read_text() == "ran\n"
    assert [word for word in execution.unenforced if word.startswith("apart: ") and "7 MiB of memory are free" in word]
    assert not [word for word in other.unenforced if word.startswith("apart")]


def largest_library() -> str:
    """Return the largest file that a copy always has."""
    folder = Path(sys.base_prefix, "lib")
    files = [
        *folder.glob("libpython3*.so*"),
        *folder.glob("python3*/lib-dynload/*.so"),
        Path(os.path.realpath(sys.executable)),
    ]
    return str(max((path for path in files if not path.is_symlink()), key=lambda path: path.stat().st_size))
