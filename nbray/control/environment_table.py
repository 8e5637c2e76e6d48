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

    def define(self, key: str, text: str, job_id: int, wall: float) -> None:
        """Note an environment; one that is known already stays as it is."""
        if key in self.environments:
            return
        if len(self.environments) >= MAX_ENVIRONMENTS:
            del self.environments[next(iter(self.environments))]
        self.environments[key] = EnvironmentRecord(key, text, job_id, wall)
