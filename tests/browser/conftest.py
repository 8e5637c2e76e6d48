"""A JupyterLab and a browser for the tests of the panel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from .lab import LabPage, LabServer, browser_tab

# Errors that JupyterLab and Notebook 7 say by themselves, without nbray.
OF_OTHERS = [
    r"Cannot read properties of undefined \(reading 'schema'\)",  # Notebook 7, when it starts
    r"Could not restore the debugger state",  # when a kernel restarts
    r"Comm not found for comm id",  # a comm of another client has ended
    r"widget model not found",  # ipywidgets, in a notebook that is opened without the kernel that made them
    r"ERR_INTERNET_DISCONNECTED",  # where a test takes the connection away
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """A JupyterLab that the tests of a file share."""
    server = LabServer(tmp_path_factory.mktemp("lab"))
    yield server
    server.stop()


@pytest.fixture
def lab(server: LabServer, request: pytest.FixtureRequest) -> Iterator[LabPage]:
    """A tab of its own with JupyterLab in it; errors in its console fail the test."""
    errors: list[str] = []
    options = getattr(request, "param", {})
    with browser_tab(server, **options) as tab:
        tab.page.on("pageerror", lambda error: errors.append(f"{error}\n{error.stack or ''}"))
        tab.page.on("console", lambda message: errors.append(told(message)) if message.type == "error" else None)
        tab.open()
        yield tab
        tab.shut_down_kernels()
    unexpected = [error for error in errors if "nbray" in error or not any(re.search(p, error) for p in OF_OTHERS)]
    assert not unexpected, unexpected


def told(message: Any) -> str:
    """Return what a console says, with where it was said."""
    return f"{message.text} ({message.location.get('url', '')})"
