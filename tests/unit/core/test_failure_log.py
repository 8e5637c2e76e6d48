"""What an owner remembers of failed tasks: the newest, bounded in number and bytes."""

from types import SimpleNamespace

from nbray.core import failure_log
from nbray.core.failure_log import FailureLog
from nbray.serialization import error_value


def blob_of(text):
    try:
        raise ValueError(text)
    except ValueError as error:
        return error_value.from_exception("f", error)


def add(log, number, blob=b"", lineage=None):
    log.add(number, f"name {number}", "f", 7, False, False, blob, lineage)


def test_the_newest_are_returned_oldest_first():
    log = FailureLog()
    for number in (5, 3, 9):
        add(log, number)
    assert [entry.number for entry in log.since(1)] == [3, 9]
    assert [entry.number for entry in log.since(-100)] == [5, 3, 9]
    assert log.of(3).name == "name 3"
    assert log.of(4) is None


def test_a_task_that_fails_again_is_kept_once():
    log = FailureLog()
    for number in (1, 2, 1):
        add(log, number, b"x")
    assert [entry.number for entry in log.since(0)] == [2, 1]
    assert log.count == 3


def test_runs_before_the_last_are_remembered_and_the_oldest_forgotten(monkeypatch):
    log = FailureLog()
    log.add_attempt(1, 7, blob_of("x"))
    log.add_attempt(2, 7, blob_of("x"))
    log.add_attempt(1, 8, blob_of("x"))
    assert [(one.number, one.attempt) for one in log.attempts] == [(1, 0), (2, 0), (1, 1)]
    assert [(one.process, one.attempt) for one in log.attempts_of(1)] == [(7, 0), (8, 1)]
    assert log.attempts_of(3) == []
    monkeypatch.setattr(failure_log, "MAX_ATTEMPTS", 2)
    log = FailureLog()
    for number in (1, 2, 3):
        log.add_attempt(number, 7, blob_of("x"))
    assert [one.number for one in log.attempts] == [2, 3]


def test_the_oldest_are_forgotten(monkeypatch):
    monkeypatch.setattr(failure_log, "MAX_ENTRIES", 3)
    log = FailureLog()
    for number in range(10):
        add(log, number)
    assert [entry.number for entry in log.since(0)] == [7, 8, 9]


def test_of_older_ones_a_short_error_is_left(monkeypatch):
    monkeypatch.setattr(failure_log, "MAX_BYTES", 100_000)
    log = FailureLog()
    blob = blob_of("x" * 20_000)
    for number in range(10):
        add(log, number, blob, SimpleNamespace(n_bytes=10))
    oldest, newest = log.of(0), log.of(9)
    assert oldest.lineage is None
    assert len(oldest.blob) < 5_000
    assert error_value.describe(oldest.blob)[0] == error_value.describe(blob)[0]
    assert newest.blob == blob
    assert newest.lineage is not None
