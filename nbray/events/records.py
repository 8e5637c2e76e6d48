"""Event records as the C core writes them, to events of the reducer. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

RECORD = struct.Struct("<QQQQQQIHHQ")  # nbs_event
SUBMIT, RESULT, PARENT = 1, 2, 18
ERROR, CANCELLED = 1, 2  # flags of a RESULT


def decode(block: bytes) -> Iterator[dict[str, Any]]:
    """Yield the events in a block of records; kinds that are not known are left out."""
    for t_ns, seq, owner, process, dur_ns, b, a, kind, flags, _ in RECORD.iter_unpack(block):
        if kind == SUBMIT:
            yield {"type": "submit", "t": t_ns, "owner": owner, "seq": seq, "function": a}
        elif kind == RESULT:
            status = "cancelled" if flags & CANCELLED else "error" if flags & ERROR else "ok"
            yield {
                "type": "result", "t": t_ns, "owner": owner, "seq": seq, "process": process, "duration": dur_ns,
                "status": status,
            }  # fmt: skip
        elif kind == PARENT:
            yield {"type": "parent", "owner": owner, "seq": seq, "slot": a, "number": b}
