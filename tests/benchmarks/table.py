"""The one table of cases: what is measured, in which unit it is shown, and what nbray has to reach.

Every case is kept as a number where less is better (seconds, or bytes); `unit` only says how it is shown. A ratio is
Ray's number divided by nbray's.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One line of the result."""

    key: str  # name on the command line and in the JSON
    title: str
    unit: str  # us, ms, s: time of one; "/s": how many per second; MB
    ratio: float | None = None  # to Ray; None: not compared
    limit: float | None = None  # for nbray alone, in seconds or bytes
    limit_text: str = ""
    ray: bool = True  # whether Ray is measured too
    ray_rounds: int | None = None  # rounds in which Ray is measured, where one takes minutes; None: all
    kind: str = "work"  # the cluster it is measured in, see child.py; "cell": in a kernel

    def measures(self, library: str, round_number: int) -> bool:
        """Tell whether a library is measured in a round, counted from 1."""
        if library == "nbray":
            return True
        return self.ray and (self.ray_rounds is None or round_number <= self.ray_rounds)


MB = 1e6
CASES = [
    Case("task", "`get(f.remote(x))`, warm, median", "us", 40, 30e-6, "30 us"),
    Case("tasks", "10,000 tasks submitted, then one `get`", "/s", 50, 1 / 100_000, "100,000/s"),
    Case("actor_call", "actor call, round trip", "us", 25),
    Case("actor_calls", "10,000 actor calls", "/s", 20),
    Case("put_small", "`put` of a small value", "/s", 100),
    Case("get_small", "`get` of a small value", "/s", 40),
    Case("put_first", "`put` of 100 MB, first", "ms", 3),
    Case("put_warm", "`put` of 100 MB, warm", "ms", 1),
    Case(
        "put_over_memcpy",
        "`put` of 100 MB, warm: share of the speed of memcpy",
        "share",
        None,
        1 / 0.8,
        "0.8",
        ray=False,
    ),
    Case("get_large", "`get` of 100 MB", "us", 10),
    Case("argument_ref", "task with a 100 MB argument, by ref", "us", 20),
    Case("argument_value", "task with a 100 MB argument, by value", "ms"),
    Case("chain", "chain of 500 dependent tasks", "ms", 30),
    Case("tree", "tree reduce of 512", "ms", 30),
    Case("wait", "`wait` one by one over 1,000", "ms", 40),
    Case("many_arguments", "5,000 refs as arguments of one task", "ms", 10),
    Case("nested", "a task that submits 1,000 tasks and gets them", "ms", 20),
    Case("tasks_100k", "100,000 tasks queued, then drained", "/s", kind="scale"),
    Case(
        "tasks_1m",
        "1,000,000 tasks queued, then drained",
        "/s",
        None,
        184 / 1e6,
        "184 s",
        ray_rounds=1,
        kind="million",
    ),
    Case(
        "tasks_1m_memory",
        "the same: memory of all processes when all are queued (PSS)",
        "MB",
        None,
        3 * 2**30,
        "3 GiB",
        ray_rounds=1,
        kind="million",
    ),
    Case("arguments_10k", "10,000 refs as arguments of one task", "ms", kind="scale"),
    Case("returns_3k", "3,000 values returned by one task", "ms", kind="scale"),
    Case("get_10k", "`get` of 10,000 stored arrays in one call", "ms", kind="scale"),
    Case("generator_items", "items of a streaming generator", "/s", kind="scale"),
    Case("async_actor_call", "call of an async actor, round trip", "us", kind="scale"),
    Case("async_actor_calls", "10,000 calls of an async actor", "/s", kind="scale"),
    Case("threads_16", "16 threads call an actor, one call each at a time", "/s", kind="scale"),
    Case("drivers_4", "4 drivers at once, 5,000 tasks each", "/s", kind="scale"),
    Case("placement_groups", "placement groups made, ready and removed", "/s", kind="scale"),
    Case("startup", "import + init + first task", "s", 9, 0.5, "0.5 s", kind="start"),
    Case("shutdown", "shutdown", "ms", 6, kind="start"),
    Case("memory", "idle memory of the cluster (PSS, 2 CPUs)", "MB", 6, 80 * MB, "80 MB", kind="start"),
    Case(
        "remote_cell",
        "`%%remote` on `pass`, over the same cell run here",
        "ms",
        None,
        2e-3,
        "2 ms",
        ray=False,
        kind="cell",
    ),
]
BY_KEY = {case.key: case for case in CASES}


def show(value: float | None, unit: str) -> str:
    """The number as a person reads it."""
    if value is None:
        return "-"
    if unit == "/s":
        return f"{1 / value:,.0f}/s"
    if unit == "share":
        return f"{1 / value:.2f}"
    amount = value / {"s": 1, "ms": 1e-3, "us": 1e-6, "MB": MB}[unit]
    digits = 0 if amount >= 100 else 1 if amount >= 10 else 2
    return f"{amount:,.{digits}f} {unit}"


def ratio_of(case: Case, nbray: float | None, ray: float | None) -> float | None:
    """How many times better nbray is."""
    return ray / nbray if nbray and ray and case.ray else None


def verdict(case: Case, nbray: float | None, ray: float | None) -> str:
    """Whether the targets are met; which one is not."""
    if nbray is None:
        return "not measured"
    missed = []
    ratio = ratio_of(case, nbray, ray)
    if case.ratio is not None and ratio is not None and ratio < case.ratio:
        missed.append("ratio")
    if case.limit is not None and nbray > case.limit:
        missed.append(case.limit_text)
    if missed:
        return "missed: " + ", ".join(missed)
    if case.ratio is not None and ratio is None:
        return "Ray not measured"
    return "met" if case.ratio is not None or case.limit is not None else "no target"
