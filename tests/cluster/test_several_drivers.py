"""Several drivers share one cluster: each a job of its own, and nobody's end disturbs another."""

import os
import random
import time

import cluster_kit as kit
import pytest

import nbray

JOIN = """
context = ray.init(address=sys.argv[1], namespace=sys.argv[2] if len(sys.argv) > 2 else None)
say("job", ray.get_runtime_context().get_job_id())
"""


@pytest.fixture
def address(ray):
    return ray.get_runtime_context().gcs_address


def test_each_has_its_job_and_its_namespace(ray, address, start_driver):
    program = JOIN + (
        "A = ray.remote(type('A', (), {'pid': lambda self: os.getpid()}))\n"
        "actor = A.options(name='same name').remote()\n"
        "say('pid', ray.get(actor.pid.remote()))\n"
        "say('nodes', len(ray.nodes()), context.address_info['joined'])\n"
        "hear()\n"
        "ray.shutdown()\n"
        "say('gone', ray.is_initialized())\n"
    )
    one, two, three = (start_driver(program, address, name) for name in ("left", "right", "right side"))
    jobs = {driver.expect("job") for driver in (one, two, three)} | {ray.get_runtime_context().get_job_id()}
    assert len(jobs) == 4
    pids = {driver.expect("pid") for driver in (one, two, three)}
    assert len(pids) == 3
    assert [driver.expect("nodes") for driver in (one, two, three)] == ["1 True"] * 3
    handle = nbray.get_actor("same name", namespace="left")
    assert str(nbray.get(handle.pid.remote())) in pids
    with pytest.raises(ValueError, match="left"):
        nbray.get_actor("same name")
    for driver in (one, two, three):
        driver.tell("go")
        driver.expect("gone False")
        driver.finish()
    kit.eventually(lambda: not any(kit.start_time(int(pid)) for pid in pids), "the end of their actors")
    with pytest.raises(nbray.exceptions.ActorDiedError):
        nbray.get(handle.pid.remote())


BUSY = (
    JOIN
    + """
@ray.remote
def nested(depth):
    return depth if depth == 0 else ray.get(nested.remote(depth - 1)) + 1

@ray.remote
class Keeper:
    def keep(self, refs):
        self.refs = refs
        return len(ray.get(refs))

keeper = Keeper.remote()
say("busy")
while True:
    refs = [ray.put(bytes(100_000)) for _ in range(5)]
    assert ray.get(keeper.keep.remote(refs)) == 5
    assert ray.get([nested.remote(2) for _ in range(4)]) == [2] * 4
"""
)


def test_one_that_is_killed_disturbs_nobody(ray, address, start_driver):
    """SIGKILL at random moments: the others' tasks go on, and all that was the dead one's comes back."""
    random.seed(7)

    @ray.remote
    def double(x):
        return 2 * x

    before = kit.used()
    for _ in range(kit.scaled(3)):
        drivers = [start_driver(BUSY, address) for _ in range(2)]
        for driver in drivers:
            driver.expect("busy")
        for driver in drivers:
            end = time.monotonic() + random.uniform(0.0, 0.3)
            while time.monotonic() < end:
                assert nbray.get([double.remote(i) for i in range(10)]) == [2 * i for i in range(10)]
            driver.kill()
        assert nbray.get([double.remote(i) for i in range(10)]) == [2 * i for i in range(10)]
    kit.settle(before)


def test_what_another_holds_survives_its_maker(ray, address, start_driver):
    @ray.remote
    class Register:
        def __init__(self):
            self.refs = []

        def add(self, refs):
            self.refs += refs

        def all(self):
            return self.refs

    register = Register.options(name="register", namespace="shared").remote()
    driver = start_driver(
        JOIN
        + "register = ray.get_actor('register')\n"
        + "made = ray.remote(lambda: b'made by a task' * 10_000).remote()\n"
        + "ray.get(register.add.remote([ray.put('small'), ray.put(bytes(1_000_000)), made]))\n"
        + "ray.get(made)\n"
        + "say('added')\n"
        + "hear()\n",
        address,
        "shared",
    )
    driver.expect("added")
    refs = nbray.get(register.all.remote())
    driver.kill()
    small, large, made = nbray.get(refs)
    assert (small, len(large), made) == ("small", 1_000_000, b"made by a task" * 10_000)
    assert nbray.get(nbray.get(register.all.remote())[0]) == "small"


def test_detached_actors_survive_their_driver(ray, address, start_driver):
    driver = start_driver(
        JOIN
        + "from nbray.job_config import JobConfig\n"
        + "@ray.remote(max_restarts=1)\n"
        + "class A:\n"
        + "    def pid(self): return os.getpid()\n"
        + "    def more(self):\n"
        + "        self.child = A.options(name='child').remote()\n"
        + "        return ray.get(self.child.pid.remote())\n"
        + "    def task(self): return ray.get(ray.remote(lambda: 'a task of mine').remote())\n"
        + "actor = A.options(name='stays', lifetime='detached').remote()\n"
        + "say('pid', ray.get(actor.pid.remote()))\n"
        + "hear()\n",
        address,
        "there",
    )
    pid = int(driver.expect("pid"))
    driver.kill()
    actor = nbray.get_actor("stays", namespace="there")
    assert nbray.get(actor.pid.remote()) == pid
    assert nbray.get(actor.task.remote()) == "a task of mine"
    os.kill(pid, 9)
    kit.eventually(lambda: not kit.start_time(pid), "its end")
    assert kit.eventually(lambda: _pid_of(actor), "its restart") != pid
    nbray.kill(actor)


def _pid_of(actor):
    try:
        return nbray.get(actor.pid.remote())
    except nbray.exceptions.RayActorError:
        return None


def test_the_end_of_the_owner_is_told(start_driver):
    """The cluster of a driver's init() ends with it; who joined it gets an error, in time, and can go on elsewhere."""
    owner = start_driver(
        "say('address', ray.init(num_cpus=1, object_store_memory=64 * 2**20)['address'])\nhear()\nsay('bye')\n"
    )
    address = owner.expect("address")
    program = JOIN + (
        "sleep = ray.remote(lambda: time.sleep(60)).remote()\n"
        "say('waits')\n"
        "try:\n"
        "    ray.get(sleep)\n"
        "except ray.exceptions.RaySystemError as error:\n"
        "    say('error', isinstance(error, ConnectionError), str(error).replace('\\n', ' '))\n"
        "try:\n"
        "    ray.put(bytes(100_000)) and ray.get(ray.remote(lambda: 1).remote())\n"
        "except ray.exceptions.RaySystemError:\n"
        "    say('still', 'over')\n"
        "ray.shutdown()\n"
        "ray.init(num_cpus=1, object_store_memory=64 * 2**20)\n"
        "say('again', ray.get(ray.remote(lambda: 7).remote()))\n"
    )
    killed = start_driver(program, address, base=owner.base)
    killed.expect("waits")
    owner.kill()
    with kit.no_hang(what="the news of the owner's death"):
        assert killed.expect("error").startswith("True The cluster has ended: the driver died")
    killed.expect("still over")
    killed.expect("again 7")
    killed.finish()
    kit.eventually(lambda: not owner.family(), "the end of the owner's processes", kit.RECOVERY_S)


def test_a_driver_that_joined_cannot_end_the_cluster(ray, address, start_driver):
    driver = start_driver(
        JOIN
        + "from nbray.wire import messages as m\n"
        + "from nbray.core import current\n"
        + "current.core.control.send(m.ShutdownRequest())\n"
        + "say('task', ray.get(ray.remote(lambda: 1).remote()))\n",
        address,
    )
    driver.expect("task 1")
    driver.finish()
    assert nbray.get(ray.remote(lambda: 2).remote()) == 2
