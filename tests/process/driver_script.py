"""A driver in a process of its own: starts a node, registers, says so, and waits to be killed."""

import json
import os
import sys
import time

from daemon_kit import Driver

from nbray.node.launcher import NodeConfig, start_node
from nbray.resources import UNITS


def main(base_dir):
    node = start_node(
        NodeConfig(
            resources={"CPU": 2 * UNITS},
            object_store_memory=64 << 20,
            base_dir=base_dir,
            worker_module="fake_worker",
            limits={"warm_ahead_bytes": 0},
        )
    )
    driver = Driver(node)
    lease = driver.lease()
    driver.wait_state(lambda state: len(state.workers) == 2)
    print(json.dumps({"daemon": node.pid, "session": node.session_dir, "worker": lease.pid}), flush=True)
    while os.getppid() != 1:
        time.sleep(0.05)


main(sys.argv[1])
