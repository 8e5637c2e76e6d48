"""What others write to a worker's descriptors is told from what the worker logs itself, also where the log is emptied."""

import os

import pytest

from nbray.core import raw_output
from nbray.worker.foreign_output import ForeignOutput


@pytest.fixture
def files(tmp_path):
    """A log and the file beside it as descriptors 2 and 1, and what reads them."""
    path = str(tmp_path / "worker.log")
    log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    out = raw_output.create(path)
    kept = os.dup(1), os.dup(2)
    os.dup2(out, 1)
    os.dup2(log, 2)
    try:
        foreign = ForeignOutput()
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in kept:
            os.close(descriptor)
    yield path, log, out, foreign
    for descriptor in (log, out, foreign._log, foreign._file):
        os.close(descriptor)


def read(foreign, most=1 << 20):
    found = {"stdout": "", "stderr": ""}
    for stream, text in foreign.read(most):
        found[stream] += text
    return found


def test_own_words_are_left_out(files):
    path, log, out, foreign = files
    foreign.write_own("stdout", b"own\n")
    assert not foreign.grew()
    os.write(log, b"err\n")
    foreign.write_own("stderr", b"own too\n")
    assert foreign.left
    os.write(log, b"err again\n")
    os.write(out, b"out\n")
    assert read(foreign) == {"stdout": "out\n", "stderr": "err\nerr again\n"}
    assert not foreign.grew()
    with open(path) as file:
        assert sorted(file.read().split("\n")) == ["", "err", "err again", "out", "own", "own too"]


def test_an_emptied_log(files):
    path, log, out, foreign = files
    os.write(log, b"before\n" * 100)
    assert read(foreign)["stderr"] == "before\n" * 100
    os.truncate(path, 0)
    os.write(log, b"[dropped]\n")
    foreign.write_own("stdout", b"own\n")
    os.write(out, b"out\n" * 100)
    assert read(foreign) == {"stdout": "out\n" * 100, "stderr": "[dropped]\n"}, "nothing of its own is shown again"
    raw_output.empty(path)
    os.write(out, b"anew\n")
    assert read(foreign) == {"stdout": "anew\n", "stderr": ""}
    assert not foreign.grew()


def test_no_more_than_asked_for_at_a_look(files):
    _, _, out, foreign = files
    os.write(out, b"x" * 100_000)
    assert len(read(foreign, 60_000)["stdout"]) == 60_000
    assert len(read(foreign, 60_000)["stdout"]) == 40_000
