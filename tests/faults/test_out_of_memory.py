"""A node that runs out of memory ends the worker that has the least to lose, and says so with figures."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import cluster_kit as kit
import numpy as np
import pytest

MIB = 2**20
CLUSTER = {
    "num_cpus": 2,
    "object_store_memory": 64 * MIB,
    "_system_config": {"memory_limit_bytes": 300 * MIB, "memory_look_s": 0.05, "oom_retry_s": 0.1},
}


def eat(limit=700):
    """Take more memory than there is for all, and stay: whoever is to notice may be without a processor for a while."""
    eaten = []
    for _ in range(limit):
        eaten.append(np.ones(MIB, np.uint8))
        time.sleep(0.002)
    time.sleep(kit.PATIENCE_S)
    return len(eaten)


def test_row_30_a_task_without_end(ray):
    neighbour = ray.remote(lambda n: sum(range(n)))
    for _ in range(2):
        hog = ray.remote(max_retries=0)(eat).remote()
        with kit.no_hang(), pytest.raises(ray.exceptions.OutOfMemoryError) as caught:
            ray.get(hog)
        text = str(caught.value)
        assert "eat" in text and "of 0.29 GiB" in text and "95 %" in text
        assert "RSS" in text and "The largest: eat 0." in text and "num_cpus" in text
        assert ray.get([neighbour.remote(1000) for _ in range(20)]) == [499500] * 20


def test_what_may_run_again_runs_again(ray, ledger):
    @ray.remote(max_retries=2)
    def hungry_once():
        ledger.add("run")
        return eat() if len(ledger.lines()) == 1 else 7

    with kit.no_hang():
        assert ray.get(hungry_once.remote()) == 7
    assert len(ledger.lines()) == 2


def test_retries_end(ray, ledger):
    @ray.remote(max_retries=1)
    def hungry():
        ledger.add(time.monotonic())
        return eat()

    with kit.no_hang(), pytest.raises(ray.exceptions.OutOfMemoryError):
        ray.get(hungry.remote())
    assert len(ledger.lines()) == 2


def test_the_one_that_may_run_again_goes_first(ray, gate, ledger):
    """Two with as much memory: the older one may not be repeated, and goes on."""

    def take(name):
        ledger.add(name)
        held = np.ones(100 * MIB, np.uint8)
        held2 = np.ones(65 * MIB, np.uint8) if ledger.lines().count(name) == 1 else None
        gate.wait()
        return int(held[0]), held2 is None

    first = ray.remote(max_retries=0)(take).remote("first")
    ledger.await_lines(1)
    second = ray.remote(max_retries=3)(take).remote("second")
    ledger.await_lines(3)
    gate.open()
    assert ray.get(first) == (1, False)
    assert ray.get(second) == (1, True)


def test_an_actor_says_why_it_died(ray):
    @ray.remote
    class Eater:
        def eat(self):
            return eat()

    eater = Eater.remote()
    with kit.no_hang(), pytest.raises(ray.exceptions.ActorDiedError, match="ran out of memory") as caught:
        ray.get(eater.eat.remote())
    assert isinstance(caught.value, ray.exceptions.OutOfMemoryError)  # which is all that it is in Ray
    assert caught.value.maybe_executed
    with pytest.raises(ray.exceptions.OutOfMemoryError) as later:
        ray.get(eater.eat.remote())
    assert not later.value.maybe_executed


def test_cancelled_while_it_waits_to_run_again(ray, ledger):
    @ray.remote(max_retries=5)
    def hungry():
        ledger.add("run")
        return eat()

    ref = hungry.remote()
    ledger.await_lines(2)
    ray.cancel(ref)
    with kit.no_hang(), pytest.raises((ray.exceptions.TaskCancelledError, ray.exceptions.OutOfMemoryError)):
        ray.get(ref)


def test_another_process_cancels_what_waits_to_run_again(ray, ledger, gate):
    """Its record is nowhere but among the delayed."""

    @ray.remote(max_retries=5)
    def hungry():
        ledger.add("run")
        return eat()

    @ray.remote
    def cancel(refs):
        gate.wait()
        ray.cancel(refs[0])

    ref = hungry.remote()
    done = cancel.remote([ref])
    core = ref._cluster

    def is_delayed():
        core.tick()
        return bool(core._delayed)

    kit.eventually(is_delayed, "the pause before it runs again")
    core._delayed = [(at + 600.0, record) for at, record in core._delayed]
    gate.open()
    ray.get(done)
    with kit.no_hang(), pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)


def test_processes_are_ranked_for_the_kernel(ray):
    pid = ray.get(ray.remote(lambda: __import__("os").getpid()).remote())

    def score(pid):
        with open(f"/proc/{pid}/oom_score_adj") as file:
            return int(file.read())

    assert score(pid) == 1000
    assert score(kit.daemon_pid()) <= 0
    assert score(kit.zygote_pid()) <= 0


@pytest.mark.limit(150)
def test_a_cgroup_of_its_own(fresh):
    """The limit is the kernel's: whoever is quicker, the monitor or the kernel, the error is the same."""
    group = new_group(700 * MIB)
    script = """
        import sys, time
        import numpy as np
        import nbray as ray
        ray.init(num_cpus=2, object_store_memory=32 * 2**20)

        def eat(pause):
            eaten = []
            while True:
                eaten.append(np.ones(2**20, np.uint8))
                time.sleep(pause)

        neighbour = ray.remote(max_retries=-1)(lambda n: sum(range(n)))
        for n in range(int(sys.argv[1])):
            try:
                ray.get(ray.remote(max_retries=0)(eat).remote(0.004 if n % 2 else 0.0))
            except ray.exceptions.OutOfMemoryError as error:
                assert "GiB" in str(error), error
                print("ended")
            assert ray.get([neighbour.remote(100) for _ in range(20)]) == [4950] * 20
        print("alive")
        ray.shutdown()
    """
    rounds = 20 if os.environ.get("NBRAY_FAULTS_FULL") == "1" else 3
    try:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(rounds)],
            preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())),
            capture_output=True, text=True, timeout=140, check=False, env={**os.environ, "PYTHONPATH": kit.ROOT},
        )  # fmt: skip
        assert done.stdout.split() == ["ended"] * rounds + ["alive"], done.stdout + done.stderr
    finally:
        kit.eventually(lambda: not (group / "cgroup.procs").read_text(), "the group is empty")
        group.rmdir()


def new_group(limit):
    """Make a memory cgroup below our own; skips where the machine does not let us."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            parent, name = Path("/sys/fs/cgroup/memory") / path.lstrip("/"), "memory.limit_in_bytes"
        elif number == "0" and Path("/sys/fs/cgroup/cgroup.controllers").exists():
            parent, name = Path("/sys/fs/cgroup") / path.lstrip("/"), "memory.max"
        else:
            continue
        group = parent / f"nbray-test-oom-{os.getpid()}"
        try:
            group.mkdir()
            (group / name).write_text(str(limit))
        except OSError as error:
            if group.exists():
                group.rmdir()
            pytest.skip(f"needs root and a writable memory cgroup: {error}")
        return group
    pytest.skip("needs a memory cgroup: none is mounted")
