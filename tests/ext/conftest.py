"""A Jupyter server with our extension in it."""

from __future__ import annotations

import pytest

# Fixtures jp_fetch and others. A plugin may be named only at the top of all tests, and it is needed here alone.
from pytest_jupyter.jupyter_server import *  # noqa: F403


@pytest.fixture
def jp_server_config():
    return {"ServerApp": {"jpserver_extensions": {"nbray_ext": True}}}
