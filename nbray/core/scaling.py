"""Change how many CPUs a running cluster offers, and so how many of its workers run tasks side by side."""

from __future__ import annotations

from typing import Any

from nbray.resources import UNITS
from nbray.wire import messages as m


def set_cpus(source: Any, num_cpus: int) -> int:
    """Have the node offer ``num_cpus`` from now on; returns what it offers.

    With fewer, what runs goes on, and nothing new begins until few enough are in use; tasks that could
    never run any more fail as if they had been submitted now. With more, workers are started as they are needed.

    Parameters
    ----------
    source : CoreWorker or Observer
    num_cpus : int

    Raises
    ------
    ValueError
        When the node cannot offer so many, with the reason.
    """
    request = m.SetCpusRequest(request_id=source.control.next_id(), units=num_cpus * UNITS)
    reply = source.request(request)[0]
    if reply.error:
        raise ValueError(reply.error)
    return int(reply.units // UNITS)
