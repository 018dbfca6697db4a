"""What the NVIDIA driver says of a GPU: the one file that knows NVML. Not run on a machine with one: docs/gpu.md."""

from collections.abc import Callable
from typing import Any

from sandbox.gpu.monitor import Sample

# Bits of the driver's answer to why a clock is lower than it could be (nvml.h, nvmlClocksEventReasons). Idleness is no
# reason to name, and a clock that a user has set is one.
_REASONS = {
    0x0002: "clocks_set",
    0x0004: "power_cap",
    0x0008: "hw_slowdown",
    0x0010: "sync_boost",
    0x0020: "sw_thermal",
    0x0040: "hw_thermal",
    0x0080: "power_brake",
    0x0100: "clocks_set",
}


def uuid_of(device: str) -> str | None:
    """Return the one name that a device has on every machine; None where the driver cannot be asked."""
    nvml, handle = _handle(device)
    return str(nvml.nvmlDeviceGetUUID(handle)) if nvml else None


def memory_reader(device: str) -> Callable[[], int | None] | None:
    """Return what reads how many bytes of the device's memory are taken, by all programs; None: it cannot be asked.

    The reader itself returns None where the driver does not answer any more.
    """
    nvml, handle = _handle(device)
    if nvml is None:
        return None

    def used_bytes() -> int | None:
        try:
            return int(nvml.nvmlDeviceGetMemoryInfo(handle).used)
        except nvml.NVMLError:
            return None

    return used_bytes


def state_reader(device: str) -> Callable[[], Sample | None] | None:
    """Return what looks at a device once; None: it cannot be asked.

    The reader itself returns None where the driver does not answer any more. What one card does not tell (a MIG slice
    has no clock of its own) is left out of its samples.
    """
    nvml, handle = _handle(device)
    if nvml is None:
        return None

    def look() -> Sample | None:
        try:
            pids = frozenset(int(process.pid) for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle))
            return Sample(
                reasons_of(_answer(nvml, lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)) or 0),
                _answer(nvml, lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
                pids,
            )
        except nvml.NVMLError:
            return None

    return look


def reasons_of(bits: int) -> frozenset[str]:
    """Return the names of the reasons that the driver's answer stands for; bits that are not known are left out."""
    return frozenset(name for bit, name in _REASONS.items() if bits & bit)


def _answer(nvml: Any, question: Callable[[], int]) -> int | None:
    try:
        return int(question())
    except nvml.NVMLError_NotSupported:
        return None


def _handle(device: str) -> tuple[Any, Any]:
    """Return the library and its handle of a device, given as nvidia-smi shows it: `0`, or `GPU-...`, `MIG-...`."""
    try:
        import pynvml
    except ImportError:
        return None, None
    try:
        pynvml.nvmlInit()  # counts its calls; the library goes with the process
        if device.isdigit():
            return pynvml, pynvml.nvmlDeviceGetHandleByIndex(int(device))
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(device)
    except pynvml.NVMLError:
        return None, None
