"""Who may ask at all: the checks before every method of every route, websockets included."""

from __future__ import annotations

from typing import Any

from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.web import HTTPError
from tornado.websocket import WebSocketHandler


class Access:
    """Refuses, before the method is looked at, whoever is not a page of this server with a login.

    Jupyter itself lets a valid token come from any origin, does not look for the XSRF token in a GET or
    a websocket, and answers OPTIONS without a login. The panel is always a page of this server, so here
    none of that is needed.
    """

    auth_resource = "nbray"

    def skip_check_origin(self) -> bool:
        """Look at the origin also where a token came along."""
        return False

    def refuse_strangers(self: Any) -> None:
        """Raise HTTPError 403 unless user, origin and XSRF token are right."""
        if not self.current_user:
            raise HTTPError(403)
        if not self.check_origin():
            raise HTTPError(403, "nbray answers only pages of this server.")
        self.check_xsrf_cookie()


class NbrayHandler(Access, APIHandler):
    """The base of the routes that answer with JSON."""

    async def prepare(self) -> None:
        """Refuse whoever may not ask."""
        await super().prepare()
        self.refuse_strangers()


class NbraySocket(Access, WebSocketMixin, WebSocketHandler, JupyterHandler):
    """The base of the websockets."""

    async def prepare(self) -> None:
        """Refuse whoever may not ask, before the connection is a websocket."""
        await super().prepare()
        self.refuse_strangers()

    def get_compression_options(self) -> None:
        """Compress nothing: frames are columns of numbers, and the browser is near."""
