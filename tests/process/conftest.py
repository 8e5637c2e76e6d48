"""One real daemon, with this test as its driver and fake workers."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from daemon_kit import Driver, beside_logs, family, is_gone, wait_until

from nbray.node.launcher import NodeConfig, start_node
from nbray.resources import UNITS


@pytest.fixture
def base_dir(tmp_path_factory):
    """A short path, for sockets."""
    path = tmp_path_factory.mktemp("n")
    if len(str(path)) > 40:
        path = Path("/tmp") / f"nbt-{os.getpid()}-{time.monotonic_ns() % 10**6}"
        path.mkdir(mode=0o700)
    yield str(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def start(base_dir, monkeypatch):
    """Return a function that starts a node; at the end all of it must be gone."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    nodes, drivers = [], []

    def start(cpus=2, register=True, limits=None, resources=None, **fields):
        node = start_node(
            NodeConfig(
                resources={"CPU": cpus * UNITS, **(resources or {})},
                object_store_memory=64 << 20,
                base_dir=base_dir,
                worker_module="fake_worker",
                limits={"warm_ahead_bytes": 0, **(limits or {})},
                **fields,
            )
        )
        nodes.append((node, family(node.pid)))
        driver = Driver(node, register)
        drivers.append(driver)
        return driver

    yield start
    for driver in drivers:
        driver.close()
    for node, _ in nodes:
        processes = family(node.pid) if node.is_alive() else []
        node.stop()
        os.close(node.segment_fd)
        wait_until(lambda: all(is_gone(process) for process in processes))  # noqa: B023
        assert not beside_logs(node.session_dir)


@pytest.fixture
def driver(start):
    """A driver of a fresh node with 2 CPUs."""
    return start()
