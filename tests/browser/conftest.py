"""A JupyterLab and a browser for the tests of the panel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .lab import LabPage, LabServer, browser_tab


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
    """A tab of its own with JupyterLab in it; what its console says against us fails the test."""
    errors: list[str] = []
    options = getattr(request, "param", {})
    with browser_tab(server, **options) as tab:
        tab.page.on("pageerror", lambda error: errors.append(str(error)))
        tab.page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.open()
        yield tab
        tab.shut_down_kernels()
    ours = [error for error in errors if "nbray" in error]
    assert not ours, ours
