"""Drivers and daemons that die: everything of the cluster goes with them, and nothing stays."""

import contextlib
import glob
import os
import random
import signal
import time

import cluster_kit as kit
import pytest

from nbray.session_layout import LOGS, OWNER_FILE, RUN, SPILLED

BUSY = """
import numpy, random
ray.init(num_cpus=2, object_store_memory=64 * 2**20)
say("pid", ray.nodes()[0]["pid"])

@ray.remote
def work(i):
    time.sleep(0.002)
    return numpy.full(10_000, i)

@ray.remote
def nested(n):
    return sum(float(value[0]) for value in ray.get([work.remote(i) for i in range(n)]))

@ray.remote
class Counter:
    def __init__(self):
        self.n = 0
    def add(self, ref):
        self.n += 1
        return self.n

counter = Counter.options(name="counter").remote()
ray.get([counter.add.remote([ray.put(1)]), nested.remote(2)])
say("ready")
kept = []
while True:
    refs = [work.remote(i) for i in range(30)] + [nested.remote(3)]
    kept.append(ray.put(numpy.ones(20_000)))
    del kept[:-20]
    refs += [counter.add.remote([kept[-1]])]
    ray.wait(refs, num_returns=5)
    ray.get(refs)
"""


SPILLING = BUSY.replace('say("ready")', 'large = [ray.put(numpy.ones(2_000_000)) for _ in range(6)]\nsay("ready")')


def nothing_left(driver, segment, what=""):
    """Fail unless every process of the driver's cluster is gone in time, and its memory with them."""
    kit.eventually(lambda: not driver.family(), f"all processes are gone {what}", kit.RECOVERY_S)
    # The kernel takes a dying process's environment, by which the family is known, before its descriptors.
    kit.eventually(lambda: kit.who_maps(segment) == [], f"nothing holds the segment {what}", kit.RECOVERY_S)


def only_logs(session):
    """Tell whether a session folder holds nothing but logs."""
    return not os.path.exists(session) or (
        os.listdir(session) == [LOGS] and not os.path.exists(os.path.join(session, RUN))
    )


def spilled(session):
    """Return the paths of a session's spill files."""
    return glob.glob(os.path.join(session, SPILLED, "*"))


def test_the_driver_is_killed_at_a_random_moment(start_driver):
    """F20. The moments include those while it starts."""
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    for number in range(kit.full_length(4, 60)):
        driver = start_driver(BUSY)
        daemon = int(driver.expect("pid"))
        segment = kit.segment_of(daemon)
        assert segment
        if number % 2:
            driver.expect("ready")
            time.sleep(dice.uniform(0, 0.3))
        driver.kill()
        nothing_left(driver, segment, f"round {number}")
        (session,) = driver.sessions()
        kit.eventually(lambda session=session: only_logs(session), "only logs are left", kit.RECOVERY_S)
        driver.close()


@pytest.mark.limit(kit.full_length(60, 300))
def test_the_driver_is_killed_while_it_starts(start_driver):
    dice = random.Random(5)
    for number in range(kit.full_length(4, 40)):
        driver = start_driver("say('go')\n" + BUSY)
        driver.expect("go")
        time.sleep(dice.uniform(0.02, 0.25))
        driver.kill()
        kit.eventually(lambda d=driver: not d.family(), f"all processes are gone, round {number}", kit.RECOVERY_S)
        driver.close()


@pytest.mark.limit(kit.full_length(60, 1200))
def test_all_processes_are_killed_at_once(start_driver):
    """S20. The memory is free, so is what was spilled, and the next init removes what the session left on disk."""
    worst = 0.0
    for number in range(kit.full_length(2, 100)):
        driver = start_driver(SPILLING)
        daemon = int(driver.expect("pid"))
        driver.expect("ready")
        segment = kit.segment_of(daemon)
        (old,) = driver.sessions()
        assert any(map(kit.size_of, spilled(old)))
        os.kill(daemon, signal.SIGSTOP)  # at once: it must not see the driver's death before its own
        victims = [driver.pid, *driver.family()]
        assert len(victims) >= 5  # driver, daemon, zygote, two workers
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):  # the kernel was quicker
                os.kill(pid, signal.SIGKILL)
        driver.process.wait()
        nothing_left(driver, segment, f"round {number}")
        assert os.path.exists(os.path.join(old, OWNER_FILE))
        assert os.listdir(os.path.dirname(old)) == [os.path.basename(old)]
        assert os.listdir(old) == [LOGS]
        assert not any(os.path.exists(path) for path in spilled(old))  # links to what is gone
        successor = start_driver(
            "start = time.monotonic()\nray.init(num_cpus=1, object_store_memory=32 * 2**20)\n"
            "say('took', time.monotonic() - start)\nray.get(ray.remote(lambda: 1).remote())\nray.shutdown()\n",
            base=driver.base,
        )
        worst = max(worst, float(successor.expect("took")))
        assert worst < 30.0
        successor.finish()
        assert not os.path.exists(old)
        driver.close()
    print(f"slowest init afterwards {worst:.2f} s")


def test_a_clean_end_leaves_only_logs(start_driver):
    for end in ("ray.shutdown()", "pass", "sys.exit(0)"):
        driver = start_driver(
            "ray.init(num_cpus=2, object_store_memory=32 * 2**20)\n"
            "ray.get(ray.remote(lambda: 1).remote())\nsay('pid', ray.nodes()[0]['pid'])\n" + end
        )
        segment = kit.segment_of(int(driver.expect("pid")))
        driver.finish()
        kit.eventually(lambda: not driver.family(), f"all processes are gone {end}", kit.RECOVERY_S)  # noqa: B023
        if segment:
            nothing_left(driver, segment, end)
        assert all(only_logs(session) for session in driver.sessions())


def test_an_exception_ends_everything(start_driver):
    driver = start_driver("ray.init(num_cpus=1)\nray.get(ray.remote(lambda: 1).remote())\nraise ValueError('mine')\n")
    driver.process.wait(kit.PATIENCE_S)
    kit.eventually(lambda: not driver.family(), "all processes are gone", kit.RECOVERY_S)


PENDING = """
ray.init(num_cpus=2, object_store_memory=64 * 2**20)
pid = ray.nodes()[0]["pid"]

@ray.remote
def sleep():
    time.sleep(60)

@ray.remote
class Actor:
    def sleep(self):
        time.sleep(60)
    def lend(self):
        return [sleep.remote()]

actor, lender = Actor.remote(), Actor.remote()
(borrowed,) = ray.get(lender.lend.remote())
refs = [sleep.remote() for _ in range(4)] + [actor.sleep.remote()]
after = sleep.options(max_retries=0).remote
kept = ray.put(bytes(100_000))
time.sleep(0.3)
calls = {
    "get": lambda: ray.get(refs[0]),
    "get actor": lambda: ray.get(refs[-1]),
    "get many": lambda: ray.get(refs),
    "get borrowed": lambda: ray.get(borrowed),
    "future": lambda: refs[0].future().result(),
    "future borrowed": lambda: borrowed.future().result(),
    "wait": lambda: (ray.wait(refs, num_returns=5), ray.get(refs)),
    "submit": lambda: [ray.get(sleep.remote()) for _ in range(100)],
    "new actor": lambda: ray.get(Actor.options(name="x").remote().sleep.remote()),
    "state": lambda: again(ray.nodes),
    "named actor": lambda: again(lambda: Actor.options(name="x", get_if_exists=True).remote()),
    "get_actor": lambda: again(lambda: ray.get_actor("nobody")),
}

def again(call):
    while True:
        try:
            call()
        except ValueError:
            continue

say("pid", pid)
hear()
start = time.monotonic()
try:
    calls[sys.argv[1]]()
    say("error nothing raised")
except BaseException as error:
    say("error", type(error).__name__, str(error)[:200].replace("\\n", " "))
say("took", time.monotonic() - start)
assert ray.get(kept) == bytes(100_000)
start = time.monotonic()
ray.shutdown()
say("down", time.monotonic() - start)
ray.init(num_cpus=2, object_store_memory=64 * 2**20)
assert ray.get([ray.remote(lambda x: x).remote(i) for i in range(10)]) == list(range(10))
ray.shutdown()
say("again")
"""


@pytest.mark.parametrize(
    "call",
    [
        "get", "get actor", "get many", "get borrowed", "future", "future borrowed", "wait", "submit", "new actor", "state",
        "get_actor", "named actor",
    ],
)  # fmt: skip
def test_the_daemon_is_killed(start_driver, call):
    """What waits ends with ClusterGoneError (a RaySystemError); shutdown and init work after that."""
    driver = start_driver(PENDING, call)
    daemon = int(driver.expect("pid"))
    first = driver.family()
    assert daemon in first
    driver.tell("go")
    time.sleep(random.uniform(0, 0.1))
    os.kill(daemon, signal.SIGKILL)
    error = driver.expect("error")
    assert error.startswith("ClusterGoneError"), error
    assert float(driver.expect("took")) < kit.PATIENCE_S
    assert float(driver.expect("down")) < 30
    # The kernel ends those whose parent it has killed, in its own time.
    kit.eventually(lambda: not any(map(kit.start_time, first)), "they went with the daemon", kit.RECOVERY_S)
    driver.expect("again")
    driver.finish()


def test_tasks_of_a_dead_daemon_end(start_driver):
    """The workers die with it, so that nobody goes on in the background."""
    driver = start_driver(PENDING, "get")
    daemon = int(driver.expect("pid"))
    kit.eventually(lambda: len(driver.family()) >= 5, "zygote, two workers and an actor beside the daemon")
    workers = [pid for pid in driver.family() if pid != daemon]
    os.kill(daemon, signal.SIGKILL)
    kit.eventually(lambda: not any(map(kit.start_time, workers)), "the workers are gone", kit.RECOVERY_S)
    driver.tell("go")
    assert driver.expect("error").startswith("ClusterGoneError")


def test_the_daemon_is_stopped_for_a_while(start_driver):
    """A daemon that gets no CPU time is not dead: all goes on when it continues."""
    driver = start_driver(
        """
        ray.init(num_cpus=2, object_store_memory=64 * 2**20)
        f = ray.remote(lambda i: i)
        ray.get([f.remote(i) for i in range(10)])
        say("pid", ray.nodes()[0]["pid"])
        hear()
        assert ray.get([f.remote(i) for i in range(100)]) == list(range(100))
        assert ray.get([f.options(num_cpus=0.5).remote(i) for i in range(100)]) == list(range(100))
        say("done")
        ray.shutdown()
        """
    )
    daemon = int(driver.expect("pid"))
    os.kill(daemon, signal.SIGSTOP)
    driver.tell("go")
    time.sleep(1.5)
    os.kill(daemon, signal.SIGCONT)
    driver.expect("done")
    driver.finish()


def test_two_clusters_do_not_disturb_each_other(start_driver):
    """J4. One driver is killed; the other loses nothing."""
    one = start_driver(BUSY)
    daemon = int(one.expect("pid"))
    other = start_driver(
        """
        ray.init(num_cpus=1, object_store_memory=32 * 2**20)
        f = ray.remote(lambda i: i)
        say("ready")
        hear()
        assert ray.get([f.remote(i) for i in range(2000)]) == list(range(2000))
        say("done")
        """,
        base=one.base,
    )
    other.expect("ready")
    one.expect("ready")
    segment = kit.segment_of(daemon)
    other.tell("go")
    one.kill()
    nothing_left(one, segment)
    other.expect("done")
    other.finish()
