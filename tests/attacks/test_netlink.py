"""A job may list the network interfaces of its own namespace by netlink, and nothing else comes of such a socket.

The requests are made here and not in a library: a filter of system calls sees a socket's protocol, but no request.
"""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sandbox.job import Job, Limits, Sandbox
from tests.contracts.sandbox_contract import Gate, Running, python
from tests.docker_engine import SANDBOXES, opened_sandbox

LIMITS = Limits(wall_seconds=600.0, memory_gb=0.25)
EPERM = 1

# What jobs send: each request asks for an acknowledgement, whose number is the error, negative.
NETLINK = r"""
import ctypes, json, os, socket, struct, sys
REQUEST, ACK, DUMP, CREATE = 1, 4, 0x300, 0x600

def attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)

def answer(kind, body, flags=ACK):
    # Return the error of a request, and the pairs (type, body) of the messages that came before it.
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.settimeout(60)
        netlink.send(struct.pack("=IHHII", 16 + len(body), kind, REQUEST | flags, 1, 0) + body)
        found = []
        while True:
            data, at = netlink.recv(1 << 16), 0
            while at < len(data):
                length, of, *_ = struct.unpack_from("=IHHII", data, at)
                if of in (2, 3):  # an error or an acknowledgement; the end of a list
                    return struct.unpack_from("=i", data, at + 16)[0], found
                found.append((of, data[at + 16 : at + length]))
                at += length + -length % 4

def attributes(body, at):
    while at + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, at)
        yield kind, body[at + 4 : at + length]
        at += length + -length % 4
"""

SOCKETS = r"""
libc, opened = ctypes.CDLL(None, use_errno=True), []
libc.syscall.restype = ctypes.c_long
number = {"x86_64": (41, 53), "aarch64": (198, 199)}[os.uname().machine]

def call(*words):
    return libc.syscall(*map(ctypes.c_ulong, words))

for kind in range(11):
    for family in (16, 16 + 2**32):
        for protocol in (*range(1, 32), 2**16, 2**31, 2**32 + 15):
            if call(number[0], family, kind, protocol) >= 0:
                opened.append([family, kind, protocol])
    if kind not in (2, 3) and call(number[0], 16, kind, 0) >= 0:
        opened.append([16, kind, 0])
    if call(number[1], 16, kind, 0, ctypes.addressof((ctypes.c_int * 2)())) >= 0:
        opened.append(["pair", kind])

def signal_of(act):
    child = os.fork()
    if child == 0:
        act()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def by_the_32_bit_table():
    import mmap
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    # push rbx; eax = 359 (socket); ebx = 16; ecx = 3; edx = 15; int 0x80; pop rbx; ret
    code.write(bytes.fromhex("53b867010000bb10000000b903000000ba0f000000cd805bc3"))
    result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
    os._exit(99 if result >= 0 else 0)

killed = [signal_of(lambda: call(0x40000000 + 41, 16, 3, 0)), signal_of(by_the_32_bit_table)]
print(json.dumps([opened, killed]))
"""

CHANGES = r"""
import fcntl
lo = 1
info = struct.Struct("=BxHiII")  # family, type, index, flags, which of them change
new = attribute(3, b"new0\0")
own = attribute(1, socket.inet_aton("10.1.2.3")) + attribute(2, socket.inet_aton("10.1.2.3"))
route = struct.pack("=BBBBBBBBI", 2, 24, 0, 0, 254, 4, 0, 1, 0)
route += attribute(1, socket.inet_aton("10.9.9.0")) + attribute(4, struct.pack("=I", lo))
neighbour = struct.pack("=BxHiHBB", 2, 0, lo, 0x80, 0, 0) + attribute(1, socket.inet_aton("10.1.2.4"))
kinds = {
    "lo down": (16, info.pack(0, 0, lo, 0, 1), ACK),
    "rename lo": (16, info.pack(0, 0, lo, 0, 0) + new, ACK),
    "remove lo": (17, info.pack(0, 0, lo, 0, 0), ACK),
    "address": (20, struct.pack("=BBBBI", 2, 8, 0, 0, lo) + own, ACK | CREATE),
    "no address": (21, struct.pack("=BBBBI", 2, 8, 0, 0, lo) + attribute(2, socket.inet_aton("127.0.0.1")), ACK),
    "route": (24, route, ACK | CREATE),
    "neighbour": (28, neighbour, ACK | CREATE),
    "rule": (32, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 0, 0, 1, 0), ACK | CREATE),
    "queue": (36, struct.pack("=BxHiIII", 0, 0, lo, 0, 0xFFFFFFFF, 0) + attribute(1, b"pfifo\0"), ACK | CREATE),
    "neighbours' table": (67, struct.pack("=Bxxx", 2) + attribute(1, b"arp_cache\0"), ACK),
    "namespace": (88, bytes(4) + attribute(1, struct.pack("=i", 7)) + attribute(2, struct.pack("=I", 1)), ACK),
}
for kind in ("dummy", "veth", "bridge", "vxlan", "macvlan", "tun"):
    kinds[kind] = 16, info.pack(0, 0, 0, 0, 0) + new + attribute(18, attribute(1, kind.encode())), ACK | CREATE
errors = {name: -answer(*request)[0] for name, request in kinds.items()}
down = struct.pack("=16sH14x", b"lo", 0)
try:
    fcntl.ioctl(socket.socket(), 0x8914, down)  # SIOCSIFFLAGS
    errors["ioctl"] = 0
except OSError as error:
    errors["ioctl"] = error.errno
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
    try:
        netlink.setsockopt(270, 8, 1)  # SOL_NETLINK, NETLINK_LISTEN_ALL_NSID
        errors["all namespaces"] = 0
    except OSError:
        errors["all namespaces"] = 1  # EPERM, or ENOSYS by Docker's filter
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname())
print(json.dumps(errors))
"""

SIGHT = r"""
_, links = answer(18, bytes(16), DUMP)
names = [text.rstrip(b"\0").decode() for _, body in links for kind, text in attributes(body, 16) if kind == 3]
_, found = answer(22, bytes(8), DUMP)
indices = sorted({struct.unpack_from("=I", body, 4)[0] for _, body in found})
_, routes = answer(26, bytes(12), DUMP)
ways = sorted({struct.unpack("=I", data)[0] for _, body in routes for kind, data in attributes(body, 12) if kind == 4})
of_others = [answer(18, bytes(16) + attribute(46, struct.pack("=i", n)), DUMP)[1] for n in range(4)]
print(json.dumps([os.readlink("/proc/self/ns/net"), names, indices, ways, of_others]), flush=True)
"""


@pytest.fixture(params=SANDBOXES)
def box(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with closing(opened_sandbox(request.param)) as opened:
        yield opened


def printed(box: Sandbox, folder: Path, code: str, *, apart: bool = False) -> Any:
    log = folder / "log"
    execution = box.run(Job(python(NETLINK + code), "RUN/1/x", LIMITS, log, apart=apart))
    assert execution.exit_code == 0, log.read_text()
    return json.loads(log.read_text())


def test_no_other_protocol_opens_by_any_table_of_calls(box: Sandbox, tmp_path: Path) -> None:
    opened, killed = printed(box, tmp_path, SOCKETS)
    assert opened == []
    if os.uname().machine == "x86_64":
        by_x32, by_i386 = killed
        assert by_x32 == -31  # SIGSYS
        assert by_i386 in (-31, -11)  # a kernel without that table does not know the instruction


def test_a_job_changes_nothing_of_its_network(box: Sandbox, tmp_path: Path) -> None:
    errors = printed(box, tmp_path, CHANGES)
    assert len(errors) > 15
    assert set(errors.values()) == {EPERM}, errors


def test_two_jobs_see_their_own_loopback_and_nothing_of_each_other(box: Sandbox, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    code = NETLINK + SIGHT
    jobs = {
        name: Job(python(code + gate.WAIT), f"RUN/{name}/x", LIMITS, tmp_path / name, mounts=(gate.mount,))
        for name in ("one", "other")
    }
    running = Running(box, jobs)
    try:
        running.wait_for_log("\n")
        seen = {name: json.loads((tmp_path / name).read_text()) for name in jobs}
    finally:
        gate.open()
        running.join(*jobs)
    spaces = {found[0] for found in seen.values()}
    assert len(spaces | {os.readlink("/proc/self/ns/net")}) == 3
    assert [found[1:] for found in seen.values()] == [[["lo"], [1], [1], [[], [], [], []]]] * 2


def test_a_job_apart_has_no_netlink(box: Sandbox, tmp_path: Path) -> None:
    code = "import socket\ntry: socket.socket(16, socket.SOCK_RAW, 0)\nexcept OSError as e: print(e.errno)"
    assert printed(box, tmp_path, code, apart=True) == 97  # EAFNOSUPPORT
