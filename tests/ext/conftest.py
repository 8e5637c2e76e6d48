"""A Jupyter server with our extension in it."""

from __future__ import annotations

import pytest

from pytest_jupyter.jupyter_server import *  # noqa: F403 - fixtures jp_fetch and others; a plugin may only be named at the top


@pytest.fixture
def jp_server_config():
    return {"ServerApp": {"jpserver_extensions": {"nbray_ext": True}}}
