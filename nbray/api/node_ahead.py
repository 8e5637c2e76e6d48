"""A node that is started before anybody asks for it, so that the first use finds it there."""

from __future__ import annotations

import os
import threading

import msgspec

from nbray.api.driver import load_runtime
from nbray.core.surroundings import working_directory
from nbray.node.launcher import NodeProcess, start_node
from nbray.node.node_config import NodeConfig
from nbray.node.session_dir import AHEAD


class NodeAhead:
    """One node, with the settings that ``init()`` without any would have; starts in a thread of its own.

    Until it is taken it is nobody's: lists of clusters do not show it, and nobody joins it.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._surroundings = _surroundings()
        self._config = NodeConfig(started_by=AHEAD)
        self._node: NodeProcess | None = None
        self._thread = threading.Thread(target=self._start, name="nbray-ahead", daemon=True)
        self._thread.start()

    def _start(self) -> None:
        try:
            self._node = start_node(self._config, load_runtime)
        except Exception:  # the start that somebody waits for tells what is wrong
            self._node = None

    def take(self, config: NodeConfig) -> NodeProcess | None:
        """Return the node if it is as ``config`` wants it and lives, else end it.

        Workers have the environment and the working directory of the start, so these must not have changed either.
        """
        if os.getpid() != self._pid:  # a child of fork: it is the parent's
            return None
        same = msgspec.structs.replace(config, started_by=AHEAD) == self._config
        if same and self._surroundings == _surroundings():
            self._thread.join()
            if self._node is not None and self._node.is_alive():
                node, self._node = self._node, None
                return node
        self.drop()
        return None

    def drop(self) -> None:
        """End the node, and wait for nothing."""
        threading.Thread(target=self.end, name="nbray-ahead", daemon=True).start()

    def end(self) -> None:
        """End the node, unless it was taken."""
        if os.getpid() == self._pid:
            self._thread.join()
            node, self._node = self._node, None
            if node is not None:
                node.stop()
                os.close(node.segment_fd)


def _surroundings() -> tuple[dict[str, str], str]:
    return dict(os.environ), working_directory()
