"""Ask the kernel for more: namespaces, mounts, tracing, programs in the kernel, io_uring, keys, modules."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
calls = {
    "unshare user": (272, 0x10000000), "unshare mount": (272, 0x20000), "setns": (308, 0, 0),
    "mount": (165, 0, b"/tmp", 0), "pivot_root": (155, b"/tmp", b"/tmp"), "chroot": (161, b"/tmp"),
    "ptrace": (101, 16, 1, 0, 0), "bpf": (321, 0, 0, 0), "perf_event_open": (298, 0, 0, 0, 0, 0),
    "userfaultfd": (323, 0), "io_uring_setup": (425, 8, bytes(256)), "keyctl": (250, 0, -3, 1),
    "add_key": (248, b"user", b"x", b"y", 1, -3), "init_module": (175, 0, 0, b""),
    "kexec_load": (246, 0, 0, 0, 0), "open_by_handle_at": (304, 0, 0, 0),
    "process_vm_readv": (310, 1, 0, 0, 0, 0, 0),
    "clone with a user namespace": (56, 0x10000000 | 17, 0, 0, 0, 0), "clone3": (435, 0, 0),
    "reboot": (169, 0, 0, 0, 0), "pidfd_getfd": (438, 0, 0, 0), "memfd_secret": (447, 0),
    "settimeofday": (164, 0, 0), "iopl": (172, 3),
}  # fmt: skip
if os.uname().machine == "x86_64":
    for name, arguments in calls.items():
        if libc.syscall(*arguments) == 0 and name == "clone with a user namespace":
            os._exit(99)  # the child: it should not be there
        if ctypes.get_errno() not in (1, 38):  # EPERM, ENOSYS
            print("BREACH", name, "was not refused:", os.strerror(ctypes.get_errno()))
        ctypes.set_errno(0)
for path in ("/proc/1/mem", "/proc/kcore", "/dev/mem", "/dev/kmsg"):
    try:
        if open(path, "rb").read(1):
            print("BREACH", path)
    except OSError:
        pass
