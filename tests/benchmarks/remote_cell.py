"""How much `%%remote` adds to a cell that does nothing: both cells in turn through a real kernel."""

from __future__ import annotations

import statistics
import subprocess
import time

from jupyter_client.manager import start_new_kernel

CELLS = 60
WARM_UP = 10
LOCAL, REMOTE = "pass", "%%remote\npass"


def measure() -> float:
    """Median of `%%remote` on `pass` minus median of `pass`, in seconds."""
    manager, client = start_new_kernel(kernel_name="python3", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _run(client, "%load_ext nbray\nimport nbray\nnbray.init(num_cpus=2)")
        times: dict[str, list[float]] = {LOCAL: [], REMOTE: []}
        for i in range(CELLS + WARM_UP):
            for cell in (LOCAL, REMOTE):
                seconds = _run(client, cell)
                if i >= WARM_UP:
                    times[cell].append(seconds)
        _run(client, "nbray.shutdown()")
        return statistics.median(times[REMOTE]) - statistics.median(times[LOCAL])
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _run(client, code: str) -> float:
    """Seconds from sending the cell to its reply; an error in the cell is an error here."""
    begin = time.perf_counter()
    reply = client.execute_interactive(code, store_history=False, timeout=60, output_hook=lambda message: None)
    seconds = time.perf_counter() - begin
    if reply["content"]["status"] != "ok":
        raise RuntimeError("\n".join(reply["content"].get("traceback", [])))
    return seconds
