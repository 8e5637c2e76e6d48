"""Workers that die while they run tasks: retried, or told with all that is known."""

import contextlib
import faulthandler
import os
import random
import signal
import sys
import threading
import time

import cluster_kit as kit
import pytest

SIGNALS = ["SIGKILL", "SIGSEGV", "SIGTERM", "SIGABRT"]


def die(how):
    """End this process in a way that no handler of Python's can stop."""
    faulthandler.disable()
    if how.startswith("SIG"):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), getattr(signal, how))
        time.sleep(60)
    os._exit(int(how))


@pytest.mark.parametrize("how", [*SIGNALS, "0", "1", "77"])
def test_a_death_without_retries_is_told(ray, how):
    @ray.remote(max_retries=0)
    def victim():
        print("the last words", flush=True)
        die(how)

    with kit.no_hang():
        with pytest.raises(ray.exceptions.WorkerCrashedError) as caught:
            ray.get(victim.remote())
    error = caught.value
    assert error.pid > 0
    assert not kit.start_time(error.pid)
    assert "victim" in str(error)
    assert "the last words" in error.log_tail
    if how.startswith("SIG"):
        assert error.signal_name == how
        assert how in str(error)
    else:
        assert error.exit_code == int(how)
        assert f"code {how}" in str(error)


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV", "3"])
def test_a_death_is_made_good_by_retries(ray, ledger, how):
    @ray.remote(max_retries=2)
    def unlucky(deaths):
        ledger.add(os.getpid())
        if len(ledger.lines()) <= deaths:
            die(how)
        return "done"

    with kit.no_hang():
        assert ray.get(unlucky.remote(2)) == "done"
    pids = ledger.lines()
    assert len(pids) == len(set(pids)) == 3


def test_the_retries_are_counted(ray, ledger):
    @ray.remote(max_retries=1)
    def hopeless():
        ledger.add(os.getpid())
        die("SIGKILL")

    with kit.no_hang():
        with pytest.raises(ray.exceptions.WorkerCrashedError):
            ray.get(hopeless.remote())
    assert len(ledger.lines()) == 2


def test_sys_exit_ends_the_task_and_not_the_worker(ray):
    @ray.remote(num_cpus=2)
    def pid():
        return os.getpid()

    @ray.remote(num_cpus=2)
    def leave(code):
        sys.exit(code)

    before = ray.get(pid.remote())
    for code in (0, 1, "a sentence"):
        with kit.no_hang():
            with pytest.raises(ray.exceptions.RayTaskError) as caught:
                ray.get(leave.remote(code))
        assert isinstance(caught.value.cause, SystemExit)
    assert ray.get(pid.remote()) == before


def test_tasks_behind_a_dying_one_lose_no_retry(ray):
    """What was sent ahead into the dead worker's lane never began: it runs elsewhere, also without retries."""

    @ray.remote(max_retries=0)
    def quick(i):
        return i

    @ray.remote(max_retries=0)
    def dying():
        die("SIGKILL")

    ray.get([quick.remote(i) for i in range(50)])  # short, so that many are sent ahead
    for _ in range(kit.scaled(5)):
        refs, deaths = [], []
        for i in range(60):
            refs.append(quick.remote(i))
            if i % 20 == 10:
                deaths.append(dying.remote())
        with kit.no_hang():
            for ref in deaths:
                with pytest.raises(ray.exceptions.WorkerCrashedError):
                    ray.get(ref)
            assert ray.get(refs) == list(range(60))


def test_a_task_that_an_idle_worker_died_with_has_not_begun(fresh):
    """It was sent before anybody knew of the death: it runs elsewhere, also without retries."""
    ray = fresh
    ray.init(num_cpus=1)

    @ray.remote(max_retries=0)
    def pid():
        return os.getpid()

    for _ in range(3):
        idle = ray.get(pid.remote())
        os.kill(idle, signal.SIGSTOP)  # it takes nothing any more
        ref = pid.remote()
        os.kill(idle, signal.SIGKILL)
        with kit.no_hang():
            assert ray.get(ref) != idle


def test_several_values_of_a_dead_task(ray):
    @ray.remote(max_retries=0, num_returns=3)
    def dying():
        die("SIGKILL")

    with kit.no_hang():
        for ref in dying.remote():
            with pytest.raises(ray.exceptions.WorkerCrashedError):
                ray.get(ref)


def test_what_depends_on_a_dead_task_fails_with_it(ray):
    @ray.remote(max_retries=0)
    def dying():
        die("SIGKILL")

    @ray.remote
    def after(value):
        return value

    with kit.no_hang():
        with pytest.raises(ray.exceptions.WorkerCrashedError):
            ray.get(after.remote(after.remote(dying.remote())))


@pytest.mark.limit(kit.full_length(60, 600))
def test_suicide_loop(ray):
    """F2: Dask once hung at round 426 of this."""

    @ray.remote(max_retries=0)
    def suicide():
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)

    for number in range(kit.full_length(60, 2000)):
        with kit.no_hang(what=f"round {number}"):
            with pytest.raises(ray.exceptions.WorkerCrashedError) as caught:
                ray.get(suicide.remote())
        assert caught.value.signal_name == "SIGKILL", str(caught.value)


class Killer:
    """A thread that SIGKILLs a random worker every ``period_s`` until told to stop.

    With ``progress``, a number, only when that has grown: on a busy machine nothing might ever end between two kills.
    """

    def __init__(self, period_s, seed, progress=None):
        self.period_s = period_s
        self.progress = progress
        self.random = random.Random(seed)
        self.killed = 0
        self.zygote = kit.zygote_pid()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        self._thread.join()

    def _run(self):
        seen = -1
        while not self._stop.wait(self.period_s):
            if self.progress is not None:
                now = self.progress()
                if now <= seen:
                    continue
                seen = now
            victims = kit.children(self.zygote)
            if victims:
                try:
                    os.kill(self.random.choice(victims), signal.SIGKILL)
                except ProcessLookupError:
                    continue
                self.killed += 1


@pytest.mark.limit(kit.full_length(60, 1200))
def test_worker_chaos(ray):
    """F1: a random worker is killed every 100 ms under tasks of 1 to 10 ms; all results are right."""
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)

    @ray.remote(max_retries=-1)
    def work(i, seconds, payload):
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass
        return i * i, payload[::-1]

    count = kit.full_length(1000, 20_000)
    results, open_refs, next_one = {}, {}, 0
    with Killer(0.1, seed, lambda: len(results)) as killer:
        while len(results) < count or killer.killed < 10:  # who kills may have no processor for a while
            while (next_one < count or killer.killed < 10) and len(open_refs) < 200:
                size = dice.choice([10, 10, 10, 1000, 60_000])
                payload = bytes([next_one % 251]) * size
                seconds = dice.uniform(0.001, 0.010)
                open_refs[work.remote(next_one, seconds, payload)] = next_one, payload
                next_one += 1
            with kit.no_hang(what=f"{len(results)} of {count}"):
                done, _ = ray.wait(list(open_refs), num_returns=min(20, len(open_refs)))
                for ref in done:
                    i, payload = open_refs.pop(ref)
                    assert ray.get(ref) == (i * i, payload[::-1])
                    results[i] = True
    print("killed", killer.killed, "workers")
    with kit.no_hang():
        for ref, (i, payload) in open_refs.items():
            assert ray.get(ref) == (i * i, payload[::-1])
            results[i] = True
    assert killer.killed >= 10
    assert sorted(results) == list(range(next_one))


def test_nested_chaos(ray, ledger):
    """Workers that own tasks die as well: their tasks end with them, and what they owned is made again."""
    seed = random.randrange(2**32)
    print("seed", seed)

    @ray.remote(max_retries=-1)
    def leaf(i):
        end = time.perf_counter() + 0.003
        while time.perf_counter() < end:
            pass
        return i

    @ray.remote(max_retries=-1)
    def branch(n):
        found = sum(ray.get([leaf.remote(i) for i in range(n)]))
        ledger.add("branch")
        return found

    with Killer(0.15, seed, lambda: len(ledger.lines())):
        refs = [branch.remote(10) for _ in range(kit.scaled(40))]
        with kit.no_hang():
            assert ray.get(refs) == [45] * len(refs)


def test_a_worker_that_leases_others_dies(ray, gate, ledger):
    """Its leases come back, and the tasks it had submitted do not go on."""

    @ray.remote
    def leaf():
        ledger.add(os.getpid())
        while not gate.is_open():
            time.sleep(0.005)

    @ray.remote(max_retries=0)
    def parent():
        refs = [leaf.remote() for _ in range(2)]
        ledger.add(f"parent {os.getpid()}")
        ray.get(refs)

    ref = parent.remote()
    lines = ledger.await_lines(3)
    parent_pid = next(int(line.split()[1]) for line in lines if line.startswith("parent"))
    leaves = [int(line) for line in lines if not line.startswith("parent")]
    os.kill(parent_pid, signal.SIGKILL)
    with kit.no_hang():
        with pytest.raises(ray.exceptions.WorkerCrashedError):
            ray.get(ref)
        kit.eventually(lambda: not any(map(kit.start_time, leaves)), "the leaves have ended", kit.RECOVERY_S)
    kit.settle()


def test_an_idle_worker_is_killed(ray):
    @ray.remote
    def pid():
        return os.getpid()

    for _ in range(kit.scaled(10)):
        victim = ray.get(pid.remote())
        os.kill(victim, signal.SIGKILL)
        with kit.no_hang():
            assert ray.get(pid.remote()) != victim


def kill_all_workers():
    """At once: nobody hears of the first one's death, and sends its task to the last one, before that is dead, too."""
    daemon, zygote = kit.daemon_pid(), kit.zygote_pid()
    os.kill(daemon, signal.SIGSTOP)
    try:
        for pid in kit.children(zygote):
            with contextlib.suppress(ProcessLookupError):  # one that has just ended by itself
                os.kill(pid, signal.SIGKILL)
    finally:
        os.kill(daemon, signal.SIGCONT)


def test_all_workers_are_killed_at_once(ray):
    @ray.remote(max_retries=1)
    def task(i):
        time.sleep(0.01)
        return i

    for _ in range(3):
        refs = [task.remote(i) for i in range(20)]
        ray.wait(refs, num_returns=2)
        kill_all_workers()
        with kit.no_hang():
            assert ray.get(refs) == list(range(20))


def test_a_zygote_without_a_processor_still_says_how_a_worker_ended(ray, ledger, gate):
    @ray.remote(max_retries=0)
    def victim():
        ledger.add(os.getpid())
        gate.wait()

    zygote, ref = kit.zygote_pid(), victim.remote()
    (pid,) = map(int, ledger.await_lines(1))
    os.kill(zygote, signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        time.sleep(1.0)  # the daemon has long seen its end
    finally:
        os.kill(zygote, signal.SIGCONT)
    with kit.no_hang(), pytest.raises(ray.exceptions.WorkerCrashedError) as caught:
        ray.get(ref)
    assert caught.value.signal_name == "SIGKILL"


def test_the_zygote_is_killed(ray):
    """Its workers die with it; the daemon starts another, and tasks with retries survive."""

    @ray.remote(max_retries=2)
    def task(i):
        time.sleep(0.01)
        return i

    refs = [task.remote(i) for i in range(100)]
    ray.wait(refs, num_returns=5)
    os.kill(kit.zygote_pid(), signal.SIGKILL)
    with kit.no_hang():
        assert ray.get(refs) == list(range(100))


def test_a_killed_worker_leaves_nothing_in_the_store(ray, ledger):
    """Arguments, half-written puts and values that nobody took over."""
    numpy = pytest.importorskip("numpy")

    @ray.remote(max_retries=0)
    def hoarder(array):
        kept = [ray.put(numpy.ones(2**17)) for _ in range(5)]
        ledger.add(len(kept))
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)

    before = kit.used()
    for _ in range(3):
        with kit.no_hang():
            with pytest.raises(ray.exceptions.WorkerCrashedError):
                ray.get(hoarder.remote(numpy.ones(2**17)))
    kit.settle(before)


class Startling(threading.Thread):
    """SIGKILLs each worker as soon as it is forked, until told to stop or so many are dead."""

    def __init__(self, most):
        super().__init__(daemon=True)
        self.zygote = kit.zygote_pid()
        self.most = most
        self.killed = set()
        self.stop = threading.Event()

    def run(self):
        with contextlib.suppress(OSError):  # root may: so it is quicker than a worker on a busy machine, too
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_RR, os.sched_param(1))
        while not self.stop.is_set() and len(self.killed) < self.most:
            for pid in kit.children(self.zygote):
                if pid not in self.killed:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    self.killed.add(pid)


@pytest.mark.parametrize("deaths", [1, 3, 4, 7])
def test_workers_die_while_they_start(ray, deaths):
    """Also when the daemon gives up for a moment: the tasks that wait get their workers later."""

    @ray.remote(max_retries=-1)
    def task(i):
        return i

    kill_all_workers()
    killer = Startling(deaths)
    killer.start()
    refs = [task.remote(i) for i in range(5)]
    with kit.no_hang():
        assert ray.get(refs) == list(range(5))
    killer.stop.set()
    killer.join()


def test_workers_of_an_actor_die_while_they_start(ray):
    """It gets one later, as tasks do."""

    @ray.remote(max_restarts=-1, max_task_retries=-1)
    class Actor:
        def call(self):
            return 1

    kill_all_workers()
    killer = Startling(7)
    killer.start()
    actor = Actor.remote()
    with kit.no_hang():
        assert ray.get(actor.call.remote()) == 1
    killer.stop.set()
    killer.join()
    del actor


def test_workers_that_never_start(ray):
    """No hang, but an error that says so; and the cluster works again when they do start."""

    @ray.remote(max_retries=3)
    def task(i):
        return i

    kill_all_workers()
    killer = Startling(10**9)
    killer.start()
    told = ""
    try:
        with kit.no_hang():
            while not told:
                try:
                    ray.get(task.remote(1))  # the killer had no processor for a moment, and one did start
                except ray.exceptions.RayError as error:
                    told = str(error)
    finally:
        killer.stop.set()
        killer.join()
    assert "worker" in told
    with kit.no_hang():
        assert ray.get([task.remote(i) for i in range(5)]) == list(range(5))


def kill_zygotes(count):
    """SIGKILL each as soon as it is there."""
    daemon, dead = kit.daemon_pid(), set()
    for _ in range(count):
        (zygote,) = kit.eventually(lambda: set(kit.children(daemon)) - dead, "a new zygote")
        os.kill(zygote, signal.SIGSTOP)  # it forks no more
        kit.eventually(lambda zygote=zygote: kit.is_stopped(zygote), "it stands still")
        dead.update([zygote, *kit.children(zygote)])  # which become the daemon's children, and die in their own time
        os.kill(zygote, signal.SIGKILL)
    return daemon


def test_zygotes_that_die_now_and_then_do_not_end_the_node(fresh):
    """Only several in a row that die soon after their start say that none can live."""
    fresh.init(num_cpus=1, _system_config={"zygote_deaths": 2, "zygote_settled_s": 1e-9})
    kill_zygotes(4)
    with kit.no_hang():
        assert fresh.get(fresh.remote(lambda: 1).remote()) == 1


def test_a_node_ends_whose_zygotes_die_one_after_the_other(fresh):
    fresh.init(num_cpus=1, _system_config={"zygote_deaths": 2, "zygote_settled_s": 1e3})
    daemon = kill_zygotes(3)
    kit.eventually(lambda: not kit.start_time(daemon), "the node has ended")
    with kit.no_hang(), pytest.raises(fresh.exceptions.RaySystemError, match="the zygote keeps dying"):
        fresh.get(fresh.remote(lambda: 1).remote())
