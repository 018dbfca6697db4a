"""The filter that refuses system calls which no training job needs. It is assembled here, without a C library."""

import errno
import platform
import struct
from collections.abc import Iterable

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name: number on x86_64, number on aarch64 (None: does not exist), from asm/unistd_64.h and asm-generic/unistd.h of
# Linux 6.1.
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # inspect or change another process
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),  # its inode number counts the processes of the whole machine
    # mounts and roots
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    # namespaces
    "unshare": (272, 97),
    "setns": (308, 268),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    # large or new parts of the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_secret": (447, 447),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    # drop or query pages in the kernel's cache: a channel between jobs, which passed 63 of 64 bits
    "fadvise64": (221, 223),
    "preadv2": (327, 286),
    "mincore": (27, 232),
    "readahead": (187, 213),
    "cachestat": (451, 451),
    # the machine itself
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "vhangup": (153, 58),
    "personality": (135, 92),
    "nfsservctl": (180, 42),
    "lookup_dcookie": (212, 18),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "_sysctl": (156, None),
}

# Refused only on request of the caller, where a limit would not hold otherwise. sched_setaffinity then returns success
# without effect: if it failed, OpenMP could not start the threads that GOMP_CPU_AFFINITY binds, and would end the job.
_ON_REQUEST: dict[str, tuple[int, int]] = {
    "sched_setaffinity": (203, 122),
    "memfd_create": (319, 279),
    "shmget": (29, 194),
}

# Refused to jobs that must learn nothing about each other: locks, watches and counters that span jobs, and the place
# of a shared file's pages, which the kernel keeps with the file.
_APART: dict[str, tuple[int | None, int | None]] = {
    "flock": (73, 32),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    "fanotify_mark": (301, 263),
    "sysinfo": (99, 179),
    "statfs": (137, 43),
    "fstatfs": (138, 44),
    "ustat": (136, None),
    "mbind": (237, 235),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "set_mempolicy_home_node": (450, 450),
}
_FCNTL, _MADVISE, _SETSID = (72, 25), (28, 233), (112, 157)
FCNTL_APART = (5, 6, 7, 36, 37, 38, 1024, 1025, 1026, 1036, 1038)
"""fcntl(2)'s commands for record locks (two kinds), leases, notes of changes and write hints: refused to such jobs."""
MADVISE_APART = (12, 20, 21, 25)
"""MADV_MERGEABLE, COLD, PAGEOUT, COLLAPSE: they change pages of a shared file for all its readers. Refused, too."""

_CLONE, _CLONE3 = (56, 220), (435, 435)
_SOCKET, _SOCKETPAIR = (41, 198), (53, 199)
_NEWEST = 456  # newer calls are unknown to this table, and fail with ENOSYS
_X32 = 0x40000000  # the second system call table of x86_64
CLONE_REFUSED = 0x7E021080  # every CLONE_NEW* bit, and CLONE_PIDFD
SOCKET_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: not vsock, packet, alg, bluetooth, ...
NETLINK, NETLINK_ROUTE = 16, 0
"""The one protocol of this family that jobs may use, unless they run apart: getifaddrs(3) lists the interfaces by it.

Gloo, NCCL and MPI call that as they start. A job's own network namespace has only the loopback interface, and without
CAP_NET_ADMIN nothing can be changed. The other protocols of the family tell of the whole machine.
"""
FAMILIES_APART = (1,)
"""The kernel chooses a connection's local port by a table that all network namespaces share, and that outlives them."""
_GETSOCKOPT, _SETSOCKOPT = (55, 209), (54, 208)
SOL_SOCKET = 1
SOCKET_OPTIONS_REFUSED = (57, 71, 76, 77)
"""SO_COOKIE and SO_NETNS_COOKIE, numbers counted for the whole machine; SO_PASSPIDFD, SO_PEERPIDFD: as pidfd_open."""

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # operations of classic BPF
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16  # offsets in struct seccomp_data; of an argument, the low word

_Instruction = tuple[int, int, int, int]  # operation, steps to skip if true, if false, operand


def supported(machine: str | None = None) -> bool:
    """Return whether there is a filter for this machine's processor."""
    return (machine or platform.machine()) in _AUDIT_ARCH


def refused(machine: str | None = None) -> dict[str, int]:
    """Return name → number of the calls that fail with EPERM in every job, but for those that `program` allows."""
    column = list(_AUDIT_ARCH).index(machine or platform.machine())
    return {name: row[column] or 0 for name, row in _NUMBERS.items() if row[column] is not None}


def refused_apart(machine: str | None = None) -> dict[str, int]:
    """Return name → number of the calls that are refused only to jobs that must learn nothing about each other."""
    column = list(_AUDIT_ARCH).index(machine or platform.machine())
    return {name: row[column] or 0 for name, row in _APART.items() if row[column] is not None}


def program(
    also_refused: Iterable[str] = (),
    machine: str | None = None,
    *,
    apart: bool = False,
    compiles: bool = False,
    pidfds: bool = False,
) -> bytes:
    """Return the filter as an array of struct sock_filter, as `bwrap --seccomp` reads it.

    Refused calls fail with EPERM. clone3, whose flags a filter cannot see, and calls newer than the table fail with
    ENOSYS, so that the C library falls back to others. Other socket families, and netlink's other protocols, fail with
    EAFNOSUPPORT. A call by another call table (32-bit, x32) kills the process.

    Args:
        also_refused: calls to refuse as well, of `memfd_create`, `shmget` and `sched_setaffinity`; the last one returns
            success without effect.
        machine: the processor, by default this machine's.
        apart: refuse what would reveal one job to another: locks, watches, counters of the machine, Internet sockets.
            setsid returns success without effect, because the kernel counts sessions.
        compiles: flock returns success without locking; torch.compile needs it, and locks files of its own job only.
        pidfds: allow pidfd_open.

    Raises:
        KeyError: the machine is neither x86_64 nor aarch64, or a name of `also_refused` is not one of the three.
    """
    machine = machine or platform.machine()
    architecture = _AUDIT_ARCH[machine]
    column = list(_AUDIT_ARCH).index(machine)
    code: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
        (_AT_LEAST, 0, 1, _NEWEST + 1),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    on_request = {name: _ON_REQUEST[name][column] for name in also_refused}
    if "sched_setaffinity" in on_request:
        code += _when(on_request.pop("sched_setaffinity"), [(_RETURN, 0, 0, _ERRNO | 0)])
    in_every_job = [number for name, number in refused(machine).items() if not (pidfds and name == "pidfd_open")]
    numbers = [*in_every_job, *on_request.values()]
    if apart:
        numbers += [number for name, number in refused_apart(machine).items() if name != "flock"]
        answer = 0 if compiles else errno.EPERM  # 0: success, but nothing is locked
        code += _when(refused_apart(machine)["flock"], [(_RETURN, 0, 0, _ERRNO | answer)])
        code += _when(_SETSID[column], [(_RETURN, 0, 0, _ERRNO | 0)])
    for number in sorted(numbers):
        code += _when(number, [(_RETURN, 0, 0, _ERRNO | errno.EPERM)])
    code += _when(_CLONE3[column], [(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)])
    code += _when(
        _CLONE[column],
        [
            (_LOAD, 0, 0, _argument_at(0)),
            (_ANY_BIT, 0, 1, CLONE_REFUSED),
            (_RETURN, 0, 0, _ERRNO | errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ],
    )
    for row in (_GETSOCKOPT, _SETSOCKOPT):
        of_the_kernel = [(_LOAD, 0, 0, _argument_at(1)), (_EQUAL, 1, 0, SOL_SOCKET), (_RETURN, 0, 0, _ALLOW)]
        code += _when(row[column], [*of_the_kernel, *_unless_argument(2, SOCKET_OPTIONS_REFUSED)])
    if apart:
        code += _when(_FCNTL[column], _unless_argument(1, FCNTL_APART))
        code += _when(_MADVISE[column], _unless_argument(2, MADVISE_APART))
    families = FAMILIES_APART if apart else SOCKET_FAMILIES
    of_a_known_family = [
        (_LOAD, 0, 0, _argument_at(0)),
        *((_EQUAL, len(families) - place, 0, family) for place, family in enumerate(families)),
        (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    ]
    of_routes = [
        (_LOAD, 0, 0, _argument_at(0)),
        (_EQUAL, 0, 3, NETLINK),
        (_LOAD, 0, 0, _argument_at(2)),
        (_EQUAL, 0, 1, NETLINK_ROUTE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code += _when(_SOCKET[column], [*([] if apart else of_routes), *of_a_known_family])
    code += _when(_SOCKETPAIR[column], of_a_known_family)
    code += [(_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _when(number: int, then: list[_Instruction]) -> list[_Instruction]:
    """Return what runs `then`, which must end the filter, if the call has this number."""
    return [(_EQUAL, 0, len(then), number), *then]


def _unless_argument(index: int, operands: tuple[int, ...]) -> list[_Instruction]:
    """Return what allows the call unless its argument `index` is one of `operands`."""
    return [
        (_LOAD, 0, 0, _argument_at(index)),
        *((_EQUAL, len(operands) - place, 0, operand) for place, operand in enumerate(operands)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]


def _argument_at(index: int) -> int:
    return _ARGUMENTS_AT + 8 * index
