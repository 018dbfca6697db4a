"""What the NVIDIA driver says of a GPU: the one file that knows NVML. Not run on a machine with one: docs/gpu.md."""

from collections.abc import Callable
from typing import Any


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
