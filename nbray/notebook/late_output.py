"""What a cell shows after it has ended, for clients that listen to the cell that runs and to no other.

nbclient is one, and with it papermill, nbconvert and ``jupyter execute``: it drops messages that answer an earlier cell. But
updates of a display find it by its id, whatever cell runs. So a cell that leaves work running gets a display at its end, and
what the work shows later becomes the content of that. It is told at the end of each cell, since between two nobody listens.
Output for which there is no such place goes under the cell that runs, or the next one: better there than nowhere.

Clients with a person in front of them answer ``input()`` and get everything as it comes.
"""

from __future__ import annotations

import html
import re
import uuid
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from .display_html import as_html

MAX_CHARS = 1 << 20  # of text per cell; what a worker prints is in its log as well
MAX_PLACES = 200
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def listens_to_one_cell(request: dict[str, Any]) -> bool:
    """Tell of a request to execute whether nobody is there to answer questions, nor a page whose cells go on to be updated."""
    content, metadata = request.get("content") or {}, request.get("metadata") or {}
    return content.get("allow_stdin") is False and not metadata.get("cellId")


class LateOutput:
    """The places of the cells of one kernel.

    Parameters
    ----------
    send
        Sends a message (kind, content) as an answer to the present cell.

    Attributes
    ----------
    needed : bool
        Whether the client of the present cell is such a one.
    """

    def __init__(self, send: Callable[[str, dict[str, Any]], None]) -> None:
        self._send = send
        self.needed = False
        self._running = False
        self._places: OrderedDict[str, _Place] = OrderedDict()  # by origin
        self._changed: dict[str, _Place] = {}
        self._updates: dict[str, dict[str, Any]] = {}  # of displays elsewhere, by display_id
        self._homeless: list[tuple[str, dict[str, Any]]] = []

    def cell_begins(self, request: dict[str, Any]) -> None:
        """A cell begins."""
        self.needed, self._running = listens_to_one_cell(request), True
        homeless, self._homeless = self._homeless, []
        for kind, content in homeless:
            self._send(kind, content)

    def cell_ends(self, origin: str, leaves_work: bool) -> None:
        """The present cell ends: tell what came for others, and make a place for what it leaves running."""
        self._running = False
        if not self.needed:
            return
        if leaves_work and origin not in self._places:
            place = self._places[origin] = _Place()
            self._send("display_data", place.content())
            while len(self._places) > MAX_PLACES:
                self._places.popitem(last=False)
        changed, self._changed = self._changed, {}
        updates, self._updates = self._updates, {}
        for content in [*updates.values(), *(place.content() for place in changed.values())]:
            self._send("update_display_data", content)

    def take(self, origin: str, present: str, kind: str, content: dict[str, Any]) -> bool:
        """Tell whether a message of a cell has been taken; else it can be sent as it is."""
        if not self.needed:
            return False
        if kind == "update_display_data":
            return self._take_update(origin == present, content)
        place = self._places.get(origin)
        if place is not None:
            place.add(kind, content)
            self._changed[origin] = place
        elif not self._running:
            self._homeless.append((kind, content))
        elif origin == present:
            return False
        else:
            self._send(kind, content)
        return True

    def _take_update(self, present: bool, content: dict[str, Any]) -> bool:
        name = _display_id(content)
        for origin, place in self._places.items():
            if place.update(name, content):
                self._changed[origin] = place
                return True
        if present and self._running:
            return False
        self._updates[name] = content
        return True


class _Place:
    """The display under one cell."""

    def __init__(self) -> None:
        self._display_id = f"nbray-{uuid.uuid4().hex}"
        self._parts: list[str | dict[str, Any]] = []  # text, or the content of a display
        self._chars = 0
        self._clear = False  # before what comes next

    def add(self, kind: str, content: dict[str, Any]) -> None:
        """Show one message more."""
        if kind == "clear_output":
            self._clear = True
            if not content.get("wait"):
                self._begin_anew()
            return
        if self._clear:
            self._begin_anew()
        if kind == "stream":
            self._add_text(content["text"])
        elif kind == "error":
            self._add_text("\n".join(content["traceback"]) + "\n")
        else:
            self._parts.append(content)

    def _add_text(self, text: str) -> None:
        room = MAX_CHARS - self._chars
        if room < 0:
            return
        if len(text) > room:
            text = f"{text[:room]}\n... (the rest is in the workers' logs: nbray logs)\n"
        self._chars += len(text)
        if self._parts and isinstance(self._parts[-1], str):
            text = self._parts.pop() + text  # type: ignore[operator]
        self._parts.append(text)

    def _begin_anew(self) -> None:
        self._parts, self._chars, self._clear = [], 0, False

    def update(self, name: str, content: dict[str, Any]) -> bool:
        """Put an update in the place of a display that is shown here; False: there is none."""
        found = False
        for n, part in enumerate(self._parts):
            if isinstance(part, dict) and name and _display_id(part) == name:
                self._parts[n], found = content, True
        return found

    def content(self) -> dict[str, Any]:
        """Return the display with all that has come; one without data, which shows nothing, as long as nothing has."""
        if not self._parts:
            return {"data": {}, "metadata": {}, "transient": {"display_id": self._display_id}}
        parts = [_last_writing(part) if isinstance(part, str) else part for part in self._parts]
        data = {"text/plain": "".join(map(_plain, parts)).removesuffix("\n")}
        if any(isinstance(part, dict) and part["data"].keys() - {"text/plain"} for part in parts):
            data["text/html"] = "".join(map(_html, parts))
        return {"data": data, "metadata": {}, "transient": {"display_id": self._display_id}}


def _display_id(content: dict[str, Any]) -> str:
    return str((content.get("transient") or {}).get("display_id") or "")


def _last_writing(text: str) -> str:
    """Return what is to be seen of lines that were written over and over, as progress bars are."""
    if "\r" not in text:
        return text
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def _plain(part: str | dict[str, Any]) -> str:
    return part if isinstance(part, str) else f"{part['data'].get('text/plain', '')}\n"


def _html(part: str | dict[str, Any]) -> str:
    if isinstance(part, dict):
        return f"<div>{as_html(part['data'])}</div>"
    return f"<pre>{html.escape(ANSI.sub('', part), quote=False)}</pre>"
