"""Ask Linux whether memory was written since the last look (6.7 and later, userfaultfd).

Pages are write-protected in the mode that resolves faults in the kernel by itself: the
first write to a page costs a fraction of a microsecond more, and PAGEMAP_SCAN tells at
once which pages were written. Only private memory is watched: what other
processes or devices could write is not, nor anything while a GPU library is loaded, which
may have memory pinned. Where any of this is missing, nothing is watched and callers
compare contents instead.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import struct
import sys
from typing import Any, NamedTuple

_SYSCALL = {"x86_64": 323, "aarch64": 282}
_USER_MODE_ONLY = 1
_API, _API_VERSION = 0xC018AA3F, 0xAA
_REGISTER, _MODE_WP = 0xC020AA00, 2
_FEATURES = 1 << 15 | 1 << 13  # WP_ASYNC, WP_UNPOPULATED
_PAGEMAP_SCAN = 0xC0606610
_WP_MATCHING, _CHECK_WPASYNC = 1, 2
_PAGE_IS_WRITTEN, _PAGE_IS_FILE, _PAGE_IS_PRESENT, _PAGE_IS_SWAPPED = 1 << 1, 1 << 2, 1 << 3, 1 << 4
_SCAN = struct.Struct("<12Q")
#: Libraries with which devices may write to memory that the kernel does not see written.
DEVICE_LIBRARIES = ("torch.cuda", "cupy", "pycuda", "numba.cuda", "tensorflow", "jax", "ucp", "mpi4py")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Watch(NamedTuple):
    """One piece of memory that is watched: its whole pages, and copies of what lies around them."""

    address: int
    n_bytes: int
    first: int  # whole pages
    end: int
    head: bytes
    tail: bytes


class PageWatch:
    """Watches memory of this process; every method says "do not know" where it cannot."""

    def __init__(self) -> None:
        self._fault_fd = -1
        self._map_fd = -1
        self._pid = 0
        self._tried = False

    def arm(self, address: int, n_bytes: int, mapped: bool = False) -> Watch | None:
        """Watch for writes from now on; None when that is not possible.

        Parameters
        ----------
        mapped
            It is mapped from a file for this process alone, and nobody writes to the file.
        """
        if not self._open() or any(name in sys.modules for name in DEVICE_LIBRARIES):
            return None
        first = -(-address // _PAGE) * _PAGE
        end = (address + n_bytes) // _PAGE * _PAGE
        if end <= first:
            return None
        try:
            fcntl.ioctl(self._fault_fd, _REGISTER, bytearray(struct.pack("<4Q", first, end - first, _MODE_WP, 0)))
            if not mapped and self._scan(first, end, _PAGE_IS_FILE, 0):
                return None
            self._scan(first, end, 0, _WP_MATCHING | _CHECK_WPASYNC)
        except OSError:
            return None
        head = ctypes.string_at(address, first - address)
        tail = ctypes.string_at(end, address + n_bytes - end)
        return Watch(address, n_bytes, first, end, head, tail)

    def unwritten(self, watch: Watch) -> bool:
        """Tell whether it is certain that nothing was written since ``arm``.

        The memory must be readable now; it need not be the same mapping as then.
        """
        if self._pid != os.getpid() or any(name in sys.modules for name in DEVICE_LIBRARIES):
            return False
        try:
            if self._scan(watch.first, watch.end, _PAGE_IS_WRITTEN, _CHECK_WPASYNC):
                return False
        except OSError:
            return False  # the memory is another one by now
        head = ctypes.string_at(watch.address, watch.first - watch.address)
        tail = ctypes.string_at(watch.end, watch.address + watch.n_bytes - watch.end)
        return head == watch.head and tail == watch.tail

    def none_of_its_own(self, address: int, n_bytes: int) -> bool:
        """Tell whether it is certain that of memory which is mapped from a file for this process alone no page was written.

        One that was is no page of the file any more.
        """
        first, end = address // _PAGE * _PAGE, -(-(address + n_bytes) // _PAGE) * _PAGE
        region = ctypes.create_string_buffer(24)
        own, there = _PAGE_IS_FILE, _PAGE_IS_PRESENT | _PAGE_IS_SWAPPED
        call = _SCAN.pack(_SCAN.size, 0, first, end, 0, ctypes.addressof(region), 1, 1, own, own, there, there)
        try:
            with open("/proc/self/pagemap", "rb", buffering=0) as pages:
                return fcntl.ioctl(pages, _PAGEMAP_SCAN, bytearray(call)) == 0
        except OSError:  # before Linux 6.7
            return False

    def _scan(self, first: int, end: int, category: int, flags: int) -> bool:
        """Tell whether a page of the category is there; without one: protect all pages."""
        regions = ctypes.create_string_buffer(24)
        while first < end:
            most = 1 if category else 0
            vector = (ctypes.addressof(regions), 1) if category else (0, 0)
            call = bytearray(
                _SCAN.pack(_SCAN.size, flags, first, end, 0, *vector, most, 0, category, 0, category)
            )  # fmt: skip
            found = fcntl.ioctl(self._map_fd, _PAGEMAP_SCAN, call)
            if category or not found:
                return bool(found)
            walked = _SCAN.unpack(call)[4]
            if walked <= first:
                return False
            first = walked
        return False

    def _open(self) -> bool:
        if self._tried and self._pid == os.getpid():
            return self._fault_fd >= 0
        self._tried, self._pid = True, os.getpid()
        self._fault_fd = self._map_fd = -1
        number = _SYSCALL.get(platform.machine())
        if number is None or sys.platform != "linux":
            return False
        descriptor = ctypes.CDLL(None, use_errno=True).syscall(number, os.O_CLOEXEC | os.O_NONBLOCK | _USER_MODE_ONLY)
        if descriptor < 0:
            return False
        try:
            fcntl.ioctl(descriptor, _API, bytearray(struct.pack("<3Q", _API_VERSION, _FEATURES, 0)))
            self._map_fd = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(descriptor)
            return False
        self._fault_fd = descriptor
        return True

    def close(self) -> None:
        """Watch nothing any more."""
        for descriptor in (self._fault_fd, self._map_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self._fault_fd = self._map_fd = -1


def available() -> bool:
    """Tell whether this machine can watch memory."""
    watch: Any = PageWatch()
    try:
        return bool(watch._open())
    finally:
        watch.close()
