"""How a worker died, in words, with the end of its log."""

import os
import signal
import struct

import pytest

from nbray.config import Limits
from nbray.core import log_index, raw_output
from nbray.node import death
from nbray.node.log_limit import LogLimit
from nbray.node.worker_processes import UNKNOWN_STATUS, WorkerProcess


@pytest.fixture
def worker(tmp_path):
    process = WorkerProcess(3, str(tmp_path / "worker-3.log"), 0.0)
    process.pid, process.peer = 77, 5
    (tmp_path / "worker-3.log").write_bytes(b"".join(b"line %d\n" % n for n in range(100)) + b"\xff last")
    return process


def test_signal(worker):
    notice = death.describe(worker, 11, Limits())
    assert (notice.signal_name, notice.exit_code, notice.pid, notice.peer) == ("SIGSEGV", None, 77, 5)
    assert "pid=77 was killed by SIGSEGV" in notice.reason
    assert len(notice.log_tail.splitlines()) == 20
    assert notice.log_tail.endswith("last")


def test_exit(worker):
    worker.stop_reason = "idle"
    notice = death.describe(worker, 3 << 8, Limits())
    assert notice.exit_code == 3 and notice.reason == "worker pid=77 exited with code 3: idle"


def test_unexplained_sigkill_says_what_it_may_be(worker):
    assert "memory" in death.describe(worker, 9, Limits()).reason
    worker.stop_reason = "cancelled"
    assert "memory" not in death.describe(worker, 9, Limits()).reason
    assert "is gone" in death.describe(worker, UNKNOWN_STATUS, Limits()).reason


def test_tail_is_bounded_and_whole_lines(worker):
    tail = death.log_tail(worker.log_path, Limits({"log_tail_bytes": 50}))
    assert len(tail) <= 52 and tail.startswith("line ")
    assert death.log_tail("/no/such/log", Limits()) == ""


def test_tail_is_of_the_task_that_was_the_last_to_print(tmp_path):
    path = tmp_path / "worker.log"
    with path.open("wb", buffering=0) as file:
        index = log_index.LogIndex(str(path), file.fileno())
        index.note((1, 7))
        file.write(b"of an earlier one\n")
        index.note((1, 8))
        assert death.log_tail(str(path), Limits()) == ""
        file.write(b"its own\n")
    assert death.log_tail(str(path), Limits()) == "its own"
    path.write_bytes(b"anew\n")  # and the index is still that of before
    assert death.log_tail(str(path), Limits()) == "anew"


def test_large_logs_are_emptied_and_old_ones_go(tmp_path):
    limit = LogLimit(Limits({"log_bytes": 100, "dead_logs": 2}))
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_text("x" * 100)
    with open(large, "a") as writer:
        writer.write("y" * 1000)
        writer.flush()
        index = tmp_path / ("large" + log_index.SUFFIX)
        index.write_text("900 7 1\n")
        limit.check([str(small), str(large), str(tmp_path / "none")])
        writer.write("goes on\n")
    assert small.read_text() == "x" * 100
    assert large.read_text().startswith("[nbray: 1,000 bytes") and large.read_text().endswith("goes on\n")
    assert index.read_text() == ""  # which task wrote what of it is not known any more
    for number in range(4):
        path = tmp_path / f"dead-{number}"
        path.write_text("")
        (tmp_path / f"dead-{number}{log_index.SUFFIX}").write_text("")
        limit.worker_died(str(path))
    assert sorted(path.name for path in tmp_path.glob("dead-*")) == [
        f"dead-{number}{suffix}" for number in (2, 3) for suffix in ("", log_index.SUFFIX)
    ]


@pytest.mark.parametrize(("offset", "name"), [(0, "SIGRTMIN"), (3, "SIGRTMIN+3")])
def test_real_time_signals_have_names(worker, offset, name):
    notice = death.describe(worker, signal.SIGRTMIN + offset, Limits())
    assert notice.signal_name == name and f"killed by {name}" in notice.reason


@pytest.fixture
def written(tmp_path):
    """A log, and the file for what children write beside it."""
    log = tmp_path / "worker.log"
    log.write_bytes(b"read already\n")
    file = raw_output.create(str(log))
    yield log, file
    os.close(file)


def read_until(log, out, err):
    """Say how far the worker has read both, as it does in the first page."""
    with open(str(log) + raw_output.SUFFIX, "r+b") as file:
        file.write(struct.pack("=QQ", raw_output.BEGIN + out, err))


def test_what_a_dead_worker_has_not_sent(written):
    log, file = written
    os.write(file, b"sent\nnot sent\n")
    read_until(log, len("sent\n"), log.stat().st_size)
    log.write_bytes(log.read_bytes() + b"complaint \xff\n")
    process = WorkerProcess(3, str(log), 0.0)
    notice = death.describe(process, 9, Limits())
    assert notice.words == {"stdout": "not sent\n", "stderr": "complaint \ufffd\n"}
    assert notice.log_tail == "read already\ncomplaint \ufffd\nnot sent"
    assert not os.path.exists(str(log) + raw_output.SUFFIX)
    assert death.describe(process, 9, Limits()).words == {}


def test_much_that_a_dead_worker_has_not_sent(written):
    log, file = written
    os.write(file, 100_000 * b"x" + b"end")
    read_until(log, 0, log.stat().st_size)
    words = raw_output.take_rest(str(log))
    assert (
        list(words) == ["stdout"] and len(words["stdout"]) == raw_output.LAST_BYTES and words["stdout"].endswith("xend")
    )
    assert log.read_bytes().endswith(b"xend")


def test_what_children_write_is_limited_as_well(written):
    log, file = written
    os.write(file, 1_000_000 * b"x")
    limit = LogLimit(Limits({"log_bytes": 100_000}))
    limit.check([str(log)])
    os.write(file, b"goes on")
    with open(str(log) + raw_output.SUFFIX, "rb") as read:
        assert read.read()[raw_output.BEGIN :] == b"goes on"
    assert b"bytes of this log were dropped" in log.read_bytes() and log.read_bytes().startswith(b"read already")
    limit.check([str(log)])
    assert limit.emptied == 1
