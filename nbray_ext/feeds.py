"""The websockets: each hands on what one process beside the server writes, and its page's answers to that."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from asyncio.subprocess import Process
from typing import Any

from jupyter_server.auth.decorator import authorized, ws_authenticated
from tornado.websocket import WebSocketClosedError

from nbray_ext import processes
from nbray_ext.access import NbraySocket

MAX_FEEDS = 16  # of this server, each a process
MAX_ANSWER = 4096  # bytes of one answer of a page
MAX_RECORD = 64 * 1024 * 1024  # bytes; a frame has some 900 KB
TOO_MANY, GONE = 4001, 4004  # close codes

_open: set[Any] = set()


class _Feed(NbraySocket):
    """One page that listens."""

    process: Process | None = None
    _task: asyncio.Task[None] | None = None

    @property
    def max_message_size(self) -> int:
        """What tornado takes from the page in one message."""
        return MAX_ANSWER

    @ws_authenticated
    @authorized
    async def get(self, *args: str, **kwargs: str) -> Any:
        """Become a websocket."""
        return await super().get(*args, **kwargs)

    def command(self, *args: str) -> list[str]:
        """Return the arguments of the process to listen to."""
        raise NotImplementedError

    async def hand_on(self, output: asyncio.StreamReader) -> None:
        """Send what the process writes, as the page takes it, until it writes no more."""
        raise NotImplementedError

    def open(self, *args: str, **kwargs: str) -> Any:
        """Start the process; the page is connected."""
        result = super().open()
        if len(_open) >= MAX_FEEDS:
            self.close(TOO_MANY, f"{MAX_FEEDS} pages listen to this server already")
        else:
            _open.add(self)
            self._task = asyncio.ensure_future(self._run(self.command(*args)))
        return result

    async def on_message(self, message: str | bytes) -> None:
        """Hand an answer on to the process."""
        process = self.process
        if process is not None and process.stdin is not None and isinstance(message, str):
            with contextlib.suppress(ConnectionError, RuntimeError):
                process.stdin.write(message.replace("\n", " ").encode() + b"\n")
                await process.stdin.drain()

    def on_close(self) -> None:
        """End the process; the page is gone."""
        if self._task is not None:
            self._task.cancel()
        super().on_close()

    async def _run(self, command: list[str]) -> None:
        process = None
        try:
            process = self.process = await processes.follow(*command)
            if process.stdout is not None:
                with contextlib.suppress(WebSocketClosedError, asyncio.IncompleteReadError, ValueError):
                    await self.hand_on(process.stdout)
        finally:
            _open.discard(self)
            if process is not None:
                await asyncio.shield(processes.end(process))
            self.close(GONE, "the cluster has ended")


class ClustersFeed(_Feed):
    """`nbray/clusters/feed`: the list of clusters as JSON, again whenever it has changed."""

    def command(self, *args: str) -> list[str]:
        """Return the arguments of the process to listen to."""
        return ["clusters", "--follow"]

    async def hand_on(self, output: asyncio.StreamReader) -> None:
        """Send line after line."""
        while line := await output.readline():
            await self.write_message(line)


class ClusterFeed(_Feed):
    """`nbray/clusters/NAME/feed`: the messages of the comm `nbray.panel`, in binary (see `nbray.cli.watch`)."""

    def command(self, *args: str) -> list[str]:
        """Return the arguments of the process to listen to."""
        return ["feed", "--address", args[0]]

    async def hand_on(self, output: asyncio.StreamReader) -> None:
        """Send record after record, without the length in front."""
        while True:
            (length,) = struct.unpack("<I", await output.readexactly(4))
            if length > MAX_RECORD:
                return
            await self.write_message(await output.readexactly(length), binary=True)
