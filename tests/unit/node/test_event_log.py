"""What the daemon keeps of the event rings: every record that was lost in one is counted, whenever that was."""

from nbray.config import Limits
from nbray.node.event_log import EventLog
from nbray.node.segment import EVENT_BYTES


class Rings:
    """A segment whose rings give these pieces: records, and how many were lost meanwhile."""

    def __init__(self, *pieces):
        self.pieces = list(pieces)

    def drain_events(self):
        n_records, dropped = self.pieces.pop(0) if self.pieces else (0, 0)
        return bytes(n_records * EVENT_BYTES), dropped


def test_what_was_lost_in_rings_is_added_up():
    log = EventLog(Rings((8192, 1808), (0, 0), (10, 5), (10, 0), (0, 2)), Limits())
    assert log.drain() == 8192
    assert log.dropped == 1808
    assert log.drain() == 20
    assert log.dropped == 1815
    last = list(log.replies(1))[-1]
    assert last.dropped == 1815
    assert last.position == 8212 * EVENT_BYTES
