"""Leases from a real daemon: grant, queue, refuse, lend, deaths."""

import os
import signal
import time

import psutil
import pytest
from daemon_kit import CPU1, child_of, family, is_gone, kill, wait_until

from nbray.resources import UNITS
from nbray.wire import messages as m

pytestmark = pytest.mark.slow


def test_register_tells_what_there_is(driver):
    reply = driver.registered
    assert reply.error == "" and reply.job_id == 1
    assert reply.resources["CPU"] == 2 * UNITS
    assert reply.node_id == driver.node.node_id and reply.session_dir == driver.node.session_dir
    assert driver.register().job_id == 1  # again: the same job


@pytest.mark.parametrize(
    "wrong",
    [{"version": 99}, {"pid": 1}, {"peer": 5}, {"role": "king"}, {"role": "worker"}, {"python": "2.7.1"}],
    ids=str,
)
def test_wrong_registration_is_refused_with_the_reason(start, wrong):
    driver = start(register=False, prestart=0)
    assert driver.register(**wrong).error
    assert driver.register().error == ""


def test_leases_are_granted_queued_and_granted_again(driver):
    first, second = driver.lease(), driver.lease()
    assert {first.pid, second.pid} <= {process.pid for process in family(driver.node.pid)}
    driver.send(m.LeaseRequest(request_id=50, resources=CPU1, count=1, name="waits"))
    state = driver.wait_state(lambda state: state.leases_waiting == 1)
    assert state.waiting[0]["name"] == "waits"
    driver.give_back(first)
    assert driver.expect(m.LeaseReply, request_id=50).pid == first.pid
    assert driver.state().available.get("CPU") == 0


def test_infeasible_is_refused_at_once(driver):
    reply = driver.lease({"CPU": 100 * UNITS})
    assert "CPU: 100" in reply.infeasible and reply.lease_id == 0


def test_a_killed_worker_is_reported_within_a_second_and_resources_come_back(driver):
    lease = driver.lease({"CPU": 2 * UNITS})
    began = time.monotonic()
    kill(lease.pid)
    notice = driver.expect(m.WorkerDiedNotice, peer=lease.worker)
    assert time.monotonic() - began < 30.0
    assert notice.signal_name == "SIGKILL" and notice.exit_code is None and notice.pid == lease.pid
    assert "hello from the worker" in notice.log_tail
    assert driver.state().available["CPU"] == 2 * UNITS
    assert driver.lease({"CPU": 2 * UNITS}).pid != lease.pid


def test_a_killed_worker_takes_its_children_along(start, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_HAS_CHILD", "1")
    driver = start()
    lease = driver.lease()
    child = child_of(psutil.Process(lease.pid))
    kill(lease.pid)
    wait_until(lambda: is_gone(child))


def test_a_worker_has_its_own_session_few_descriptors_and_goes_first_when_memory_is_short(driver):
    lease = driver.lease()
    assert os.getpgid(lease.pid) == lease.pid and os.getsid(lease.pid) == lease.pid
    assert psutil.Process(lease.pid).num_fds() < 30
    with open(f"/proc/{lease.pid}/oom_score_adj") as file:
        assert int(file.read()) >= 500


def test_kill_worker_request(driver):
    lease = driver.lease()
    driver.send(m.KillWorkerRequest(lease.worker, "cancelled by force"))
    assert "cancelled by force" in driver.expect(m.WorkerDiedNotice, peer=lease.worker).reason


def test_a_blocked_worker_lends_its_cpu(start):
    driver = start(cpus=1)
    first = driver.lease()
    driver.send(m.LeaseRequest(request_id=9, resources=CPU1, count=1))
    driver.wait_state(lambda state: state.leases_waiting == 1)
    os.kill(first.pid, signal.SIGUSR1)
    second = driver.expect(m.LeaseReply, request_id=9)
    assert second.pid != first.pid
    os.kill(first.pid, signal.SIGUSR2)
    driver.wait_state(lambda state: not any(worker["blocked"] for worker in state.workers))
    driver.give_back(second)
    assert driver.state().available.get("CPU", 0) == 0
    driver.give_back(first)
    driver.wait_state(lambda state: state.available["CPU"] == UNITS)


def test_leases_of_a_worker_that_dies_are_taken_from_it(start):
    """Nothing of a dead process stays, also when it never registered."""
    driver = start(cpus=1)
    lease = driver.lease()
    driver.send(m.LeaseRequest(request_id=9, resources=CPU1, count=1))
    kill(lease.pid)
    assert driver.expect(m.LeaseReply, request_id=9).pid != lease.pid


def test_discarded_workers_end(driver):
    lease = driver.lease()
    process = psutil.Process(lease.pid)
    driver.give_back(lease, discard=True)
    wait_until(lambda: is_gone(process))
    driver.wait_state(lambda state: state.available["CPU"] == 2 * UNITS)


def test_a_worker_that_does_not_stop_is_killed(start, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_STUBBORN", "1")
    driver = start(limits={"stop_grace_s": 0.2})
    lease = driver.lease()
    process = psutil.Process(lease.pid)
    driver.give_back(lease, discard=True)
    wait_until(lambda: is_gone(process))
    driver.wait_state(lambda state: state.available["CPU"] == 2 * UNITS)


def test_workers_that_cannot_start_refuse_the_request_with_their_log(start, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_FAILS", "1")
    driver = start(prestart=0)
    reply = driver.lease()
    assert "this worker was told to fail" in reply.error


def test_surplus_idle_workers_end(start):
    driver = start(cpus=1, limits={"idle_worker_s": 0.1})
    leases = [driver.lease({}) for _ in range(3)]
    for lease in leases:
        driver.give_back(lease)
    driver.wait_state(lambda state: len(state.workers) == 1)


def test_revocation_reaches_the_owner(start):
    driver = start(cpus=1)
    lease = driver.lease()
    driver.send(m.LeaseRequest(request_id=9, resources={"CPU": UNITS // 2}, count=1))
    assert driver.expect(m.LeaseRevokeNotice).lease_id == lease.lease_id
    driver.give_back(lease)
    assert driver.expect(m.LeaseReply, request_id=9).lease_id
