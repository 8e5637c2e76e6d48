"""The runtime environments that owners have named, for those who list them. Pure."""

from __future__ import annotations

MAX_ENVIRONMENTS = 1000  # remembered; then the oldest go


class EnvironmentRecord:
    """One environment."""

    __slots__ = ("defined_at", "job_id", "key", "text")

    def __init__(self, key: str, text: str, job_id: int, defined_at: float) -> None:
        self.key = key
        self.text = text  # JSON
        self.job_id = job_id  # of the driver that named it first
        self.defined_at = defined_at  # seconds since the epoch


class EnvironmentTable:
    """Environments by key."""

    def __init__(self) -> None:
        self.environments: dict[str, EnvironmentRecord] = {}
        self._failed: dict[str, str] = {}  # interpreters that could not be made -> why

    def define(self, key: str, text: str, job_id: int, wall: float) -> None:
        """Note an environment; one that is known already stays as it is."""
        if key in self.environments:
            return
        if len(self.environments) >= MAX_ENVIRONMENTS:
            del self.environments[next(iter(self.environments))]
        self.environments[key] = EnvironmentRecord(key, text, job_id, wall)

    def interpreter_failed(self, interpreter: str, reason: str) -> None:
        """Note that an interpreter could not be made: nor can the environments that need it."""
        self._failed.pop(interpreter, None)
        if len(self._failed) >= MAX_ENVIRONMENTS:
            del self._failed[next(iter(self._failed))]
        self._failed[interpreter] = reason

    def interpreter_ready(self, interpreter: str) -> None:
        """Note that an interpreter is there, perhaps at a second try."""
        self._failed.pop(interpreter, None)

    def error_of(self, key: str) -> str:
        """Return why an environment could not be made; empty: nothing of that is known."""
        return self._failed.get(interpreter_of(key), "")


def interpreter_of(key: str) -> str:
    """Return the interpreter that an environment needs; empty: the cluster's own."""
    return key.partition(":")[2]
