"""Which task wrote what of a worker's log."""

import os

import pytest

from nbray.core import log_index
from nbray.core.log_index import LogIndex, words_of


class Log:
    """A log, and its index."""

    def __init__(self, path):
        self.path = path
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.index = LogIndex(path, self.file)

    def say(self, task, words):
        self.index.note(task)
        os.write(self.file, words)

    def of(self, *task):
        return words_of(self.path, *task)


@pytest.fixture
def log(tmp_path):
    log = Log(str(tmp_path / "worker-1.log"))
    yield log
    os.close(log.file)
    if log.index._file >= 0:
        os.close(log.index._file)


def test_stretches_of_a_task_are_put_together(log):
    os.write(log.file, b"before all\n")
    log.say((7, 1), b"a")
    log.say((7, 1), b"b\n")
    log.say((7, 2), b"of another\n")
    log.say((7, 1), b"c\n")
    assert log.of(7, 1) == b"ab\nc\n"
    assert log.of(7, 2) == b"of another\n"
    assert log.of(7, 3) is None
    assert log.of(8, 1) is None


def test_tasks_that_print_nothing_leave_no_file(log):
    assert log.of(7, 1) is None
    assert not os.path.exists(log.path + log_index.SUFFIX)


def test_a_log_that_began_anew(log):
    log.say((7, 1), b"lost\n")
    log.say((7, 2), b"lost\n")
    os.ftruncate(log.file, 0)
    log.index.log_began_anew()
    log.say((7, 2), b"kept\n")
    assert log.of(7, 1) is None
    assert log.of(7, 2) == b"kept\n"


def test_the_index_is_bounded(log, monkeypatch):
    monkeypatch.setattr(log_index, "MAX_BYTES", 100)
    for number in range(50):
        log.say((7, number), b"%d\n" % number)
    assert os.path.getsize(log.path + log_index.SUFFIX) <= 100
    assert log.of(7, 0) is None
    assert log.of(7, 49) == b"49\n"
