"""What the widgets show, as plain data. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

INPUT, PLACE, RUNNING, DONE, FAILED, CANCELLED = range(6)
N_STATES = 6
#: What is over first, then what runs, then what waits.
BAR_ORDER = (DONE, FAILED, CANCELLED, RUNNING, PLACE, INPUT)
NO_COUNTS = (0,) * N_STATES


@dataclass(slots=True)
class Group:
    """The tasks of one function.

    Attributes
    ----------
    counts
        Tasks by state, in the order of the constants above.
    cell
        Number of the cell that submitted them; 0: not known.
    each_s
        How long one of them runs on average; None: none has ended.
    elapsed_s
        Since the first of them began to run.
    own
        False: it is drawn because its values go into the cell's own tasks.
    """

    name: str
    counts: tuple[int, ...]
    cell: int = 0
    each_s: float | None = None
    elapsed_s: float = 0.0
    own: bool = True

    @property
    def total(self) -> int:
        """Tasks in it."""
        return sum(self.counts)

    @property
    def over(self) -> int:
        """Tasks that have ended, however they did."""
        return self.counts[DONE] + self.counts[FAILED] + self.counts[CANCELLED]


@dataclass(slots=True)
class Edge:
    """Values (or, with ``starts``, tasks) that go from one group to another, by index."""

    source: int
    target: int
    count: int = 1
    starts: bool = False


@dataclass(slots=True)
class Gpu:
    """One GPU: sizes in bytes, shares from 0 to 1.

    Attributes
    ----------
    users
        (name of the task or actor, bytes that it uses); a name may be empty, bytes -1 when not told.
    """

    index: int
    used: int
    total: int
    busy: float | None = None
    history: tuple[float, ...] = ()
    users: tuple[tuple[str, int], ...] = ()


@dataclass(slots=True)
class Usage:
    """How the machine is used; sizes in bytes, shares from 0 to 1, histories oldest first."""

    cpu: float = 0.0
    cpus: float = 0.0
    cpu_history: tuple[float, ...] = ()
    memory_used: int = 0
    memory_total: int = 0
    memory_history: tuple[float, ...] = ()
    store_used: int = 0
    store_total: int = 0
    store_history: tuple[float, ...] = ()
    gpus: tuple[Gpu, ...] = ()


@dataclass(slots=True)
class Problem:
    """A task that failed, or several that failed alike: in one line."""

    name: str
    message: str
    cell: int = 0
    count: int = 1


@dataclass(slots=True)
class Facts:
    """All of it.

    Attributes
    ----------
    lead
        What is said first: ``93 of 400 items``, ``cell 12 runs``.
    phrases
        What follows: how long it takes, why it waits.
    hint
        What to do, said where there are no buttons.
    state
        Of what ``lead`` names: one of the constants above.
    progress
        Counts for the bar beside ``lead``; None: no bar.
    resources
        (name, in use, all) of the cluster.
    over
        Nothing will change any more.
    at
        When that was; said where it may be long ago.
    late
        The daemon has not answered in time: something that has happened may be missing.
    """

    lead: str = ""
    phrases: list[str] = field(default_factory=list)
    hint: str = ""
    state: int = RUNNING
    progress: tuple[int, ...] | None = None
    groups: list[Group] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    usage: Usage | None = None
    resources: tuple[tuple[str, float, float], ...] = ()
    over: bool = False
    at: str = field(default="", compare=False)
    late: bool = field(default=False, compare=False)

    def counts(self) -> tuple[int, ...]:
        """Return the tasks of its own groups by state."""
        own = [group for group in self.groups if group.own]
        return tuple(sum(group.counts[state] for group in own) for state in range(N_STATES))


def from_codes(counts: list[int]) -> tuple[int, ...]:
    """Return counts by the state codes of a task table as counts of the states that are shown.

    A task that was sent and does not run waits for its place.
    """
    return (counts[0], counts[1] + counts[2], *counts[3:7])


def time_left(total: int, done: int, elapsed_s: float) -> float | None:
    """Estimate how long the rest takes, at the pace so far; None: too early to tell."""
    if done < 3 or elapsed_s <= 0 or done >= total:
        return None
    return elapsed_s * (total - done) / done
