"""What tests and their tasks meet through: files, so that every process sees them and no clock decides."""

import os
import time
from pathlib import Path

LIBRARY = os.environ.get("NBRAY_CONFORMANCE", "nbray")
STEP_S = 0.005
PATIENCE_S = 60


def wait_until(condition, what="the condition", patience_s=PATIENCE_S):
    """Return as soon as `condition()` is true; fail with `what` when it never is."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true in {patience_s} s")
        time.sleep(STEP_S)


def process_is_alive(pid):
    """Whether `pid` runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


class Gate:
    """Tasks wait until the test opens it. May be passed to tasks."""

    def __init__(self, path):
        self.path = Path(path)

    def open(self):
        self.path.touch()

    def is_open(self):
        return self.path.exists()

    def wait(self):
        wait_until(self.is_open, "the gate")


class Ledger:
    """Marks appended by any process, each atomically. May be passed to tasks."""

    def __init__(self, path):
        self.path = Path(path)

    def add(self, mark="x"):
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"{mark}\n".encode())
        finally:
            os.close(descriptor)

    def marks(self):
        return self.path.read_text().split() if self.path.exists() else []

    def wait_for(self, count):
        wait_until(lambda: len(self.marks()) >= count, f"{count} marks")
        return self.marks()


def values(ray, generator):
    """Get what a generator yields; an error is given as the name of its class."""
    found = []
    for ref in generator:
        try:
            found.append(ray.get(ref))
        except ray.exceptions.RayError as error:
            found.append(type(getattr(error, "cause", None) or error).__name__)
    return found
