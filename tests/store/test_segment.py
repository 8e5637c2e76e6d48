"""The store through its Python binding: values, errors, views, forks."""

from __future__ import annotations

import gc
import os
import signal

import numpy as np
import pytest
from nbray._cstore import ffi, lib

from nbray.exceptions import (
    ForkedProcessError,
    ObjectStoreFullError,
    SharedMemoryTooSmallError,
    VersionMismatchError,
)
from nbray.store import errors
from nbray.store.segment import META_KEEP, META_LOST, SEALED, Segment, create, memory_available


def oid(n: int) -> bytes:
    return b"%028d" % n


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 4096, 1 << 20, (8 << 20) - 1, 8 << 20])
def test_round_trip(segment, size):
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    obj = segment.put(oid(1), data, meta=5 << 16)
    assert segment.info(obj) == (size, 5 << 16, SEALED, segment.peer)
    view = segment.view(obj)
    assert view.readonly and np.array_equal(np.frombuffer(view, dtype=np.uint8), data)
    assert not segment.release(obj)
    del view
    assert segment.contains(oid(1)) == 0
    assert segment.stats()["used"] == 0


@pytest.mark.parametrize("size", [(8 << 20) + 1, 2**31, 2**32 + 1, 2**63, 2**64 - 1, 2**64, 2**70])
def test_larger_than_the_store(segment, size):
    with pytest.raises(errors.TooBigError) as caught:
        segment.create(oid(1), size)
    assert isinstance(caught.value, ObjectStoreFullError)
    assert caught.value.status == lib.NBS_ETOOBIG
    assert segment.stats()["n_objects"] == 0


def test_negative_size(segment):
    with pytest.raises(errors.StoreError):
        segment.create(oid(1), -1)


def test_full_store_says_how_full(segment):
    segment.put(oid(1), bytes(5 << 20))
    with pytest.raises(ObjectStoreFullError) as caught:
        segment.create(oid(2), 5 << 20)
    assert caught.value.size == 5 << 20
    assert caught.value.capacity == 8 << 20
    assert 5 << 20 <= caught.value.used < 8 << 20
    segment.create(oid(3), 2 << 20)  # there is room for less


def test_many_tiny_objects():
    with Segment.make(32 << 20) as s:
        held = [s.put(oid(i), b"") for i in range(30_000)]
        assert s.stats()["n_objects"] == 30_000
        s.validate()
        assert all(s.release(obj) for obj in held)
        assert s.stats()["used"] == 0
        assert s.stats()["largest_free"] == 32 << 20
        s.validate()


def test_errors_by_class(segment):
    obj = segment.put(oid(1), b"x")
    with pytest.raises(errors.ObjectExistsError):
        segment.create(oid(1), 1)
    with pytest.raises(errors.StateError):
        segment.seal(obj)
    with pytest.raises(errors.StateError):
        segment.adopt(obj)
    with pytest.raises(errors.NotFoundError, match="ENOTFOUND"):
        segment.release(obj + (1 << 32))
    with pytest.raises(ValueError, match="28 bytes"):
        segment.lookup(b"short")
    with pytest.raises(errors.PeerDeadError):
        segment.create(oid(2), 1, hold_for=99 << 32 | 5)
    assert segment.lookup(oid(7)) is None
    assert segment.delete(oid(7)) is False


def test_store_that_does_not_fit_says_why():
    available, figures = memory_available()
    assert available > 0 and "available" in figures
    with pytest.raises(SharedMemoryTooSmallError, match="MemAvailable"):
        create(available * 2)
    with pytest.raises(errors.StoreError):
        create(0)
    with pytest.raises(errors.StoreError):
        create(-5)


def test_attach_refuses_another_layout():
    fd = create(1 << 20)
    good = os.pread(fd, 8, 8)  # the layout signature
    os.pwrite(fd, bytes([good[0] ^ 1]), 8)
    with pytest.raises(VersionMismatchError, match="layout"):
        Segment(fd)
    os.pwrite(fd, good, 8)
    Segment(fd).close()
    os.close(fd)


def test_attach_refuses_what_is_no_segment(tmp_path):
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    fd = os.open(tmp_path / "file", os.O_RDWR)
    with pytest.raises(VersionMismatchError):
        Segment(fd)
    os.close(fd)


def test_view_outlives_ref_and_pressure(segment):
    data = np.arange(1 << 17, dtype=np.uint8)
    obj = segment.put(oid(1), data, meta=META_KEEP)
    array = np.frombuffer(segment.view(obj), dtype=np.uint8)[100:200]
    segment.release(obj)
    segment.delete(oid(1))
    for i in range(100):
        segment.release(segment.put(oid(100 + i), bytes([i]) * (1 << 20)))
    assert np.array_equal(array, data[100:200])
    with pytest.raises(ValueError):
        array[0] = 1
    del array
    assert segment.stats()["n_objects"] == 0


def test_view_outlives_the_segment():
    s = Segment.make(1 << 20)
    view = s.view(s.put(oid(1), b"still here"))
    s.close()
    assert bytes(view) == b"still here"
    del view
    gc.collect()


def test_interrupted_put_leaves_nothing(segment, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(segment, "seal", interrupt)
    with pytest.raises(KeyboardInterrupt):
        segment.put(oid(1), b"x" * 1000)
    assert segment.stats()["n_objects"] == 0


def test_forked_child_is_told_at_once(segment, in_child):
    obj = segment.put(oid(1), b"mine")
    view = segment.view(obj)

    def body():
        for call in (lambda: segment.lookup(oid(1)), lambda: segment.put(oid(2), b""), segment.stats):
            with pytest.raises(ForkedProcessError):
                call()
        nonlocal view
        del view  # must not give back the parent's hold
        segment.close()

    assert in_child(body) == 0
    assert not segment.release(obj)
    assert bytes(view) == b"mine"


def test_another_process_reads_and_dies(segment, in_child):
    fd = os.dup(int(_fd_of(segment)))
    kept = segment.put(oid(1), b"to be read")

    def body():
        with Segment(fd) as other:
            assert bytes(other.view(other.lookup(oid(1)))) == b"to be read"
            other.put(oid(2), b"sealed, but held by the dead alone")
            other.create(oid(3), 1000)
            promised = other.promise(oid(4))
            assert promised
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(body) == -signal.SIGKILL
    waits = segment.promise(oid(4))
    dead = [p for p in (1 << 32 | slot for slot in range(4)) if p != segment.peer]
    for peer in dead:
        if not segment.alive(peer):
            segment.recover(peer)
    assert segment.info(waits).meta == META_LOST
    segment.release(waits)
    assert [segment.contains(oid(i)) for i in range(1, 5)] == [SEALED, 0, 0, 0]
    assert segment.release(kept)
    os.close(fd)


def _fd_of(segment: Segment) -> str:
    """The descriptor that the C core keeps: found by its name, as it is private."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("/memfd:nbray"):
                return name
        except OSError:
            continue
    raise AssertionError("no segment is open")


def test_numpy_is_not_loaded_by_the_store(in_child):
    code = "import sys, nbray.store.segment; sys.exit('numpy' in sys.modules)"
    assert os.spawnv(os.P_WAIT, os.sys.executable, [os.sys.executable, "-c", code]) == 0


def test_every_status_has_a_name_and_a_class():
    for name in dir(lib):
        if name.startswith("NBS_E") and not name.startswith("NBS_EV_"):
            status = getattr(lib, name)
            assert errors.status_name(status) == name[4:]
            with pytest.raises(errors.StoreError) as caught:
                errors.fail(status, "testing")
            assert caught.value.status == status
    assert ffi.string(lib.nbs_layout()).startswith(b"segment version")
