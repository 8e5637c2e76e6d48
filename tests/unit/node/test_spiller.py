"""Memory and disk both full: what is on disk can still be had, one object at a time."""

import errno
import os

import numpy as np
import pytest
from nbray._cstore import lib

from nbray.config import Limits
from nbray.node.segment import Segment, make_segment
from nbray.node.spill_files import DamagedError, DiskFullError, SpillFiles
from nbray.node.spiller import Spiller
from nbray.store.errors import StoreFullError
from nbray.store.segment import Segment as Store

KIB = 1024
CAPACITY = 1024 * KIB
SIZE = 192 * KIB


class Node:
    """A store and its spiller, whose disk takes so many objects; the thread does not run, each step is called."""

    def __init__(self, folder, objects_on_disk):
        self.segment = Segment(make_segment(CAPACITY))
        self.store = Store(self.segment.fd)
        self.spiller = Spiller(
            self.segment, Limits({"spill_from_share": 2.0}), (str(folder), str(folder)), lambda: None
        )
        self.files = self.spiller.files
        self.room = objects_on_disk * (SIZE + 4 * KIB)
        self.writes_fail = False
        self.files._check_disk = self._check_disk
        self.handles = []

    def _check_disk(self, size, leave):
        os.makedirs(self.files.folder, exist_ok=True)
        names = os.listdir(self.files.folder)
        used = sum(os.stat(os.path.join(self.files.folder, name)).st_blocks * 512 for name in names)
        if self.writes_fail or used + size > self.room:
            raise DiskFullError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.files.folder)

    def put(self):
        """Store one more; False when neither memory nor disk has room."""
        number = len(self.handles)
        while True:
            try:
                obj = self.store.create(b"%028d" % number, SIZE)
                break
            except StoreFullError:
                if not self.spiller._clear(SIZE):
                    return False
        self.store.write(obj, 0, pattern(number))
        self.store.seal(obj)
        self.handles.append(obj)
        return True

    def bring(self, number):
        self.spiller._restores[self.handles[number]] = None
        self.spiller._round()

    def in_memory(self, number):
        return not self.store.info(self.handles[number]).meta & 4

    def on_disk(self):
        return [number for number in range(len(self.handles)) if not self.in_memory(number)]

    def read(self, number):
        return bytes(self.store.view(self.handles[number]))

    def close(self):
        self.store.close()
        self.spiller.stop()
        lib.nbs_detach(self.segment._seg)
        os.close(self.segment.fd)


def pattern(number):
    return np.random.default_rng(number).integers(0, 256, SIZE, np.uint8).tobytes()


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path / "spill", 3)
    while node.put():
        pass
    assert len(node.on_disk()) == 3
    yield node
    assert node.segment.check() == ""
    node.close()


def test_each_can_be_had(node):
    for number in [*range(len(node.handles)), *reversed(range(len(node.handles))), 3, 0, 5]:
        if not node.in_memory(number):
            node.bring(number)
        assert node.in_memory(number)
        assert node.read(number) == pattern(number)
    assert node.spiller._aside is None


def test_a_disk_that_takes_nothing_any_more_loses_nothing(node):
    on_disk = node.on_disk()
    node.writes_fail = True
    for number in on_disk:
        node.bring(number)
        assert not node.in_memory(number)
    assert node.spiller._aside is not None
    node.writes_fail = False
    for number in [*on_disk, *range(len(node.handles))]:
        if not node.in_memory(number):
            node.bring(number)
        assert node.read(number) == pattern(number)
    assert node.spiller._aside is None


def test_what_is_aside_goes_with_its_object(node):
    number = node.on_disk()[0]
    node.writes_fail = True
    node.bring(number)
    assert node.spiller._aside is not None
    node.store.release(node.handles[number])
    node.spiller._round()
    assert node.spiller._aside is None


def test_files_that_somebody_has_removed_give_their_room_back(tmp_path, monkeypatch):
    """Whoever removes them wants the disk; as long as they are open they hold it."""
    folder = str(tmp_path / "spill")
    files = SpillFiles(folder, folder, SIZE, 1.0, lambda: None)
    room = 3 * (SIZE + 4 * KIB)

    def has_room(size, leave):
        return sum(os.fstat(descriptor).st_blocks * 512 for descriptor in files._open.values()) + size <= room

    monkeypatch.setattr(files, "_has_room", has_room)
    names = [b"%028d" % number for number in range(4)]
    places = [files.write(name, memoryview(pattern(number))) for number, name in enumerate(names[:3])]
    with pytest.raises(DiskFullError):
        files.write(names[3], memoryview(pattern(3)))
    os.unlink(files.path(places[0].file))
    last = files.write(names[3], memoryview(pattern(3)))
    target = bytearray(SIZE)
    for number, place in ((3, last), (1, places[1])):
        files.read(names[number], place, memoryview(target))
        assert target == pattern(number)
    with pytest.raises(DamagedError, match="gone"):
        files.read(names[0], places[0], memoryview(target))
    for place in (places[0], last, *places[1:]):
        files.drop(place)
    files.close()
    assert not files._open
