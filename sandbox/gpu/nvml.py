"""Answers of the NVIDIA driver about a GPU, by NVML. This has not run on a machine with a GPU yet: docs/gpu.md."""

from collections.abc import Callable
from typing import Any

from sandbox.gpu.monitor import Sample

# Bits of the driver's reasons for a clock below its maximum (nvml.h, nvmlClocksEventReasons). Idleness is left out; a
# clock that a user has set is included.
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
    """Return the UUID of a device; None if the driver does not answer."""
    nvml, handle = _handle(device)
    return str(nvml.nvmlDeviceGetUUID(handle)) if nvml else None


def memory_reader(device: str) -> Callable[[], int | None] | None:
    """Return a function that returns the device memory in use by all programs, bytes; None if there is no answer.

    The function returns None if the driver stops answering.
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
    """Return a function that samples a device; None if the driver does not answer.

    The function returns None if the driver stops answering. What a card does not report (a MIG slice has no clock of
    its own) is left out of its samples.
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
    """Return the names of the reasons in the driver's answer; unknown bits are ignored."""
    return frozenset(name for bit, name in _REASONS.items() if bits & bit)


def _answer(nvml: Any, question: Callable[[], int]) -> int | None:
    try:
        return int(question())
    except nvml.NVMLError_NotSupported:
        return None


def _handle(device: str) -> tuple[Any, Any]:
    """Return NVML and its handle of a device with a name of nvidia-smi: `0`, `GPU-...` or `MIG-...`; else Nones."""
    try:
        import pynvml
    except ImportError:
        return None, None
    try:
        pynvml.nvmlInit()  # may be called often; the library is released with the process
        if device.isdigit():
            return pynvml, pynvml.nvmlDeviceGetHandleByIndex(int(device))
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(device)
    except pynvml.NVMLError:
        return None, None
