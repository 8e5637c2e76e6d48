"""Whatever is killed, nothing stays: no process, no file but logs, and the next start removes those."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from daemon_kit import CPU1, beside_logs, child_of, family, is_gone, kill, wait_until, zygote_of

from nbray.exceptions import RaySystemError, SharedMemoryTooSmallError
from nbray.node import session_dir
from nbray.node.launcher import NodeConfig, start_node
from nbray.session_layout import CONTROL_SOCKET, LOGS
from nbray.wire import messages as m

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parent / "driver_script.py"
REPO = Path(session_dir.__file__).parents[2]


@pytest.fixture
def other_driver(base_dir):
    """A driver in its own process; returns (process, what it told, all processes of its node)."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPT.parent), str(REPO)])}
    process = subprocess.Popen([sys.executable, str(SCRIPT), base_dir], stdout=subprocess.PIPE, env=environ)
    told = json.loads(process.stdout.readline())
    node = family(told["daemon"])
    assert len(node) == 4  # daemon, zygote, two workers
    yield process, told, node
    process.kill()
    process.wait()
    process.stdout.close()
    for each in node:
        if not is_gone(each):
            each.kill()


def test_clean_end_leaves_logs_only(driver):
    node = driver.node
    processes = family(node.pid)
    driver.send(m.ShutdownRequest())
    assert node.wait_dead(30.0)
    wait_until(lambda: all(is_gone(process) for process in processes))
    assert os.path.isdir(node.session_dir) and not beside_logs(node.session_dir)


@pytest.mark.parametrize("how", ["goodbye", "sigterm"])
def test_other_clean_ends(driver, how):
    processes = family(driver.node.pid)
    if how == "goodbye":
        driver.send(m.GoodbyeNotice())
    else:
        os.kill(driver.node.pid, signal.SIGTERM)
    assert driver.node.wait_dead(30.0)
    wait_until(lambda: all(is_gone(process) for process in processes))


def test_sigint_does_not_reach_the_node(driver):
    for process in family(driver.node.pid):
        if "worker" not in process.name():
            process.send_signal(signal.SIGINT)
        assert os.getsid(process.pid) != os.getsid(0)
    assert driver.state().nodes


def test_killed_driver_takes_all_along_within_five_seconds(other_driver):
    process, told, node = other_driver
    process.kill()
    wait_until(lambda: all(is_gone(each) for each in node))
    assert os.path.isdir(told["session"]) and not beside_logs(told["session"])


def test_killed_daemon_takes_all_along(other_driver):
    _, told, node = other_driver
    kill(told["daemon"])
    wait_until(lambda: all(is_gone(each) for each in node))


def test_what_left_its_worker_ends_with_the_node(start, monkeypatch):
    """A process in a session of its own is not its worker's group: it may outlive that, but not the node."""
    monkeypatch.setenv("FAKE_WORKER_HAS_CHILD", "session")
    driver = start()
    lease = driver.lease()
    worker = psutil.Process(lease.pid)
    zygote = worker.ppid()
    child = child_of(worker, "session")
    kill(lease.pid)
    wait_until(lambda: child.ppid() == zygote)
    driver.send(m.ShutdownRequest())
    assert driver.node.wait_dead(30.0)
    wait_until(lambda: is_gone(child))


@pytest.mark.parametrize("whose", ["session", "group"])
def test_what_a_worker_started_ends_with_the_node_though_the_zygote_died(start, monkeypatch, whose):
    """The daemon adopts what it leaves; a worker's group ends with the worker."""
    monkeypatch.setenv("FAKE_WORKER_HAS_CHILD", whose)
    driver = start()
    worker = psutil.Process(driver.lease().pid)
    child = child_of(worker, whose)
    workers = driver.worker_pids()
    kill(worker.ppid())
    wait_until(lambda: is_gone(worker))
    if whose == "session":
        wait_until(lambda: child.ppid() == driver.node.pid)
        driver.wait_forgotten(workers)
        other = psutil.Process(driver.lease().pid)  # of the next zygote
        assert not is_gone(child) and not is_gone(other)
        driver.send(m.ShutdownRequest())
        assert driver.node.wait_dead(30.0)
    wait_until(lambda: is_gone(child))


def test_a_daemon_whose_log_takes_nothing_any_more_goes_on(start, monkeypatch):
    """The disk of the logs is full."""
    popen = subprocess.Popen
    with open("/dev/full", "wb") as full:

        def start_with_full_log(*command, **options):
            return popen(*command, **{**options, "stdout": full, "stderr": full})

        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "Popen", start_with_full_log)
            driver = start()
    zygote = psutil.Process(driver.lease().pid).ppid()
    workers = driver.worker_pids()
    kill(zygote)  # of which the daemon writes
    wait_until(lambda: zygote not in [process.pid for process in family(driver.node.pid)])
    driver.wait_forgotten(workers)
    assert psutil.Process(driver.lease().pid).ppid() != zygote


def test_adopted_processes_are_reaped(start, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_HAS_CHILD", "session")
    driver = start()
    worker = psutil.Process(driver.lease().pid)
    child = child_of(worker, "session")
    kill(worker.ppid())
    wait_until(lambda: child.ppid() == driver.node.pid)
    child.kill()
    wait_until(lambda: not child.is_running())  # no zombie


def test_everything_killed_at_once_and_the_next_start_cleans_up(other_driver, start):
    process, told, node = other_driver
    os.kill(told["daemon"], signal.SIGSTOP)  # at once: it must not see the driver's death before its own
    for each in [psutil.Process(process.pid), *node]:
        with contextlib.suppress(psutil.NoSuchProcess):  # the kernel was quicker
            each.kill()
    process.wait()
    wait_until(lambda: all(is_gone(each) for each in node))
    assert os.listdir(told["session"]) == [LOGS]
    assert os.path.lexists(os.path.join(told["session"], CONTROL_SOCKET))  # nobody was there to remove it
    driver = start()
    assert not os.path.exists(told["session"])
    assert os.path.exists(driver.node.session_dir)


def test_a_live_session_is_left_alone(other_driver, start):
    _, told, node = other_driver
    start()
    assert os.path.lexists(os.path.join(told["session"], CONTROL_SOCKET))
    assert not any(is_gone(each) for each in node)


def test_a_zygote_that_dies_before_it_has_forked_fails_no_requests(start):
    """Several starts fail with it, all for one reason: that is not several in a row."""
    driver = start(cpus=6, prestart=0)
    zygote = zygote_of(driver.node)
    zygote.suspend()
    driver.send(m.LeaseRequest(request_id=77, resources=CPU1, count=6))
    driver.state()  # answered in the round after that in which the workers were asked for
    driver.state()
    zygote.kill()
    for _ in range(6):
        reply = driver.expect(m.LeaseReply)
        assert reply.worker and not reply.error


def zombies(pid):
    found = []
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def test_a_killed_zygote_is_replaced(driver):
    lease = driver.lease()
    zygote = zygote_of(driver.node)
    workers = driver.worker_pids()
    zygote.kill()
    notice = driver.expect(m.WorkerDiedNotice, peer=lease.worker)
    assert "forks the workers died" in notice.reason
    driver.wait_forgotten(workers)
    again = driver.lease()
    assert again.pid != lease.pid
    assert driver.wait_state(lambda state: state.available["CPU"] == 10000)
    assert driver.wait_state(lambda state: not zombies(driver.node.pid))  # they are the node's children now


def test_start_and_stop_many_times(start, base_dir):
    """A few rounds of what 200 rounds were tried with; nothing accumulates."""
    before = psutil.Process().num_fds()
    for _ in range(5):
        driver = start()
        driver.lease()
        driver.send(m.ShutdownRequest())
        assert driver.node.wait_dead(30.0)
    assert psutil.Process().num_fds() <= before + 5 * 12  # closed with the fixture
    sessions = os.listdir(os.path.join(base_dir, f"nbray-{os.geteuid()}"))
    assert len(sessions) <= 1  # each start removed the one before


def test_start_up_time_is_printed(start, capsys):
    began = time.perf_counter()
    driver = start()
    started = time.perf_counter()
    driver.lease()
    leased = time.perf_counter()
    with capsys.disabled():
        split = ", ".join(f"{name} {value:.0f}" for name, value in driver.node.split_ms.items())
        print(f"\nnode up in {1e3 * (started - began):.0f} ms ({split}), first lease {1e3 * (leased - started):.0f} ms")


def test_too_little_memory_is_refused_before_anything(base_dir):
    for asked in (1 << 50, 1 << 10):
        with pytest.raises(SharedMemoryTooSmallError, match=f"{asked:,}.*object_store_memory"):
            start_node(NodeConfig(object_store_memory=asked, base_dir=base_dir))
    assert os.listdir(base_dir) == []


def test_a_daemon_that_cannot_start_says_why_and_leaves_nothing(base_dir, monkeypatch):
    with pytest.raises(ValueError, match="NBRAY_EXTRA_WORKERS"):
        monkeypatch.setenv("NBRAY_EXTRA_WORKERS", "many")
        start_node(NodeConfig(base_dir=base_dir))
    monkeypatch.delenv("NBRAY_EXTRA_WORKERS")
    broken = Path(base_dir) / "boot.py"
    broken.write_text("import sys; sys.exit('no such thing')")
    monkeypatch.setattr("nbray.node.launcher._BOOT", str(broken))
    with pytest.raises(RaySystemError, match="no such thing"):
        start_node(NodeConfig(object_store_memory=64 << 20, base_dir=base_dir))
    assert os.listdir(os.path.join(base_dir, f"nbray-{os.geteuid()}")) == []


def test_a_driver_with_many_descriptors_has_a_cluster():
    """More than select() knows: 1,024."""
    script = """
import os, resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard if 0 < hard < 4096 else 4096, hard))
held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
import nbray
nbray.init(num_cpus=1)
assert nbray.get(nbray.remote(lambda: 5).remote()) == 5
assert nbray.get(nbray.wait([nbray.put(6)])[0]) == [6]
nbray.shutdown()
print("fine")
"""
    environ = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stdout == "fine\n", done.stderr
