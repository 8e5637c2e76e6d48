"""Exit handlers of workers have their time and no more."""

import atexit
import os
import threading
from pathlib import Path

import cluster_kit as kit


def test_a_handler_that_never_ends(fresh, monkeypatch):
    monkeypatch.setenv("NBRAY_EXIT_HOOKS_S", "0.2")
    fresh.init(num_cpus=1, object_store_memory=64 * 2**20)

    @fresh.remote
    class Stuck:
        def __init__(self):
            atexit.register(threading.Event().wait)

        def about(self):
            return os.getpid(), Path(f"/proc/{os.getpid()}/comm").read_text().strip()

    actor = Stuck.remote()
    pid, name = fresh.get(actor.about.remote())
    assert name == "nbray::Stuck"
    del actor
    kit.eventually(lambda: not os.path.exists(f"/proc/{pid}"), "the end of the actor")
