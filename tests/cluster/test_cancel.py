"""Cancel: queued, running, nested, with force, and hundreds at random (F27)."""

import _thread
import contextlib
import importlib
import os
import random
import select
import signal
import sys
import threading
import time

import cluster_kit as kit
import pytest


def spin(gate, ledger=None, line="began"):
    """Wait for the gate in Python code, so that an interrupt is seen."""
    if ledger is not None:
        ledger.add(line)
    while not gate.is_open():
        time.sleep(0.002)
    return "done"


def test_cancel_of_a_queued_task(ray, gate, ledger):
    blockers = [ray.remote(spin).remote(gate, ledger) for _ in range(2)]
    ledger.await_lines(2)
    queued = [ray.remote(spin).remote(gate, ledger, "queued") for _ in range(10)]
    for ref in queued:
        ray.cancel(ref)
    with kit.no_hang():
        for ref in queued:
            with pytest.raises(ray.exceptions.TaskCancelledError):
                ray.get(ref)
        gate.open()
        assert ray.get(blockers) == ["done"] * 2
    assert "queued" not in ledger.lines()


def test_cancel_of_a_function_in_c(ray):
    from nbray.util.state import list_tasks

    ref = ray.remote(time.sleep).options(name="in C").remote(3600)
    with kit.no_hang():
        kit.eventually(lambda: list_tasks(filters=[("name", "=", "in C"), ("state", "=", "RUNNING")]))
        ray.cancel(ref)
        with pytest.raises(ray.exceptions.TaskCancelledError):
            ray.get(ref)


def test_cancel_of_a_running_task(ray, gate, ledger):
    for number in range(kit.scaled(10)):
        ref = ray.remote(spin).remote(gate, ledger)
        ledger.await_lines(number + 1)
        ray.cancel(ref)
        with kit.no_hang():
            with pytest.raises(ray.exceptions.TaskCancelledError):
                ray.get(ref)


def test_the_worker_of_a_cancelled_task_lives_on(ray, gate, ledger):
    @ray.remote(num_cpus=2)
    def pid():
        return os.getpid()

    before = ray.get(pid.remote())
    ref = ray.remote(spin).options(num_cpus=2).remote(gate, ledger)
    ledger.await_lines(1)
    ray.cancel(ref)
    with kit.no_hang():
        with pytest.raises(ray.exceptions.TaskCancelledError):
            ray.get(ref)
        assert ray.get(pid.remote()) == before


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGUSR1])
def test_a_handler_that_a_task_leaves_behind_keeps_no_other_from_being_cancelled(ray, gate, ledger, signo):
    """As libraries set them: PySpark's context has one for SIGINT."""

    @ray.remote(num_cpus=2)
    def leaves():
        signal.signal(signo, signal.SIG_IGN)
        return os.getpid()

    @ray.remote(num_cpus=2)
    def spins():
        ledger.add(os.getpid())
        return spin(gate)

    for recursive in (True, False):
        worker = ray.get(leaves.remote())
        ref = spins.remote()
        assert ledger.await_lines(2 - recursive)[-1] == str(worker)
        ray.cancel(ref, recursive=recursive)
        with kit.no_hang():
            with pytest.raises(ray.exceptions.TaskCancelledError):
                ray.get(ref)


def test_force_kills_the_worker(ray, ledger):
    @ray.remote(max_retries=3)
    def stubborn():
        ledger.add(os.getpid())
        while True:
            try:
                time.sleep(60)
            except BaseException:
                continue

    for number in range(kit.scaled(5)):
        ref = stubborn.remote()
        lines = ledger.await_lines(number + 1)
        ray.cancel(ref, force=True)
        with kit.no_hang():
            with pytest.raises((ray.exceptions.TaskCancelledError, ray.exceptions.WorkerCrashedError)):
                ray.get(ref)
        kit.eventually(lambda pid=int(lines[-1]): not kit.start_time(pid), "its worker is dead")
    assert len(ledger.lines()) == kit.scaled(5), "a cancelled task is not retried"


def test_cancel_of_nested_tasks(ray, gate, ledger):
    @ray.remote
    def leaf():
        return spin(gate, ledger, "leaf")

    @ray.remote
    def middle():
        return ray.get([leaf.remote()])

    @ray.remote
    def top():
        return ray.get([middle.remote(), leaf.remote()])

    for number in range(kit.scaled(3)):
        ref = top.remote()
        ledger.await_lines(2 * number + 2)
        ray.cancel(ref)
        with kit.no_hang():
            with pytest.raises(ray.exceptions.TaskCancelledError):
                ray.get(ref)
            kit.eventually(kit.is_idle, "the whole tree has ended", kit.RECOVERY_S)


def test_cancel_of_what_waits_for_arguments(ray, gate, ledger):
    slow = ray.remote(spin).remote(gate, ledger)

    @ray.remote
    def after(value):
        ledger.add("after")
        return value

    refs = [after.remote(slow) for _ in range(5)]
    later = after.remote(refs[0])
    for ref in refs:
        ray.cancel(ref)
    with kit.no_hang():
        for ref in refs:
            with pytest.raises(ray.exceptions.TaskCancelledError):
                ray.get(ref)
        with pytest.raises(ray.exceptions.TaskCancelledError):
            ray.get(later)
        gate.open()
        assert ray.get(slow) == "done"
    assert "after" not in ledger.lines()


def test_cancel_of_what_is_done_does_nothing(ray):
    ref = ray.remote(lambda: 5).remote()
    assert ray.get(ref) == 5
    ray.cancel(ref)
    ray.cancel(ref, force=True)
    assert ray.get(ref) == 5


def test_cancel_of_actor_calls(ray, gate, ledger):
    @ray.remote
    class Actor:
        def block(self):
            return spin(gate, ledger)

        def quick(self, i):
            ledger.add(f"quick {i}")
            return i

    actor = Actor.remote()
    running = actor.block.remote()
    ledger.await_lines(1)
    queued = [actor.quick.remote(i) for i in range(10)]
    for ref in queued[::2]:
        ray.cancel(ref)
    gate.open()
    with kit.no_hang():
        assert ray.get(running) == "done"
        for i, ref in enumerate(queued):
            if i % 2:
                assert ray.get(ref) == i
            else:
                with pytest.raises(ray.exceptions.TaskCancelledError):
                    ray.get(ref)
    assert [line for line in ledger.lines() if line != "began"] == [f"quick {i}" for i in range(1, 10, 2)]


def test_random_cancels(ray):
    """Whatever is hit: the right value, or TaskCancelledError; nothing hangs, nothing leaks."""
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)

    @ray.remote
    def work(i, seconds, payload):
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass
        return i, payload

    @ray.remote
    def nested(i):
        return i, sum(value[0] for value in ray.get([work.remote(j, 0.002, b"") for j in range(4)]))

    @ray.remote
    def fails(i, *refs):
        raise ValueError(i)

    right, cancelled, crashed = 0, 0, 0
    for _ in range(kit.scaled(6)):
        refs = {}
        for i in range(50):
            kind = dice.random()
            if kind < 0.5:
                payload = bytes(dice.choice([0, 100, 50_000]))
                refs[work.remote(i, dice.choice([0, 0.001, 0.01, 0.1]), payload)] = (i, payload)
            elif kind < 0.7:
                refs[nested.remote(i)] = (i, 6)
            elif kind < 0.85 and refs:
                refs[fails.remote(i, *dice.sample(list(refs), 1))] = ValueError
            else:
                refs[work.remote(i, 0, ray.put(bytes(40_000)))] = (i, bytes(40_000))
        for ref in dice.sample(list(refs), 25):
            ray.cancel(ref, force=dice.random() < 0.3)
            if dice.random() < 0.3:
                time.sleep(dice.uniform(0, 0.01))
        with kit.no_hang():
            for ref, wanted in refs.items():
                try:
                    assert ray.get(ref) == wanted
                    right += 1
                except ray.exceptions.TaskCancelledError:
                    cancelled += 1
                except ray.exceptions.WorkerCrashedError:
                    crashed += 1
                except ValueError:
                    assert wanted is ValueError
        del refs, ref
    print(right, "right", cancelled, "cancelled", crashed, "crashed")
    assert cancelled >= 5


def test_thousands_queued_then_random_cancels(ray, gate, ledger):
    """5,000 wait behind two blockers; every second one is cancelled; the others all run, and only they."""
    count = kit.scaled(5000, 100_000)
    blockers = [ray.remote(spin).remote(gate, ledger) for _ in range(2)]
    ledger.await_lines(2)
    f = ray.remote(lambda i: i)
    refs = [f.remote(i) for i in range(count)]
    order = list(range(0, count, 2))
    random.Random(1).shuffle(order)
    start = time.monotonic()
    for i in order:
        ray.cancel(refs[i])
    print(f"{len(order)} cancels in {time.monotonic() - start:.2f} s")
    gate.open()
    with kit.no_hang():
        assert ray.get(refs[1::2]) == list(range(1, count, 2))
        for ref in refs[::2]:
            with pytest.raises(ray.exceptions.TaskCancelledError):
                ray.get(ref)
        assert ray.get(blockers) == ["done"] * 2


def test_a_cancelled_task_does_not_cancel_its_successor(ray, ledger):
    """The signal is meant for one task: those that run after it on the same worker never see it."""

    @ray.remote
    def brief(i):
        end = time.perf_counter() + 0.0005
        while time.perf_counter() < end:
            pass
        return i

    wrong = 0
    for number in range(kit.scaled(100)):
        refs = [brief.remote(i) for i in range(6)]
        target = number % 6
        time.sleep(random.random() * 0.002)
        ray.cancel(refs[target])
        with kit.no_hang():
            for i, ref in enumerate(refs):
                try:
                    assert ray.get(ref) == i
                except ray.exceptions.TaskCancelledError:
                    wrong += i != target
    assert wrong == 0


def test_cancel_while_a_worker_submits(ray, ledger):
    """The interrupt hits a worker that is inside the runtime: it stays usable, nothing leaks."""

    @ray.remote
    def leaf(i):
        return i

    @ray.remote
    def busy():
        ledger.add(os.getpid())
        while True:
            assert ray.get([leaf.remote(i) for i in range(10)]) == list(range(10))
            ray.get(ray.put(bytes(50_000)))

    @ray.remote
    def check():
        return ray.get([leaf.remote(i) for i in range(20)])

    dice = random.Random(7)
    for number in range(kit.scaled(15)):
        ref = busy.remote()
        ledger.await_lines(number + 1)
        time.sleep(dice.uniform(0, 0.02))
        ray.cancel(ref)
        with kit.no_hang(what=f"round {number}"):
            with pytest.raises(ray.exceptions.TaskCancelledError):
                ray.get(ref)
    with kit.no_hang():
        assert ray.get([check.remote() for _ in range(4)]) == [list(range(20))] * 4


def test_sigint_to_a_worker_means_nothing(ray, gate, ledger):
    """Only the owner's cancel interrupts a task, not a stray signal."""
    ref = ray.remote(spin).remote(gate, ledger, "pid")
    ledger.await_lines(1)
    for pid in kit.children(kit.zygote_pid()):
        with contextlib.suppress(ProcessLookupError):  # an idle one that has just ended
            os.kill(pid, signal.SIGINT)
    time.sleep(0.05)
    gate.open()
    with kit.no_hang():
        assert ray.get(ref) == "done"


def test_cancel_while_the_arguments_are_read(ray, ledger):
    """The signal comes before the function has begun; the function must not begin then."""

    class Slow:
        def __init__(self, ledger):
            self.ledger = ledger

        def __reduce__(self):
            return rebuild, (self.ledger,)

    def rebuild(ledger):
        """Take until a signal has come, however long its sender has no processor."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        before = signal.set_wakeup_fd(writer)
        try:
            ledger.add("reading")
            assert select.select([reader], [], [], kit.PATIENCE_S)[0], "no signal"
        finally:
            signal.set_wakeup_fd(before)
            os.close(reader)
            os.close(writer)
        return 5

    @ray.remote
    def task(value):
        ledger.add("began")
        while True:
            time.sleep(0.002)

    for number in range(3):
        ref = task.remote(Slow(ledger))
        ledger.await_lines(number + 1)
        ray.cancel(ref)
        with kit.no_hang():
            with pytest.raises(ray.exceptions.TaskCancelledError):
                ray.get(ref)
    assert "began" not in ledger.lines()


def test_cancel_in_the_middle_of_an_import(ray, ledger, gate, tmp_path):
    """Half a C extension cannot be loaded again: the worker is replaced."""
    (tmp_path / "takes_long.py").write_text(
        "import os, time\ndef wait(path):\n    while not os.path.exists(path):\n        time.sleep(0.002)\n"
        f"os.write(os.open({ledger.path!r}, os.O_WRONLY | os.O_APPEND), b'%d\\n' % os.getpid())\nwait({gate.path!r})\n"
    )

    @ray.remote(num_cpus=2)
    def task():
        sys.path.insert(0, str(tmp_path))
        import takes_long

        return takes_long.__name__, os.getpid()

    ref = task.remote()
    pid = int(ledger.await_lines(1)[0])
    ray.cancel(ref)
    with kit.no_hang():
        with pytest.raises(ray.exceptions.TaskCancelledError):
            ray.get(ref)
        gate.open()
        name, other = ray.get(task.remote())
    assert name == "takes_long" and other != pid
    kit.eventually(lambda: not kit.start_time(pid), "the worker has left")


def test_a_cut_import_that_the_task_survives(ray, ledger, gate, tmp_path):
    """The worker is replaced also when the task has caught the interrupt."""
    (tmp_path / "takes_longer.py").write_text(
        "import os, time\ndef wait(path):\n    while not os.path.exists(path):\n        time.sleep(0.002)\n"
        f"os.write(os.open({ledger.path!r}, os.O_WRONLY | os.O_APPEND), b'%d\\n' % os.getpid())\nwait({gate.path!r})\n"
    )

    @ray.remote(num_cpus=2)
    def task(catches):
        sys.path.insert(0, str(tmp_path))
        try:
            importlib.import_module("takes_longer")
        except KeyboardInterrupt:
            if catches == "other":
                raise OSError("it was stopped") from None
        return os.getpid()

    for catches in ("all", "other"):
        count = len(ledger.lines())
        ref = task.remote(catches)
        pid = int(ledger.await_lines(count + 1)[-1])
        ray.cancel(ref)
        with kit.no_hang():
            if catches == "all":
                assert ray.get(ref) == pid
            else:
                with pytest.raises(ray.exceptions.TaskCancelledError):
                    ray.get(ref)
            kit.eventually(lambda pid=pid: not kit.start_time(pid), "the worker has left")
    gate.open()
    with kit.no_hang():
        assert ray.get(task.remote("nothing")) != pid


def test_a_task_that_interrupts_itself(ray):
    """What a task sends to its own process is no stray signal; a child that it forks is not interrupted by us either."""

    @ray.remote(num_cpus=2)
    def caught(how):
        try:
            how()
            while True:
                time.sleep(0.002)
        except KeyboardInterrupt:
            return os.getpid()

    @ray.remote(num_cpus=2)
    def raises():
        signal.raise_signal(signal.SIGINT)

    @ray.remote(num_cpus=2)
    def of_a_child():
        ready, say = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(say, b"x")
                while True:
                    time.sleep(0.002)
            except KeyboardInterrupt:
                os._exit(7)
        os.read(ready, 1)
        os.kill(child, signal.SIGINT)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def from_a_thread():
        threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()

    ways = [lambda: signal.raise_signal(signal.SIGINT), _thread.interrupt_main, from_a_thread]
    with kit.no_hang():
        assert len({ray.get(caught.remote(way)) for way in ways}) == 1  # it is the same worker
        with pytest.raises(KeyboardInterrupt):
            ray.get(raises.remote())
        assert ray.get(of_a_child.remote()) == 7


def test_cancel_at_the_end_of_tasks(ray, ledger):
    """The signal comes when the function has just returned or raised: the worker survives it."""

    @ray.remote
    def pid():
        return os.getpid()

    @ray.remote
    def brief(fails):
        if fails:
            raise ValueError("mine")
        return 1

    ray.get([pid.remote() for _ in range(10)])

    def no_more_than_are_kept():  # idle workers beyond that end by themselves
        pids = set(kit.children(kit.zygote_pid()))
        return len(pids) == 2 and pids == set(kit.workers()) and pids

    pids = kit.eventually(no_more_than_are_kept, "two workers")
    dice = random.Random(9)
    for number in range(kit.scaled(300)):
        ref = brief.remote(number % 2)
        end = time.perf_counter() + dice.uniform(0, 0.0003)
        while time.perf_counter() < end:
            pass
        ray.cancel(ref)
        with kit.no_hang():
            try:
                assert ray.get(ref) == 1
            except (ray.exceptions.TaskCancelledError, ValueError):
                pass
    assert set(kit.children(kit.zygote_pid())) == pids


def test_a_cancel_that_comes_late_leaves_what_was_begun_after_it(ray, gate):
    """Of a call that cleans up after itself: its children are looked for when it has begun new ones."""

    @ray.remote(num_cpus=0)
    def wait_for(gate):
        return spin(gate)

    @ray.remote(num_cpus=0)
    def tidy():
        return "tidied"

    @ray.remote
    class Actor:
        async def clean_up(self, gate):
            core = importlib.import_module("nbray.api.runtime").require_core()
            early = wait_for.remote(gate)
            [record] = core.open_records()
            with core.lock:  # nobody looks for children meanwhile
                core.cancel_later(record.parent)
                late = tidy.remote()
            with pytest.raises(ray.exceptions.TaskCancelledError):
                await early
            return await late

    with kit.no_hang():
        assert ray.get(Actor.remote().clean_up.remote(gate)) == "tidied"
