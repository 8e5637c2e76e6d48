"""Loads the server extension: puts its routes under the server's base URL."""

from __future__ import annotations

from typing import Any

import psutil

from nbray_ext.routes import handlers


def load(server_app: Any) -> None:
    """Called by the Jupyter server when it starts (`_load_jupyter_server_extension`)."""
    psutil.cpu_percent(interval=None)  # the first call only marks where the measurement begins
    web_app = server_app.web_app
    web_app.add_handlers(".*$", handlers(web_app.settings["base_url"]))
    server_app.log.debug("nbray_ext is loaded")
