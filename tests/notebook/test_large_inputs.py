"""Large arrays and frames that have not changed do not travel twice; those that have, always do."""

from __future__ import annotations

import ast
import ctypes
import time

import numpy as np
from kit import LOAD, Kernel

from nbray.notebook import page_watch
from nbray.notebook.page_watch import PageWatch

SETUP = """
import numpy as np, pandas as pd
def nbray_large_objects():
    from nbray._cstore import ffi, lib
    from nbray.core import current
    items = ffi.new("nbs_list_item[]", 4096)
    found = items[0:lib.nbs_list(current.core.seg, items, 4096)]
    return [bytes(item.id).hex() for item in found if item.size > 2_000_000]
"""


def stored(kernel: Kernel) -> set[str]:
    """Return the large objects of the store by id. What earlier tests left goes when it goes; only that one comes counts."""
    found: list[str] = ast.literal_eval(kernel.ok("nbray_large_objects()").value or "")
    return set(found)


def wait_until_gone(kernel: Kernel, objects: set[str]) -> None:
    """Run cells until all these objects are gone: what a worker read it gives back when it gets to it."""
    end = time.monotonic() + 60
    while left := objects & stored(kernel):
        assert time.monotonic() < end, f"still stored: {left}"
        kernel.ok("%%remote\npass")


def test_an_unchanged_array_is_stored_once(kernel: Kernel) -> None:
    kernel.ok(SETUP + "a = np.arange(4_000_000.0)")
    earlier = stored(kernel)
    assert kernel.ok("%%remote\nfloat(a[-1]), a.flags.writeable").value == "(3999999.0, False)"
    once = stored(kernel) - earlier
    assert len(once) == 1
    for _ in range(3):
        assert kernel.ok("%%remote\nfloat(a[5])").value == "5.0"
    assert stored(kernel) - earlier == once
    # It is given up with the array.
    kernel.ok("del a")
    wait_until_gone(kernel, once)


def test_what_a_cell_took_is_given_back_at_its_end(fresh_kernel: Kernel) -> None:
    """Without the help of the garbage collector, which comes by when it likes. In a kernel of its own: its worker has none."""
    kernel = fresh_kernel
    kernel.ok(LOAD)
    kernel.ok(SETUP + "taken = np.ones(1_000_000)")
    kernel.ok("%%remote\nimport gc\ngc.collect()\ngc.disable()\nfloat(taken[0])")
    objects = stored(kernel)
    assert len(objects) == 1
    kernel.ok("del taken")
    wait_until_gone(kernel, objects)


def test_an_idle_worker_holds_no_garbage(kernel: Kernel) -> None:
    """A function of the cell and its globals hold each other, and with them what the cell took."""
    kernel.ok(SETUP + "seen = np.ones(1_000_000)")
    earlier = stored(kernel)
    kernel.ok("%%remote\ndef look(): return float(seen[0])\n_ = look()")
    objects = stored(kernel) - earlier
    assert len(objects) == 1
    kernel.ok("del seen, look")
    end = time.monotonic() + 60
    while left := objects & stored(kernel):
        assert time.monotonic() < end, f"still stored: {left}"
        time.sleep(0.1)


def test_a_change_in_place_is_always_seen(kernel: Kernel) -> None:
    kernel.ok(SETUP + "b = np.zeros(3_000_000)")
    total = 0.0
    for index in (0, 1, 1_500_000, 2_999_998, 2_999_999):
        kernel.ok(f"b[{index}] += 1")
        total += 1
        assert kernel.ok("%%remote\nfloat(b.sum())").value == str(total)
        assert kernel.ok("%%remote\nfloat(b.sum())").value == str(total)
    kernel.ok("%%remote\nb[7] = 100")
    assert kernel.ok("%%remote\nfloat(b[7])").value == "100.0"
    kernel.ok("import io\nio.BytesIO(bytes(80)).readinto(memoryview(b).cast('B')[8000:8080])\nb[1000:1010] = 3")
    assert kernel.ok("%%remote\nfloat(b[1000:1010].sum())").value == "30.0"


def test_frames(kernel: Kernel) -> None:
    kernel.ok(SETUP + "df = pd.DataFrame({'x': np.arange(1_000_000.0), 'y': 1, 'z': 'text'})")
    assert kernel.ok("%%remote\nfloat(df.x.sum()), len(df)").value == "(499999500000.0, 1000000)"
    kernel.ok("df.loc[0, 'x'] = 1e12")
    assert kernel.ok("%%remote\nfloat(df.x[0]), df.z[5]").value == "(1000000000000.0, 'text')"


def test_what_a_cell_brought_back_is_not_stored_again(kernel: Kernel) -> None:
    kernel.ok(SETUP)
    kernel.ok("%%remote\nimport numpy as np\nmade = np.ones((1000, 1000)); other = np.zeros(500_000)")
    before = stored(kernel)
    assert kernel.ok("%%remote\nfloat(made.sum() + other.sum())").value == "1000000.0"
    assert kernel.ok("%%remote\nmade.shape, float(made[1:].sum())").value == "((1000, 1000), 999000.0)"
    assert stored(kernel) <= before


def test_several_names_of_one_array(kernel: Kernel) -> None:
    kernel.ok(SETUP + "whole = np.arange(2_000_000.0); part = whole[:1_000_000]; again = whole")
    assert kernel.ok("%%remote\nfloat(part[-1]), again is whole").value == "(999999.0, True)"
    kernel.ok("whole[999_999] = -1")
    assert kernel.ok("%%remote\nfloat(part[-1]), float(whole[999_999])").value == "(-1.0, -1.0)"


def test_page_watch_sees_every_write() -> None:
    pages = PageWatch()
    array = np.ones(2_000_000)
    address = array.__array_interface__["data"][0]
    if not page_watch.available():  # before Linux 6.7: contents are compared instead
        assert pages.arm(address, array.nbytes) is None
        return

    def armed():  # type: ignore[no-untyped-def]
        watch = pages.arm(address, array.nbytes)
        assert watch is not None
        return watch

    watch = armed()
    assert pages.unwritten(watch)
    for index in (0, 1, 511, 600, 1_000_000, 1_999_998, 1_999_999):
        watch = armed()
        assert pages.unwritten(watch)
        array[index] += 1
        assert not pages.unwritten(watch), index
    watch = armed()
    with open("/dev/zero", "rb") as zeros:  # the kernel writes, not the process
        zeros.readinto(memoryview(array).cast("B")[80_000:80_010])
    assert not pages.unwritten(watch)
    watch = armed()
    ctypes.memset(address + 4_000_000, 1, 1)
    assert not pages.unwritten(watch)
    pages.close()


def test_page_watch_does_not_watch_shared_memory() -> None:
    import mmap

    shared = mmap.mmap(-1, 1 << 20)
    view = np.frombuffer(shared, dtype=np.uint8)
    view[:] = 1
    assert PageWatch().arm(view.__array_interface__["data"][0], view.nbytes) is None
    del view


def test_an_interrupt_amid_the_copy_of_an_array_does_not_end_the_kernel(kernel):
    """What was in hand, a buffer upon a view of memory, would be in IPython's cycle of error and frames: CPython 3.11 crashes."""
    kernel.ok(
        """
import pickle, numpy
import nbray.notebook.large_inputs as inputs
text = "def put(value):\\n    view = memoryview(bytearray(100))\\n    held = pickle.PickleBuffer(view)\\n    raise KeyboardInterrupt"
exec(compile(text, inputs.__file__, "exec"), {"pickle": pickle}, names := {})
kept, inputs.put = inputs.put, names["put"]
array = numpy.ones(1_000_000)
"""
    )
    cell = kernel.run("%%remote\narray.sum()")
    assert [content["ename"] for content in cell.of("error")] == ["KeyboardInterrupt"]
    kernel.run("1 / 0")  # the last error is kept for %debug: now that is another
    kernel.ok("import gc\ninputs.put = kept\ngc.collect()")
    assert kernel.ok("%%remote\narray.sum()").value == "np.float64(1000000.0)"
