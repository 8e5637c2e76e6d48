"""Two drivers on one cluster: the test's own, and programs that join it by its address."""

import importlib

import pytest

from .kit import process_is_alive, wait_until

CLUSTER = {"num_cpus": 3, "object_store_memory": 150 * 2**20, "namespace": "of the test"}

JOIN = "import os, sys, time\nray.init(address=os.environ['CLUSTER'], namespace=os.environ.get('SPACE'))\n"


@pytest.fixture
def other(ray, start_script):
    """Start a program that joins the cluster; returns its process."""

    def start(text, **environ):
        address = ray.get_runtime_context().gcs_address
        return start_script(JOIN + text, env={"CLUSTER": address, "PYTHONUNBUFFERED": "1", **environ})

    return start


def lines_of(process):
    """What it prints, without what the library says."""
    return [line.strip() for line in process.stdout if line.startswith("> ")]


def test_each_driver_is_a_job(ray, other):
    process = other("print('>', ray.get_runtime_context().get_job_id(), len(ray.nodes()))\n")
    (line,) = lines_of(process)
    _, job, nodes = line.split()
    assert job != ray.get_runtime_context().get_job_id()
    assert nodes == "1"
    assert process.wait() == 0


def test_named_actors_are_found_in_their_namespace(ray, other):
    @ray.remote
    class Counter:
        def __init__(self):
            self.n = 0

        def add(self, k):
            self.n += k
            return self.n

    counter = Counter.options(name="shared counter").remote()
    assert ray.get(counter.add.remote(1)) == 1
    process = other(
        "counter = ray.get_actor('shared counter', namespace='of the test')\n"
        "print('>', ray.get(counter.add.remote(10)))\n"
        "try:\n"
        "    ray.get_actor('shared counter')\n"
        "except ValueError:\n"
        "    print('> not in mine')\n"
    )
    assert lines_of(process) == ["> 11", "> not in mine"]
    assert process.wait() == 0
    assert ray.get(counter.add.remote(100)) == 111, "it belongs to this driver"


def test_the_same_namespace_is_shared(ray, other):
    process = other(
        "@ray.remote\n"
        "class A:\n"
        "    def pid(self): return os.getpid()\n"
        "a = A.options(name='from there').remote()\n"
        "print('>', ray.get(a.pid.remote()), flush=True)\n"
        "sys.stdin.readline()\n",
        SPACE="of the test",
    )
    line = next(line for line in process.stdout if line.startswith("> "))
    actor = ray.get_actor("from there")
    pid = ray.get(actor.pid.remote())
    assert pid == int(line.split()[1])
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.wait() == 0
    wait_until(lambda: not process_is_alive(pid), "its end, with its driver")
    with pytest.raises(ValueError):
        ray.get_actor("from there")


def test_actors_and_tasks_end_with_a_driver_that_is_killed(ray, other, ledger):
    process = other(
        "@ray.remote\n"
        "class A:\n"
        "    def pid(self): return os.getpid()\n"
        "@ray.remote\n"
        "def work():\n"
        "    print('worker', os.getpid())\n"
        f"    open({str(ledger.path)!r}, 'a').write(str(os.getpid()) + '\\n')\n"
        "    time.sleep(600)\n"
        "a = A.remote()\n"
        "d = A.options(name='detached one', lifetime='detached').remote()\n"
        "ref = work.remote()\n"
        "print('>', ray.get(a.pid.remote()), ray.get(d.pid.remote()), flush=True)\n"
        "time.sleep(600)\n",
        SPACE="of the test",
    )
    line = next(line for line in process.stdout if line.startswith("> "))
    actor, detached = map(int, line.split()[1:])
    wait_until(lambda: ledger.marks(), "the task began")
    worker = int(ledger.marks()[0])
    process.kill()
    process.wait()
    wait_until(lambda: not process_is_alive(actor) and not process_is_alive(worker), "the end of what was its")
    handle = ray.get_actor("detached one")
    assert ray.get(handle.pid.remote()) == detached
    ray.kill(handle)


def test_the_tasks_of_a_driver_that_is_killed_have_failed(ray, other):
    process = other(
        "@ray.remote\n"
        "def orphan(inner):\n"
        "    return ray.get(orphan.remote(False)) if inner else time.sleep(600)\n"
        "ref = orphan.remote(True)\n"
        "print('>', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    state = importlib.import_module(f"{ray.__name__}.util.state")

    def ends():
        rows = state.list_tasks(filters=[("func_or_class_name", "=", "orphan")])
        return sorted((row.state, row.error_type) for row in rows)

    wait_until(lambda: ends() == [("RUNNING", None)] * 2, "both run")
    process.kill()
    wait_until(lambda: ends() == [("FAILED", "WORKER_DIED")] * 2, "both have failed")
    rows = state.list_tasks(filters=[("func_or_class_name", "=", "orphan")], detail=True)
    assert all(row.error_message and row.end_time_ms for row in rows)


def test_what_a_killed_driver_held_and_waited_for_is_free(ray, other):
    process = other(
        "@ray.remote\n"
        "def hold():\n"
        "    time.sleep(600)\n"
        "class A: pass\n"
        "refs = [hold.remote() for _ in range(12)]\n"
        "actors = [ray.remote(num_cpus=1)(A).remote() for _ in range(6)]\n"
        "group = ray.util.placement_group([{'CPU': 1}] * 2)\n"
        "time.sleep(600)\n"
    )
    wait_until(lambda: ray.available_resources().get("CPU", 0) == 0, "it has all")
    process.kill()
    total = ray.cluster_resources()["CPU"]
    wait_until(lambda: ray.available_resources().get("CPU", 0) == total, "all is free, and nobody takes it")
    assert ray.get(ray.remote(lambda: 5).options(num_cpus=total).remote(), timeout=60) == 5


def test_the_cluster_outlives_a_driver_that_joined(ray, other):
    process = other(
        "print('>', ray.get(ray.remote(lambda: 5).remote()))\nray.shutdown()\nprint('>', ray.is_initialized())\n"
    )
    assert lines_of(process) == ["> 5", "> False"]
    assert process.wait() == 0
    assert ray.get(ray.remote(lambda: 5).remote()) == 5


def test_what_a_node_offers_cannot_be_changed_by_joining(ray, other):
    process = other("")
    assert process.wait() == 0
    address = ray.get_runtime_context().gcs_address
    process = other(
        "ray.shutdown()\n"
        "for settings in ({'num_cpus': 1}, {'resources': {'a': 1}}, {'object_store_memory': 10**8}):\n"
        "    try:\n"
        f"        ray.init(address={address!r}, **settings)\n"
        "    except ValueError:\n"
        "        print('> refused')\n"
    )
    assert lines_of(process) == ["> refused"] * 3


def test_job_config(ray, other):
    process = other(
        "ray.shutdown()\n"
        "from importlib import import_module\n"
        "JobConfig = import_module(ray.__name__ + '.job_config').JobConfig\n"
        "config = JobConfig(ray_namespace='configured', default_actor_lifetime='detached', metadata={'a': 'b'})\n"
        "ray.init(address=os.environ['CLUSTER'], job_config=config)\n"
        "@ray.remote\n"
        "class A:\n"
        "    def pid(self): return os.getpid()\n"
        "print('>', ray.get_runtime_context().namespace, ray.get(A.options(name='stays').remote().pid.remote()))\n"
    )
    (line,) = lines_of(process)
    assert process.wait() == 0
    _, namespace, pid = line.split()
    assert namespace == "configured"
    handle = ray.get_actor("stays", namespace="configured")
    assert ray.get(handle.pid.remote()) == int(pid)
    ray.kill(handle)
