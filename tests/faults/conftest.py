"""Tests in which processes die: they share the kit and the fixtures of tests/cluster."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "cluster"))

import cluster_kit as kit
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

LONGEST_WAIT_S = 15.0


def pytest_terminal_summary(terminalreporter):
    """F29: the longest of all calls that a fault could have kept waiting; judged at full length only."""
    if kit.waits:
        seconds, test = max(kit.waits)
        terminalreporter.write_line(f"F29: {len(kit.waits)} waits after faults, the longest {seconds:.2f} s ({test})")


def pytest_sessionfinish(session):
    if kit.full_length(0, 1) and kit.waits and max(kit.waits)[0] > LONGEST_WAIT_S:
        session.exitstatus = 1


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): this test may take so long before it counts as hung")
