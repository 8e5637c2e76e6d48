"""A process that looks at a cluster and runs nothing on it: the command line, a panel's server."""

from __future__ import annotations

import os
import sys
from typing import Any

from nbray._cstore import lib
from nbray.core.control_client import ControlClient
from nbray.core.joining import attach
from nbray.exceptions import RaySystemError, VersionMismatchError
from nbray.wire import messages as m
from nbray.wire.segment_socket import receive_segment

REGISTER_S = 5.0
HANDOVER_S = 4.0


class Observer:
    """A connection to a cluster, without a job.

    Parameters
    ----------
    segment_socket, endpoint : str
        Of the node daemon.

    Raises
    ------
    ConnectionError
        When the daemon does not answer in time.
    VersionMismatchError
        When it is of another version.
    """

    def __init__(self, segment_socket: str, endpoint: str) -> None:
        try:
            self.seg = attach(receive_segment(segment_socket, HANDOVER_S))
        except OSError as error:
            reason = "it does not answer" if isinstance(error, TimeoutError) else str(error)
            raise ConnectionError(f"The cluster's daemon did not let us in: {reason}.") from None
        self.peer = lib.nbs_self(self.seg)
        self._answer: m.RegisterReply | None = None
        self.control = ControlClient(endpoint, f"observer-{self.peer}".encode(), self._on_messages)
        try:
            self._register()
        except BaseException:
            self.close()
            raise

    def _register(self) -> None:
        version = ".".join(map(str, sys.version_info[:3]))
        request = m.RegisterRequest(m.PROTOCOL_VERSION, "observer", self.peer, os.getpid(), version)
        self.control.send(request)
        for _ in range(int(REGISTER_S / 0.05)):
            self.control.poll_soon(50)
            if self._answer is not None:
                break
        answer = self._answer
        if answer is None:
            raise ConnectionError(f"The cluster's daemon did not answer within {REGISTER_S:g} s.")
        if answer.version_error:
            raise VersionMismatchError(answer.version_error)
        if answer.error:
            raise ConnectionError(f"The cluster's daemon refused us: {answer.error}.")
        self.cluster_id = answer.cluster_id
        self.node_id = answer.node_id
        self.session_dir = answer.session_dir
        self.daemon = answer.daemon

    def _on_messages(self, inbox: Any) -> None:
        while inbox:
            message = inbox.popleft()
            if isinstance(message, m.RegisterReply):
                self._answer = message

    def request(self, message: Any, **options: Any) -> list[Any]:
        """Send a request to the daemon and wait for its answer(s)."""

        def wait(seconds: float) -> None:
            if not self.control.poll_soon(int(seconds * 1000)) and not lib.nbs_alive(self.seg, self.daemon):
                raise RaySystemError("The cluster's daemon died.")

        return self.control.request(message, wait, **options)

    def peer_name(self, peer: int) -> str:
        """Return what to call a process of the node."""
        pid = lib.nbs_peer_pid(self.seg, peer)
        return f"pid={pid}" if pid > 0 else "(ended)"

    def close(self) -> None:
        """Leave."""
        if not self.control.closed:
            self.control.send(m.GoodbyeNotice())
            self.control.close()
            lib.nbs_detach(self.seg)
