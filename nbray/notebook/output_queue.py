"""What of a cell's output waits, and what becomes of it. Pure: the clock comes from the caller.

Output leaves in the order in which it came, as fast as ``output_flow`` allows. What a newer
message makes pointless is dropped: the state of a display or widget that was not seen yet,
and what ``clear_output`` would take away at once. When too much waits, the oldest displays
go to the cell's page and text to its file, so that what is shown last is what came last.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from . import comm_relay
from .output_flow import MESSAGES_PER_S, Flow

PENDING_CHARS = 1 << 18  # of text that waits; then it is dealt with at once
PENDING_OUTPUTS = 10 * MESSAGES_PER_S  # displays, and texts between them, that wait
PENDING_BYTES = 1 << 24  # of displays that wait
PENDING_MESSAGES = 1_000  # of any kind
MANY_MESSAGES = 20  # that wait; what was printed to both streams in turn is then told as two texts
DISPLAY_KINDS = ("display_data", "execute_result", "update_display_data")
STATE_KINDS = tuple(kind for kind in comm_relay.KINDS if kind != "comm_msg")  # no output: they neither wait nor count
NOTICE = "notice"
SHOW, FILE, PAGE = "show", "file", "page"

Verdict = tuple[str, str, Any]  # SHOW, FILE or PAGE; the kind; the content, of a text or notice (name, text)


class OutputQueue:
    """The output of one cell that waits.

    Parameters
    ----------
    to_terminal
        There is no front end (see ``Flow``).

    Attributes
    ----------
    flow : Flow
        What the cell has sent.
    chars : int
        Characters of text that wait.
    display_bytes : int
        About how many bytes the displays that wait hold.
    added : int
        How many entries were ever made.
    """

    __slots__ = ("_outputs", "_pending", "added", "chars", "display_bytes", "flow")

    def __init__(self, to_terminal: bool = False) -> None:
        self.flow = Flow(to_terminal)
        self._pending: deque[list[Any]] = (
            deque()
        )  # [kind, content, bytes, number], text as ["stream", name, [pieces], number]
        self._outputs = 0  # texts and displays
        self.chars = 0
        self.display_bytes = 0
        self.added = 0

    def __len__(self) -> int:
        return len(self._pending)

    # ---------------------------------------------------------------------- adding

    def add_text(self, name: str, text: str) -> None:
        """Take text of the stream ``name``."""
        last = self._pending[-1] if self._pending else None
        if last is not None and last[0] == "stream" and last[1] == name:
            last[2].append(text)
        else:
            self._append("stream", name, [text])
            self._outputs += 1
        self.chars += len(text)

    def add(self, kind: str, content: Any) -> None:
        """Take a message that is no text."""
        pending = self._pending
        if kind == "clear_output" and pending:
            self._clear()
        elif kind == "update_display_data":
            name = content.get("transient", {}).get("display_id")
            for entry in pending:
                if entry[0] == kind and entry[1].get("transient", {}).get("display_id") == name:
                    pending.remove(entry)
                    self._count(entry, -1)
                    break
        elif kind == "comm_msg":
            content = _with_earlier(pending, content)
        self._count(self._append(kind, content, _size(kind, content)), 1)

    def _append(self, *entry: Any) -> list[Any]:
        self._pending.append([*entry, self.added])
        self.added += 1
        return self._pending[-1]

    def tell(self, name: str, text: str) -> None:
        """Take what nbray has to say of the cell: it waits for its turn as well, but is always shown."""
        self._append(NOTICE, (name, text), 0)

    def _clear(self) -> None:
        """Drop what would be gone as soon as it was seen; only updates may be of other cells."""
        pending = self._pending
        begin = max((n for n, entry in enumerate(pending) if _turns(entry)), default=-1)  # what is before is elsewhere
        kept = [
            entry
            for n, entry in enumerate(pending)
            if n <= begin or entry[0] in ("update_display_data", NOTICE, *comm_relay.KINDS)
        ]
        self._replace(kept)

    def _replace(self, entries: list[list[Any]]) -> None:
        self._pending.clear()
        self._pending.extend(entries)
        self._outputs = self.chars = self.display_bytes = 0
        for entry in entries:
            self._count(entry, 1)

    def _count(self, entry: list[Any], sign: int) -> None:
        if entry[0] == "stream":
            self._outputs += sign
            self.chars += sign * sum(map(len, entry[2]))
        elif entry[0] in DISPLAY_KINDS:
            self._outputs += sign
            self.display_bytes += sign * entry[2]

    # --------------------------------------------------------------------- leaving

    def waits(self, added: int) -> bool:
        """Tell whether something still waits that was there when so many entries had been added, or a notice."""
        pending = self._pending
        return bool(pending) and (pending[0][3] < added or any(entry[0] == NOTICE for entry in pending))

    def due(self, clock: Callable[[], float]) -> Iterator[Verdict]:
        """Take out what leaves now; the clock is looked at for each message, as sending takes time."""
        pending, flow = self._pending, self.flow
        if len(pending) > MANY_MESSAGES:
            self._join_streams()
        while pending:
            entry, now = pending[0], clock()
            kind = entry[0]
            too_many = (
                self._outputs > PENDING_OUTPUTS
                or (self.display_bytes > PENDING_BYTES and self._outputs > 1)
                or len(pending) > PENDING_MESSAGES
            )
            if kind == "stream":
                full = too_many or self.chars >= PENDING_CHARS
                if flow.may_send(now):
                    text = "".join(entry[2])
                    if not full and flow.waits_for_displays(_value_size(text), now):
                        return
                    self._take()
                    yield from self._shared(entry[1], text, now)
                elif full:
                    self._take()
                    yield PAGE if too_many else FILE, kind, (entry[1], "".join(entry[2]))
                else:
                    return
                continue
            if kind not in STATE_KINDS:
                if flow.may_send(now, entry[2]):
                    flow.sent(now, display=entry[2])
                elif not too_many:
                    return
                elif kind in DISPLAY_KINDS:
                    self._take()
                    yield PAGE, kind, entry[1]
                    continue
            self._take()
            yield SHOW, kind, entry[1]

    def rest(self, now: float) -> Iterator[Verdict]:
        """Take out all: nobody waits any longer. Displays are not shown any more; the last words are, where there are no displays."""
        displays = any(entry[0] in DISPLAY_KINDS for entry in self._pending)
        self._join_streams()
        while self._pending:
            entry = self._pending[0]
            self._take()
            if entry[0] in DISPLAY_KINDS:
                yield PAGE, entry[0], entry[1]
            elif entry[0] != "stream":
                yield SHOW, entry[0], entry[1]
            elif displays:
                yield PAGE, "stream", (entry[1], "".join(entry[2]))
            else:
                yield from self._shared(entry[1], "".join(entry[2]), now)

    def all(self) -> Iterator[Verdict]:
        """Take out all, to be shown as one."""
        self._join_streams()
        while self._pending:
            entry = self._pending[0]
            self._take()
            yield SHOW, entry[0], (entry[1], "".join(entry[2])) if entry[0] == "stream" else entry[1]

    def _take(self) -> None:
        self._count(self._pending.popleft(), -1)

    def _shared(self, name: str, text: str, now: float) -> Iterator[Verdict]:
        """Divide a text into what is shown and what is too much."""
        data = b"" if text.isascii() else text.encode("utf-8", "replace")  # what counts is bytes
        n_bytes = len(data) or len(text)
        share = self.flow.share(n_bytes, now)
        shown = text
        if share < n_bytes:
            size = len(data[:share].decode("utf-8", "ignore")) if data else share
            shown = text[: text.rfind("\n", 0, size) + 1]  # whole lines
        if shown:
            self.flow.sent(now, text=min(share, n_bytes))
            yield SHOW, "stream", (name, shown)
        if len(shown) < len(text):
            yield FILE, "stream", (name, text[len(shown) :])

    def _join_streams(self) -> None:
        """Make one text of each stream of those that follow each other: as many messages as changes of the stream would be too many."""
        joined: list[list[Any]] = []
        texts: dict[str, list[Any]] = {}
        for entry in self._pending:
            if entry[0] != "stream":
                texts = {}
            elif entry[1] in texts:
                texts[entry[1]][2].extend(entry[2])
                continue
            else:
                texts[entry[1]] = entry
            joined.append(entry)
        self._replace(joined)


def _size(kind: str, content: Any) -> int:
    """Return about how many bytes a message holds, as far as that can be much."""
    if kind in DISPLAY_KINDS:
        return sum(map(_value_size, content.get("data", {}).values()))
    if kind == "comm_msg":
        body, extra = content
        data = body.get("data")
        state = data.get("state") if isinstance(data, dict) else None
        texts = state.values() if isinstance(state, dict) else ()
        return sum(map(_value_size, (*(extra.get("buffers") or ()), *texts)))
    return 0


def _value_size(value: Any) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
    if isinstance(value, bytes | bytearray | memoryview):
        return memoryview(value).nbytes * 4 // 3  # as base64
    if isinstance(value, dict | list | tuple):
        try:
            return len(json.dumps(value, default=str, skipkeys=True))
        except (ValueError, RecursionError):  # it cannot be sent either, which is told then
            return 0
    return 8


def _update_of(entry: list[Any]) -> dict[str, Any] | None:
    """Return the state that a message of a widget sets, if that is all that it does."""
    data = entry[1][0].get("data")
    if not isinstance(data, dict) or data.get("method") != "update" or "msg_id" in data.get("state", {"msg_id": 0}):
        return None
    state: dict[str, Any] = data["state"]
    return state


def _turns(entry: list[Any]) -> bool:
    """Whether output goes elsewhere from this message on: into an ``ipywidgets.Output``, or out of it."""
    if entry[0] != "comm_msg":
        return False
    data = entry[1][0].get("data")
    return isinstance(data, dict) and isinstance(data.get("state"), dict) and "msg_id" in data["state"]


def _with_earlier(pending: deque[list[Any]], content: Any) -> Any:
    """Take the last update of a widget, if it still waits, into the one that comes now."""
    new = _update_of(["comm_msg", content, 0])
    if new is None:
        return content
    body, extra = content
    for entry in reversed(pending):
        if entry[0] not in comm_relay.KINDS or entry[1][0]["comm_id"] != body["comm_id"]:
            continue
        old = _update_of(entry) if entry[0] == "comm_msg" else None
        if old is None or entry[1][1]["parent"] != extra["parent"]:
            return content
        before, both = entry[1][0]["data"], body["data"]
        set_again = {*new, *(path[0] for path in both.get("buffer_paths", ()))}
        kept = [
            (path, buffer)
            for path, buffer in zip(before.get("buffer_paths", ()), entry[1][1]["buffers"], strict=False)
            if path[0] not in set_again
        ]
        data = {
            **both,
            "state": {**{name: value for name, value in old.items() if name not in set_again}, **new},
            "buffer_paths": [path for path, _ in kept] + list(both.get("buffer_paths", ())),
        }
        pending.remove(entry)
        buffers = [buffer for _, buffer in kept] + list(extra["buffers"])
        return {**body, "data": data}, {**extra, "buffers": buffers}
    return content
