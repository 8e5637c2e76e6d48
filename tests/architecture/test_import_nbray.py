"""`import nbray` is cheap: nothing of the notebook, no thread, no descriptor."""

from __future__ import annotations

import json
import subprocess
import sys

PROBE = """
import json, os, sys, threading
before = set(os.listdir("/proc/self/fd"))
import nbray
after = set(os.listdir("/proc/self/fd"))
children = open(f"/proc/self/task/{os.getpid()}/children").read().split()
print(json.dumps({
    "modules": sorted(sys.modules),
    "threads": threading.active_count(),
    "tasks": len(os.listdir("/proc/self/task")),
    "descriptors": len(after) - len(before),
    "children": children,
}))
"""


def probe() -> dict:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_import_brings_nothing_heavy_and_starts_nothing():
    found = probe()
    heavy = {"IPython", "ipywidgets", "ipykernel", "numpy", "pandas", "matplotlib", "jupyter_client", "tornado"}
    heavy |= {"zmq"}  # of the runtime, which is loaded while the first cluster starts
    assert heavy.isdisjoint({name.split(".")[0] for name in found["modules"]})
    assert found["threads"] == 1
    assert found["tasks"] == 1, "a thread in C"
    assert found["descriptors"] == 0
    assert found["children"] == []
