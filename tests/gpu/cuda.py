"""Real work on a GPU through the driver library alone, so that these tests need no framework."""

from __future__ import annotations

import ctypes
import time

LIBRARY = "libcuda.so.1"


class Gpu:
    """A context on the first GPU that this process may see, and memory on it.

    Parameters
    ----------
    nbytes : int
        How much memory to take.

    Raises
    ------
    RuntimeError
        When the driver refuses, with the name of its error.
    """

    def __init__(self, nbytes: int) -> None:
        self.lib = ctypes.CDLL(LIBRARY)
        self.nbytes = nbytes
        self._call("cuInit", 0)
        device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        context = ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        self.pointer = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(self.pointer), ctypes.c_size_t(nbytes))

    def count(self) -> int:
        """Return how many GPUs this process may see."""
        count = ctypes.c_int()
        self._call("cuDeviceGetCount", ctypes.byref(count))
        return count.value

    def fill(self, value: int) -> None:
        """Write ``value`` into all of the memory, 32 bits at a time."""
        self._call("cuMemsetD32_v2", self.pointer, ctypes.c_uint(value), ctypes.c_size_t(self.nbytes // 4))
        self._call("cuCtxSynchronize")

    def burn(self, seconds: float) -> int:
        """Write without a pause for ``seconds``; return how often."""
        n, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            self.fill(n)
            n += 1
        return n

    def word(self, index: int) -> int:
        """Return the 32 bits at ``index``."""
        value = ctypes.c_uint()
        self._call(
            "cuMemcpyDtoH_v2", ctypes.byref(value), ctypes.c_uint64(self.pointer.value + 4 * index), ctypes.c_size_t(4)
        )
        return value.value

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self.lib, name)(*arguments)
        if status != 0:
            text = ctypes.c_char_p()
            self.lib.cuGetErrorName(status, ctypes.byref(text))
            raise RuntimeError(f"{name}: {text.value.decode() if text.value else status}")
