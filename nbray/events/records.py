"""Event records as the C core writes them, to events of the reducer. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

RECORD = struct.Struct("<QQQQQQIHHQ")  # nbs_event
SUBMIT, RESULT, PARENT, LOST = 1, 2, 18, 19
ERROR, CANCELLED = 1, 2  # flags of a RESULT, and of a LOST


def decode(block: bytes, only: tuple[int, int] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the events in a block of records, or those of one task (owner, number); unknown kinds are left out."""
    for t_ns, seq, owner, process, dur_ns, b, a, kind, flags, _ in RECORD.iter_unpack(block):
        if only is not None and only != (owner, seq):
            continue
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
        elif kind == LOST:
            status = "cancelled" if flags & CANCELLED else "error" if flags & ERROR else "again"
            yield {
                "type": "lost", "t": t_ns, "owner": owner, "seq": seq, "function": a, "process": b, "status": status,
            }  # fmt: skip
