"""What the GPUs of this machine do, through NVML (the package ``nvidia-ml-py``).

Reading only; nothing here changes a GPU's state. Where the driver does not say something
(under MIG there is no utilization, in a container the pids may be another namespace's), the
field is None or the list is empty: memory is always there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

LIBRARY = "libnvidia-ml.so.1"


class GpuProcess(msgspec.Struct, frozen=True):
    """A process that computes on a GPU."""

    pid: int
    used: int  # bytes of GPU memory; -1: not told


class GpuSample(msgspec.Struct, frozen=True):
    """One GPU at one moment."""

    index: int  # as CUDA_VISIBLE_DEVICES counts with CUDA_DEVICE_ORDER=PCI_BUS_ID
    name: str
    used: int  # bytes of its memory
    total: int  # bytes of its memory
    utilization: float | None  # share of the time that it computed, 0 to 1
    processes: tuple[GpuProcess, ...] = ()


class Gpus:
    """Reads all GPUs.

    Parameters
    ----------
    nvml : module
        ``pynvml``, initialized.
    """

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._handles = []
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            self._handles.append((index, handle, _text(nvml.nvmlDeviceGetName(handle))))

    def read(self) -> list[GpuSample]:
        """Return a sample of each GPU; one that does not answer any more is left out."""
        samples = []
        for index, handle, name in self._handles:
            memory = self._try(self._nvml.nvmlDeviceGetMemoryInfo, handle)
            if memory is None:
                continue
            rates = self._try(self._nvml.nvmlDeviceGetUtilizationRates, handle)
            running = self._try(self._nvml.nvmlDeviceGetComputeRunningProcesses, handle) or ()
            processes = tuple(
                GpuProcess(int(p.pid), -1 if p.usedGpuMemory is None else int(p.usedGpuMemory)) for p in running
            )
            utilization = None if rates is None else rates.gpu / 100.0
            samples.append(GpuSample(index, name, int(memory.used), int(memory.total), utilization, processes))
        return samples

    def _try(self, call: Callable[[Any], Any], handle: Any) -> Any:
        try:
            return call(handle)
        except self._nvml.NVMLError:
            return None


def open_gpus() -> Gpus | None:
    """Return the GPUs, or None where there is no NVIDIA driver."""
    import ctypes  # noqa: PLC0415 - a node without a GPU need not load any of this

    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    try:
        import pynvml  # noqa: PLC0415 - as above

        pynvml.nvmlInit()
        gpus = Gpus(pynvml)
    except Exception:  # the library is there and the driver is not, or is of another version
        return None
    return gpus if gpus.read() else None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
