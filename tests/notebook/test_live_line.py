"""The line under a cell: what it says last is what was known last."""

from __future__ import annotations

import threading
from typing import Any

from nbray.notebook.live_line import LiveLine, LiveLines
from nbray.notebook.widgets.facts import DONE, Facts


class Router:
    """A router that keeps what it is given to show."""

    kernel = object()

    def __init__(self) -> None:
        self.said: list[str] = []

    def show(self, origin: str, kind: str, content: dict[str, Any]) -> None:
        self.said.append(content["data"]["text/plain"])


class BusyLock:
    """A line's lock that is free only after the thread that refreshes lines has come by."""

    def __init__(self, line: LiveLine) -> None:
        self._line = line
        self._lock = line._lock

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            refresher = threading.Thread(target=self._line.tick)
            refresher.start()
            refresher.join()
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self._lock.release()


def test_what_was_known_first_of_an_end_does_not_follow_what_was_known_later() -> None:
    router = Router()
    lines = LiveLines(router)  # type: ignore[arg-type]
    line = lines.add("cell", lambda: Facts("it runs"))
    lines.remove(line)  # the thread is in the midst of a round, with a list of lines of its own
    line._lock = BusyLock(line)  # type: ignore[assignment]
    answers = iter([Facts("0 of 5 tasks", state=DONE, late=True)])
    line.finish(lambda: next(answers, Facts("5 of 5 tasks", state=DONE)))
    while lines._lines:
        line.tick()
    assert router.said[-1].startswith("5 of 5 tasks"), router.said
