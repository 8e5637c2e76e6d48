"""A node that was started before anybody asked: the first init has it, unless it is not what is asked for."""

import os
import signal
import subprocess
import sys

import cluster_kit as kit
import pytest

from nbray.api import runtime
from nbray.node import discovery


def start_ahead():
    """Return the pid of a node that is there ahead. (Not a fixture: pytest changes the environment after those.)"""
    runtime.start_ahead()
    node = runtime._ahead
    return kit.eventually(lambda: node._node is not None and node._node.pid, "the node is there")


def test_the_first_use_has_it(fresh):
    ahead = start_ahead()
    assert not fresh.is_initialized()
    assert fresh.get(fresh.remote(lambda: 7).remote()) == 7
    assert runtime._node.pid == ahead


def test_init_without_settings_has_it_and_shutdown_ends_it(fresh):
    ahead = start_ahead()
    fresh.init(namespace="mine", log_to_driver=False)
    assert runtime._node.pid == ahead and fresh.get_runtime_context().namespace == "mine"
    fresh.shutdown()
    assert kit.start_time(ahead) == 0
    fresh.init()
    assert runtime._node.pid != ahead


@pytest.mark.parametrize(
    "settings", [{"num_cpus": 1}, {"object_store_memory": 64 * 2**20}, {"_system_config": {"extra_workers": 2}}]
)
def test_other_settings_start_another(fresh, settings):
    ahead = start_ahead()
    fresh.init(**settings)
    assert runtime._node.pid != ahead
    kit.eventually(lambda: kit.start_time(ahead) == 0, "that which nobody wants has ended")


def test_another_environment_starts_another(fresh, monkeypatch):
    ahead = start_ahead()
    monkeypatch.setenv("SET_SINCE", "yes")
    assert fresh.get(fresh.remote(lambda: os.environ.get("SET_SINCE")).remote()) == "yes"
    assert runtime._node.pid != ahead


def test_another_folder_starts_another(fresh, monkeypatch, tmp_path):
    start_ahead()
    monkeypatch.chdir(tmp_path)
    assert fresh.get(fresh.remote(os.getcwd).remote()) == str(tmp_path)


def test_one_that_died_is_not_taken(fresh):
    ahead = start_ahead()
    os.kill(ahead, signal.SIGKILL)
    kit.eventually(lambda: not runtime._ahead._node.is_alive(), "it is dead")
    assert fresh.get(fresh.remote(lambda: 7).remote()) == 7


def test_nobody_else_finds_it_until_it_is_taken(fresh):
    ahead = start_ahead()
    assert ahead not in [session.pid for session in discovery.live_sessions()]
    fresh.init()
    (session,) = [session for session in discovery.live_sessions() if session.pid == ahead]
    assert session.started_by == "init"


def test_who_joins_another_cluster_keeps_none(fresh, start_driver):
    ahead = start_ahead()
    other = start_driver("""
        import nbray
        print("at", nbray.init(num_cpus=1).address_info["address"], flush=True)
        input()
        """)
    fresh.init(address=other.expect("at"))
    kit.eventually(lambda: kit.start_time(ahead) == 0, "that which nobody wants has ended")


def test_shutdown_ends_one_that_was_not_taken(fresh):
    ahead = start_ahead()
    fresh.shutdown()
    assert kit.start_time(ahead) == 0


def test_it_ends_with_its_process(fresh):
    program = """
import os, signal, sys
import nbray
from nbray.api import runtime
runtime.start_ahead()
runtime._ahead._thread.join()
print(runtime._ahead._node.pid, flush=True)
if sys.argv[1] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
"""
    for how in ("exit", "kill"):
        done = subprocess.run([sys.executable, "-c", program, how], capture_output=True, text=True, check=False).stdout
        kit.eventually(lambda done=done: kit.start_time(int(done)) == 0, "it has ended")
