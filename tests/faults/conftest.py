"""Tests in which processes die: they share the kit and the fixtures of tests/cluster."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "cluster"))

from cluster_fixtures import (  # noqa: F401
    _by_value,
    _limit,
    cluster,
    fresh,
    gate,
    ledger,
    ray,
    start_driver,
)


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): this test may take so long before it counts as hung")
