"""A Jupyter server with our extension in it: one in this process, and one as a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from browser.lab import own_port

# Fixtures jp_fetch and others. A plugin may be named only at the top of all tests, and it is needed here alone.
from pytest_jupyter.jupyter_server import *  # noqa: F403


@pytest.fixture
def jp_server_config():
    return {"ServerApp": {"jpserver_extensions": {"nbray_ext": True}}}


class Server:
    """A Jupyter server that wants a token, and who talks to it."""

    TOKEN = "correct-horse"

    def __init__(self, folder: Path) -> None:
        self.port = own_port()
        self.log_path = folder / "server.log"
        self._sessions = tempfile.TemporaryDirectory(prefix="nbx")  # paths of sockets are short
        self.environment = {
            **os.environ, "JUPYTER_CONFIG_DIR": str(folder), "JUPYTER_RUNTIME_DIR": str(folder),
            "XDG_RUNTIME_DIR": self._sessions.name,
        }  # fmt: skip
        line = [
            *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
            *(f"--port={self.port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.TOKEN}"),
            *("--ServerApp.jpserver_extensions={'nbray_ext': True}", f"--ServerApp.root_dir={folder}"),
        ]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                line, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_ready()
        self.cookies = self._log_in()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + 150
        while True:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{self.log_path.read_text()[-4000:]}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 2).close()
                return
            time.sleep(0.05)

    def _log_in(self) -> dict[str, str]:
        """The cookies of a browser that has logged in."""
        found = {}
        for path in ("/login", f"/login?token={quote(self.TOKEN)}"):  # the form brings the XSRF token
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            connection.request("GET", path)
            reply = connection.getresponse()
            reply.read()
            for name, value in reply.getheaders():
                if name.lower() == "set-cookie":
                    key, _, rest = value.partition("=")
                    found[key] = rest.partition(";")[0]
            connection.close()
        return found

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: str | None = None, **options: bool
    ) -> tuple[int, bytes]:
        """Send a request; ``login``: as a browser does, ``xsrf``: with the token that its pages send."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        headers = dict(headers or {})
        if options.get("login"):
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if options.get("xsrf"):
            headers["X-XSRFToken"] = self.cookies["_xsrf"]
        host = headers.pop("Host", f"127.0.0.1:{self.port}")
        try:
            connection.putrequest(method, path, skip_host=True)
            connection.putheader("Host", host)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body.encode() if body is not None else None)
            reply = connection.getresponse()
            # A connection that became a websocket has no end.
            return reply.status, b"" if reply.status == 101 else reply.read()
        finally:
            connection.close()

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._sessions.cleanup()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of a file share."""
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()
