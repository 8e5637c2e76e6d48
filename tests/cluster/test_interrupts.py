"""Ctrl-C: it reaches the user's code at once, and nothing else is disturbed (J2)."""

import os
import random
import signal
import time

import cluster_kit as kit
import pytest

CLUSTER = {"num_cpus": 2, "object_store_memory": 256 * 2**20}

PROGRAM = """
import numpy, random

ray.init(num_cpus=2, object_store_memory=256 * 2**20)

@ray.remote
def f(x):
    return x

@ray.remote
def sleep(path):
    while not os.path.exists(path):
        time.sleep(0.005)
    return "slept"

@ray.remote
class Actor:
    def pid(self):
        return os.getpid()
    def sleep(self, path):
        while not os.path.exists(path):
            time.sleep(0.005)
        return "slept"

gate = sys.argv[2]
actor = Actor.remote()
ray.get([f.remote(1), actor.pid.remote()])
big = numpy.ones(4_000_000)

def submit_loop():
    while True:
        refs = [f.remote(i) for i in range(100)]
        del refs

def submit_and_get_loop():
    while True:
        ray.get([f.remote(i) for i in range(50)])

def put_loop():
    while True:
        ray.put(big)

def small_put_loop():
    while True:
        ray.get(ray.put([1, 2, 3]))

def wait_loop():
    while True:
        refs = [f.remote(i) for i in range(20)]
        while refs:
            _, refs = ray.wait(refs)

def actor_loop():
    while True:
        ray.get([actor.pid.remote() for _ in range(20)])

slow = sleep.remote(gate)
calls = {
    "get": lambda: ray.get(slow),
    "get list": lambda: ray.get([f.remote(1), slow]),
    "get timeout": lambda: ray.get(slow, timeout=50),
    "wait": lambda: ray.wait([slow]),
    "actor": lambda: ray.get(actor.sleep.remote(gate)),
    "submit loop": submit_loop,
    "submit and get loop": submit_and_get_loop,
    "put loop": put_loop,
    "small put loop": small_put_loop,
    "wait loop": wait_loop,
    "actor loop": actor_loop,
    "future": lambda: slow.future().result(),
    "state": lambda: [ray.nodes() for _ in range(10**9)],
}
name = sys.argv[1]
say("daemon", ray.nodes()[0]["pid"])
while True:
    command = hear()
    if command == "end":
        break
    try:
        say("in")
        calls[name]()
        say("error: it returned")
    except KeyboardInterrupt:
        at = time.monotonic()
        say("interrupted", at)
    start = time.monotonic()
    if not name.startswith("get") and name not in ("wait", "future"):
        assert ray.get([f.remote(i) for i in range(100)], timeout=60) == list(range(100)), "wrong after"
    say("works", time.monotonic() - start)
open(gate, "w").close()
assert ray.get(slow, timeout=60) == "slept"
assert ray.get([f.remote(i) for i in range(1000)], timeout=60) == list(range(1000))
say("available", *[ray.get(actor.pid.remote(), timeout=60)])
deadline = time.monotonic() + 60
while ray.available_resources().get("CPU") != 2.0:
    assert time.monotonic() < deadline, (ray.available_resources(), "leak")
    time.sleep(0.02)
from nbray.core import current
import gc; gc.collect()
slow = None
while current.core.store.stats().used > 20_000:
    assert time.monotonic() < deadline, ("store", current.core.store.stats().used)
    time.sleep(0.02)
ray.shutdown()
say("end")
"""

BLOCKING = ["get", "get list", "get timeout", "wait", "actor", "future"]
LOOPS = ["submit loop", "submit and get loop", "put loop", "small put loop", "wait loop", "actor loop", "state"]


@pytest.mark.parametrize("call", BLOCKING + LOOPS)
def test_interrupt_of_the_process_group(start_driver, tmp_path, call):
    """killpg, as Jupyter does. No worker or daemon is in the group, so none is signalled."""
    driver = start_driver(PROGRAM, call, str(tmp_path / "gate"))
    driver.expect("daemon")
    before = set(driver.family())
    dice = random.Random(call)
    delays = []
    for _ in range(kit.scaled(5 if call in BLOCKING else 8, 200)):
        driver.tell("go")
        driver.expect("in")
        time.sleep(dice.uniform(0.01, 0.06))
        sent = time.monotonic()
        os.killpg(driver.pid, signal.SIGINT)
        delays.append(float(driver.expect("interrupted")) - sent)
        driver.expect("works")
    assert before <= set(driver.family()), "no worker and no daemon died of it"
    driver.tell("end")
    driver.expect("end")
    driver.finish()
    print(call, f"longest delay {max(delays) * 1000:.0f} ms")
    assert sorted(delays)[len(delays) // 2] < 1.0, delays


def test_no_process_of_the_cluster_is_in_the_group(start_driver):
    driver = start_driver("ray.init(num_cpus=2)\nray.get(ray.remote(lambda: 1).remote())\nsay('ready')\nhear()\n")
    driver.expect("ready")
    group = os.getpgid(driver.pid)
    family = driver.family()
    assert len(family) >= 3
    assert all(os.getpgid(pid) != group for pid in family)
    before = set(family)
    os.killpg(driver.pid, signal.SIGINT)
    driver.process.wait(kit.PATIENCE_S)
    kit.eventually(lambda: not any(map(kit.start_time, before)), "the cluster ends with its driver", kit.RECOVERY_S)


def test_workers_survive_the_interrupt(start_driver, tmp_path):
    driver = start_driver(
        """
        import glob
        path = sys.argv[1]
        ray.init(num_cpus=2)
        @ray.remote
        def meet(when):  # each task in a worker of its own
            open(f"{path}/{when}-{os.getpid()}", "w").close()
            while len(glob.glob(f"{path}/{when}-*")) < 2 or not os.path.exists(f"{path}/go"):
                time.sleep(0.005)
            return os.getpid()
        refs = [meet.remote("before") for _ in range(2)]
        try:
            say("ready")
            ray.get(refs)
            time.sleep(60)
        except KeyboardInterrupt:
            say("interrupted")
        open(f"{path}/go", "w").close()
        first = sorted(ray.get(refs))
        again = sorted(ray.get([meet.remote("after") for _ in range(2)]))
        say("pids", first == again)
        """,
        str(tmp_path),
    )
    driver.expect("ready")
    kit.eventually(lambda: len(list(tmp_path.glob("before-*"))) == 2, "both tasks run")
    os.killpg(driver.pid, signal.SIGINT)
    driver.expect("interrupted")
    assert driver.expect("pids") == "True"
    driver.finish()


INIT = """
import gc
for number in range(int(sys.argv[1])):
    try:
        say("in")
        ray.init(num_cpus=1, object_store_memory=32 * 2**20)
        say("out")
        hear_at = time.monotonic() + 60
        while time.monotonic() < hear_at:
            time.sleep(0.01)
    except KeyboardInterrupt:
        say("interrupted", time.monotonic())
    ray.shutdown()
    say("down")
    hear()
ray.init(num_cpus=1, object_store_memory=32 * 2**20)
assert ray.get(ray.remote(lambda: 5).remote(), timeout=60) == 5
ray.shutdown()
say("end")
"""


def test_interrupt_during_init(start_driver):
    """Whatever had been started is gone, and the next init works."""
    rounds = kit.scaled(10, 100)
    driver = start_driver(INIT, str(rounds))
    dice = random.Random(1)
    delays = []
    for number in range(rounds):
        driver.expect("in")
        time.sleep(dice.uniform(0.0, 0.3))
        sent = time.monotonic()
        os.killpg(driver.pid, signal.SIGINT)
        delays.append(float(driver.expect("interrupted")) - sent)
        driver.expect("down")
        kit.eventually(lambda: not driver.family(), f"nothing is left of init {number}", kit.RECOVERY_S)
        driver.tell("next")
    driver.expect("end")
    driver.finish()
    assert sorted(delays)[rounds // 2] < 1.0, delays


def test_interrupt_during_shutdown(start_driver):
    driver = start_driver(
        """
        for number in range(int(sys.argv[1])):
            ray.init(num_cpus=1, object_store_memory=32 * 2**20)
            ray.get(ray.remote(lambda: 5).remote())
            try:
                say("in")
                ray.shutdown()
                time.sleep(60)
            except KeyboardInterrupt:
                ray.shutdown()
                say("out")
            hear()
        say("end")
        """,
        str(kit.scaled(5, 50)),
    )
    dice = random.Random(2)
    for number in range(kit.scaled(5, 50)):
        driver.expect("in")
        time.sleep(dice.uniform(0.0, 0.03))
        os.killpg(driver.pid, signal.SIGINT)
        driver.expect("out")
        kit.eventually(lambda: not driver.family(), f"nothing is left after shutdown {number}")
        driver.tell("next")
    driver.expect("end")
    driver.finish()


STORM = """
import numpy, random
from nbray.core import current
ray.init(num_cpus=2, object_store_memory=64 * 2**20)

@ray.remote
def f(x):
    return x

@ray.remote(num_cpus=0.5)
def g(x):
    return [x]

@ray.remote
class Actor:
    def add(self, x):
        return x + 1

actor = Actor.remote()
ray.get([f.remote(1), g.remote(1), actor.add.remote(1)])
array = numpy.ones(50_000)
wrong = []

def work():
    while time.monotonic() < stop_at or not interrupts:
        refs = [f.remote(i) for i in range(30)]
        more = [g.remote(i) for i in range(10)]
        calls = [actor.add.remote(i) for i in range(10)]
        stored = [f.remote(array), ray.put(array)]
        values = ray.get(refs)
        if values != list(range(30)):
            wrong.append(values)
        if ray.get(more) != [[i] for i in range(10)]:
            wrong.append("more")
        if ray.get(calls) != list(range(1, 11)):
            wrong.append("calls")
        if [float(a.sum()) for a in ray.get(stored)] != [50_000.0] * 2:
            wrong.append("stored")
        del refs, more, calls, stored

interrupts = 0
told = []

def storm(depth):  # an interrupt may strike while the one before it is being handled: that is for the next one out
    global interrupts
    while True:
        try:
            if depth:
                storm(depth - 1)
                return
            if not told:
                told.append(True)
                say("ready")
            work()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            return
        except KeyboardInterrupt:
            interrupts += 1

stop_at = time.monotonic() + float(sys.argv[1])
storm(8)
say("interrupts", interrupts)
say("wrong", len(wrong), wrong[:2])
import gc
gc.collect()
assert ray.get([f.remote(i) for i in range(500)], timeout=60) == list(range(500))
assert ray.get([g.remote(i) for i in range(50)], timeout=60) == [[i] for i in range(50)]
assert ray.get(actor.add.remote(1), timeout=60) == 2
deadline = time.monotonic() + 60
while ray.available_resources().get("CPU") != 2.0:
    if time.monotonic() > deadline:
        core = current.core
        say("leak", ray.available_resources(), [(p.shape, p.wanted, len(p.queue), [(len(l.tasks), l.revoked) for l in p.lanes]) for p in core.pools.values()], core.leases)
        sys.exit(3)
    time.sleep(0.02)
while current.core.store.stats().used > 20_000:
    if time.monotonic() > deadline:
        say("leak of memory", current.core.store.stats().used, current.core.store.stats().n_objects)
        sys.exit(4)
    time.sleep(0.02)
ray.shutdown()
say("end")
"""


def test_a_storm_of_interrupts(start_driver):
    """J3: they hit at any bytecode; no value is wrong after, and no lease or memory leaks."""
    seconds = 3.0 * kit.SCALE
    driver = start_driver(STORM, str(seconds))
    driver.expect("ready")
    dice = random.Random(3)
    stop_at = time.monotonic() + seconds - 0.2
    while time.monotonic() < stop_at:
        time.sleep(dice.uniform(0.005, 0.05))
        os.killpg(driver.pid, signal.SIGINT)
    interrupts = int(driver.expect("interrupts"))
    assert interrupts >= 1
    assert driver.expect("wrong") == "0 []"
    driver.expect("end")
    driver.finish()
