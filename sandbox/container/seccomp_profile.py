"""The filter of `seccomp.py` as a Docker profile, which lists system calls by name; unlisted calls fail with ENOSYS."""

import errno
import json
from collections.abc import Iterable
from typing import Any

from sandbox import seccomp

# Linux 6.8 on x86_64 and aarch64: asm/unistd_64.h and asm-generic/unistd.h, without the refused calls.
_ALLOWED = """
    accept accept4 access alarm arch_prctl bind brk capget capset chdir chmod chown
    clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64
    close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1
    epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat
    exit exit_group faccessat faccessat2 fallocate fchdir fchmod fchmodat
    fchmodat2 fchown fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr
    fstat fstat64 fstatat fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue
    futex_time64 futex_wait futex_waitv futex_wake futimesat get_mempolicy get_robust_list get_thread_area
    getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp
    getpid getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt
    gettid gettimeofday getuid getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel
    io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set
    kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen
    listxattr llistxattr llseek lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack mbind
    membarrier memfd_create migrate_pages mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2
    move_pages mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
    mq_timedsend_time64 mq_unlink mremap msgctl msgget msgrcv msgsnd msync munlock munlockall munmap nanosleep
    newfstatat open openat openat2 pause pidfd_send_signal pipe pipe2 pkey_alloc pkey_free
    pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv prlimit64 pselect6 pselect6_time64
    pwrite64 pwritev pwritev2 read readlink readlinkat readv recvfrom recvmmsg recvmmsg_time64 recvmsg
    remap_file_pages removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending
    rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
    rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
    sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
    sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop
    semtimedop_time64 sendfile sendfile64 sendmmsg sendmsg sendto set_mempolicy set_mempolicy_home_node
    set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid
    setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr shmat shmctl
    shmdt shmget shutdown sigaltstack signalfd signalfd4 splice stat stat64 statfs statfs64 statx symlink
    symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 umask uname unlink
    unlinkat utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid write writev
"""


# runc calls it after the filter is installed, to check that /proc is genuine.
_NEEDED_BY_RUNC = {"fstatfs"}
# Commands of fcntl(2) that jobs apart may use; the others are refused, or do not exist.
_FCNTL_ALLOWED = (*range(5), *range(8, 17), *range(1030, 1041))
_LAST_ADVICE, _LAST_OPTION = 103, 96  # MADV_GUARD_REMOVE, the newest of Linux 6.18; of SOL_SOCKET, with some to come
_LAST_PROTOCOL = 31  # of netlink: the kernel has no more
_LEVELS = (0, 6, 17, 41, 58, 132, 136, 255, 282, 284)  # of getsockopt(2), beside SOL_SOCKET: one for each protocol


def profile(*, apart: bool = False, compiles: bool = False) -> str:
    """Return the profile for `security_opt`, as JSON; `apart` and `compiles` as in `seccomp.program`.

    As with bubblewrap, refused calls fail with EPERM, clone3 and unknown calls with ENOSYS, sockets of families that
    are not allowed with EAFNOSUPPORT; a call by the 32-bit or x32 table kills the process.
    """
    families = seccomp.FAMILIES_APART if apart else seccomp.SOCKET_FAMILIES
    refused_apart = {*seccomp.refused_apart()} - _NEEDED_BY_RUNC if apart else set()
    pretended = {"setsid", *(("flock",) if compiles else ())} if apart else set()
    conditional = {"getsockopt", "setsockopt", *(("fcntl", "fcntl64", "madvise") if apart else ())}
    allowed = set(_ALLOWED.split()) - refused_apart - conditional - pretended
    rules = [
        _rule(sorted(allowed), "SCMP_ACT_ALLOW"),
        _rule(sorted({*seccomp.refused(), *refused_apart} - pretended), "SCMP_ACT_ERRNO", errno.EPERM),
        *(_rule([name], "SCMP_ACT_ERRNO", 0) for name in sorted(pretended)),
        _rule(["clone3"], "SCMP_ACT_ERRNO", errno.ENOSYS),
        # A bit of the flags requests a new namespace: the call is allowed only if no such bit is set.
        _rule(["clone"], "SCMP_ACT_ALLOW", where=("SCMP_CMP_MASKED_EQ", seccomp.CLONE_REFUSED)),
    ]
    if apart:
        rules += _by_argument("fcntl", 1, _FCNTL_ALLOWED, seccomp.FCNTL_APART)
        rules += _by_argument("madvise", 2, range(_LAST_ADVICE + 1), seccomp.MADVISE_APART)
    for name in ("getsockopt", "setsockopt"):
        rules += [_rule([name], "SCMP_ACT_ALLOW", where=("SCMP_CMP_EQ", level), index=1) for level in _LEVELS]
        of_the_kernel = {"index": 1, "value": seccomp.SOL_SOCKET, "valueTwo": 0, "op": "SCMP_CMP_EQ"}
        for rule in _by_argument(name, 2, range(_LAST_OPTION + 1), seccomp.SOCKET_OPTIONS_REFUSED):
            rules.append({**rule, "args": [of_the_kernel, *rule["args"]]})
    sockets = ["socket", "socketpair"]
    rules += [_rule(sockets, "SCMP_ACT_ALLOW", where=("SCMP_CMP_EQ", family)) for family in families]
    # One rule per family: runc treats several conditions on one argument as alternatives.
    some_netlink = [] if apart else [seccomp.NETLINK]
    highest = max((*families, *some_netlink))
    rules += [
        _rule(sockets, "SCMP_ACT_ERRNO", errno.EAFNOSUPPORT, where=("SCMP_CMP_EQ", family))
        for family in set(range(highest)) - set(families)
    ]
    rules.append(_rule(sockets, "SCMP_ACT_ERRNO", errno.EAFNOSUPPORT, where=("SCMP_CMP_GT", highest)))
    for family in some_netlink:
        of_family = {"index": 0, "value": family, "valueTwo": 0, "op": "SCMP_CMP_EQ"}
        others = set(range(_LAST_PROTOCOL + 1)) - {seccomp.NETLINK_ROUTE}
        for rule in _by_argument("socket", 2, range(_LAST_PROTOCOL + 1), others):
            error = {} if rule["action"] == "SCMP_ACT_ALLOW" else {"errnoRet": errno.EAFNOSUPPORT}
            rules.append({**rule, **error, "args": [of_family, *rule["args"]]})
    return json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": errno.ENOSYS, "syscalls": rules})


def _by_argument(name: str, index: int, known: Iterable[int], refused: Iterable[int]) -> list[dict[str, Any]]:
    """Return the rules of a call that is allowed for each `known` value of its argument but those that are refused.

    Allowed values are listed one by one, because the engine compares 64 bits of which the kernel reads 32: an argument
    that differs from a refused value may be that value with other upper bits.
    """
    return [
        *(
            _rule([name], "SCMP_ACT_ALLOW", where=("SCMP_CMP_EQ", value), index=index)
            for value in {*known} - {*refused}
        ),
        *(_rule([name], "SCMP_ACT_ERRNO", errno.EPERM, where=("SCMP_CMP_EQ", value), index=index) for value in refused),
    ]


def _rule(
    names: Iterable[str],
    action: str,
    error: int | None = None,
    where: tuple[str, int] | None = None,
    index: int = 0,
) -> dict[str, Any]:
    """Return a rule for the calls `names`, which applies if argument `index` satisfies `where` (operation, operand)."""
    rule: dict[str, Any] = {"names": list(names), "action": action}
    if error is not None:
        rule["errnoRet"] = error
    if where is not None:
        operation, operand = where
        # For SCMP_CMP_MASKED_EQ the operand is the mask, and the masked value must equal `valueTwo`.
        rule["args"] = [{"index": index, "value": operand, "valueTwo": 0, "op": operation}]
    return rule
