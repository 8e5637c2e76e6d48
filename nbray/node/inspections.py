"""Questions that every process answers for itself: its tasks, its refs.

The daemon passes them on and the answers back; it does not read them. A process that does
not answer in time is named.
"""

from __future__ import annotations

from collections.abc import Callable

from nbray.wire import messages as m

MAX_TIMEOUT_S = 30.0
MAX_OPEN = 1000  # questions that wait for answers


class _Question:
    def __init__(self, asker: int, request_id: int, waiting: dict[int, int]) -> None:
        self.asker = asker
        self.request_id = request_id
        self.waiting = waiting  # peer -> pid


class Inspections:
    """The questions that are open.

    Parameters
    ----------
    send : callable
        ``send(peer, message)``; False when there is no such process.
    call_after : callable
        ``call_after(seconds, action)``.
    """

    def __init__(
        self, send: Callable[[int, m.Message], bool], call_after: Callable[[float, Callable[[], None]], None]
    ) -> None:
        self._send = send
        self._call_after = call_after
        self._open: dict[int, _Question] = {}
        self._next_token = 1

    def ask(self, asker: int, request: m.InspectRequest, peers: dict[int, int]) -> None:
        """Ask ``peers`` (peer -> pid) on behalf of ``asker``."""
        if len(self._open) >= MAX_OPEN:
            raise ValueError("too many questions wait for answers")
        token, self._next_token = self._next_token, self._next_token + 1
        question = self._open[token] = _Question(asker, request.request_id, dict(peers))
        for peer in peers:
            if not self._send(peer, m.InspectNotice(token, request.what, request.limit, request.seq)):
                del question.waiting[peer]
        patience_s = request.timeout_s if 0 <= request.timeout_s <= MAX_TIMEOUT_S else MAX_TIMEOUT_S  # also for NaN
        self._call_after(patience_s, lambda: self._finish(token))
        self._finish_if_done(token)

    def answered(self, peer: int, answer: m.InspectedNotice) -> None:
        """Pass on what a process says."""
        question = self._open.get(answer.token)
        if question is None or peer not in question.waiting:
            return  # too late
        self._send(question.asker, m.InspectReply(question.request_id, peer, answer.rows))
        if answer.last:
            del question.waiting[peer]
            self._finish_if_done(answer.token)

    def gone(self, peer: int) -> None:
        """A process died: nobody waits for it."""
        for token, question in list(self._open.items()):
            if question.asker == peer:
                del self._open[token]
            elif question.waiting.pop(peer, None) is not None:
                self._finish_if_done(token)

    def _finish_if_done(self, token: int) -> None:
        if token in self._open and not self._open[token].waiting:
            self._finish(token)

    def _finish(self, token: int) -> None:
        question = self._open.pop(token, None)
        if question is not None:
            silent = sorted(question.waiting.values())
            self._send(question.asker, m.InspectReply(question.request_id, last=True, silent=silent))
