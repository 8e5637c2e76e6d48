"""What C code and child processes of tasks and actors write to descriptors 1 and 2 is shown in the driver, once each."""

import os
import signal
import subprocess
import sys
import threading
import time

import cluster_kit as kit
import pytest

from nbray import ids
from nbray.core import core_worker, current, output
from nbray.util import state

COUNT = 200


class Shown:
    """What the driver was given to show."""

    def __init__(self):
        self.pieces = []  # (stream, text, meta)

    def sink(self, origin, kind, content, meta):
        if kind == "stream":
            self.pieces.append((*content, meta))

    def text(self, stream=None):
        return "".join(text for name, text, _ in list(self.pieces) if stream in (None, name))

    def wait_for(self, words):
        kit.eventually(lambda: words in self.text(), f"{words!r} in what is shown")


@pytest.fixture
def shown():
    shown = Shown()
    output.set_sink(shown.sink)
    yield shown
    output.set_sink(None)


def test_words_of_a_child_are_there_before_the_result(ray, shown):
    @ray.remote
    def f():
        print("one")
        subprocess.run("echo two; echo three >&2", shell=True, check=True)
        print("four")
        subprocess.run("echo five", shell=True, check=True)

    ref = f.remote()
    ray.get(ref)
    assert shown.text("stdout") == "one\ntwo\nfour\nfive\n"
    assert shown.text("stderr") == "three\n"
    ((name, pid, task),) = {(meta["name"], meta["pid"], meta["task"]) for _, _, meta in shown.pieces}
    assert name.endswith("f") and pid != os.getpid()
    assert ref.task_id().hex() == ids.task_id(*task, current.core.cluster_id).hex()


@pytest.mark.parametrize("kind", ["task", "actor", "threaded"])
def test_words_of_a_child_are_there_before_the_item_that_follows(ray, shown, kind):
    def items():
        for i in range(5):
            subprocess.run(["echo", f"before item {i}"], check=True)
            yield i

    class Actor:
        def items(self):
            yield from items()

    if kind == "task":
        refs = ray.remote(items).remote()
    else:
        actor = ray.remote(Actor).options(max_concurrency=2 if kind == "threaded" else None).remote()
        refs = actor.items.options(num_returns="streaming").remote()
    for i, ref in enumerate(refs):
        assert ray.get(ref) == i
        assert f"before item {i}\n" in shown.text()


def test_words_of_a_task_that_is_too_short_to_be_looked_at_come_soon(ray, shown):
    @ray.remote
    def f():
        os.write(1, b"quick\n")

    ray.get(f.remote())
    shown.wait_for("quick\n")


def test_words_come_while_the_task_runs_and_when_it_is_over(ray, shown, gate, tmp_path):
    second = kit.Gate(tmp_path / "second")

    @ray.remote
    def f():
        subprocess.run("echo while it runs", shell=True, check=True)
        gate.wait()
        text = f"until test -e {tmp_path / 'second'}; do sleep 0.01; done; echo afterwards"
        return subprocess.Popen(["sh", "-c", text]).pid

    ref = f.remote()
    shown.wait_for("while it runs\n")
    gate.open()
    ray.get(ref)
    assert "afterwards" not in shown.text()
    second.open()
    shown.wait_for("afterwards\n")


def test_nothing_is_shown_twice_or_lost(ray, shown):
    @ray.remote
    def f():
        for i in range(COUNT):
            print(f"own {i}")
            os.write(1 + i % 2, f"other {i}\n".encode())
            if not i % 20:
                subprocess.run(["echo", f"child {i}"], check=True)

    ray.get(f.remote())
    lines = shown.text().splitlines()
    wanted = [f"{who} {i}" for who in ("own", "other") for i in range(COUNT)]
    assert sorted(lines) == sorted(wanted + [f"child {i}" for i in range(0, COUNT, 20)])
    out = [line for line in shown.text("stdout").splitlines() if not line.startswith("child")]
    assert out == [line for i in range(COUNT) for line in ([f"own {i}"] + ([f"other {i}"] if i % 2 == 0 else []))]


@pytest.mark.parametrize("what", ["fork", "multiprocessing"])
def test_what_forked_children_print(ray, shown, what):
    @ray.remote
    def f():
        import multiprocessing

        print("parent")
        if what == "fork":
            if not os.fork():
                print("child")
                print("child's error", file=sys.stderr, flush=True)
                os._exit(0)
            os.wait()
        else:
            process = multiprocessing.get_context("fork").Process(target=print, args=("child",), kwargs={"flush": True})
            process.start()
            process.join()
        print("parent again")

    ray.get(f.remote())
    assert shown.text("stdout") == "parent\nchild\nparent again\n"


@pytest.mark.parametrize("kind", ["plain", "threaded", "async"])
def test_words_of_actors(ray, shown, kind):
    class Plain:
        def __init__(self):
            os.system("echo made")

        def speak(self, word):
            os.system(f"echo {word}")

    class Async:
        def __init__(self):
            os.system("echo made")

        async def speak(self, word):
            os.system(f"echo {word}")

    cls = ray.remote(Async if kind == "async" else Plain)
    actor = cls.options(max_concurrency=2 if kind == "threaded" else None).remote()
    refs = [actor.speak.remote(word) for word in ("one", "two")]
    ray.get(refs)
    assert sorted(shown.text("stdout").split()) == ["made", "one", "two"]
    assert all(meta["name"].endswith(("Plain", "Async")) for _, _, meta in shown.pieces)


def test_last_words_of_a_worker_that_is_killed(ray, shown):
    @ray.remote(max_retries=0)
    def f():
        print("printed", flush=True)
        os.write(1, b"written\n")
        os.write(2, b"complained\n")
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ray.exceptions.WorkerCrashedError) as caught:
        ray.get(f.remote())
    assert {"written", "complained"} <= set(caught.value.log_tail.splitlines())
    shown.wait_for("written\n")
    shown.wait_for("complained\n")
    assert shown.text().count("written") == shown.text().count("complained") == 1
    assert any(
        meta["name"].endswith("f") and meta["pid"] == caught.value.pid
        for _, text, meta in shown.pieces
        if "written" in text
    )


def test_last_words_of_an_actor_that_is_killed(ray, shown):
    @ray.remote
    class Actor:
        def end(self):
            os.write(2, b"complained\n")
            os.abort()

    actor = Actor.remote()
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(actor.end.remote())
    shown.wait_for("complained\n")
    assert shown.text().count("complained") == 1
    assert next(meta["name"] for _, text, meta in shown.pieces if "complained" in text).endswith("Actor")


def test_words_of_the_last_call_before_a_worker_leaves(ray, shown):
    @ray.remote(max_calls=1)
    def f():
        os.write(1, b"the only call\n")

    ray.get(f.remote())
    shown.wait_for("the only call\n")


@pytest.mark.limit(240)
def test_a_flood_is_whole_and_holds_nothing_up(ray, shown):
    @ray.remote
    def floods():
        subprocess.run(["sh", "-c", "head -c 24000000 /dev/zero | tr '\\0' x | fold -w 99"], check=True)

    @ray.remote
    def leaves_one_behind():
        return subprocess.Popen(["yes"], stderr=subprocess.DEVNULL).pid

    ray.get(floods.remote())
    kit.eventually(lambda: shown.text().count("x") >= 24_000_000, "the whole flood")
    assert shown.text().count("x") == 24_000_000
    pid = ray.get(leaves_one_behind.remote())
    os.kill(pid, signal.SIGKILL)


def test_bytes_that_are_no_text_and_lines_that_do_not_end(ray, shown):
    @ray.remote
    def f():
        os.write(1, "gr\u00fc".encode()[:3])
        subprocess.run(["true"], check=True)
        os.write(1, "gr\u00fc".encode()[3:] + b"n \xff")

    ray.get(f.remote())

    def of_f():  # what another worker has still to say may come in between
        return "".join(text for _, text, meta in list(shown.pieces) if meta["name"].endswith("f"))

    kit.eventually(lambda: "gr\u00fcn \ufffd" in of_f(), "what it wrote")


def test_the_log_of_a_task_that_prints_nothing_itself(ray):
    @ray.remote
    def f(word):
        subprocess.run(["echo", word], check=True)

    refs = [f.remote(word) for word in ("first", "second", "third")]
    ray.get(refs)
    for ref, word in zip(refs, ("first", "second", "third"), strict=True):
        assert "".join(state.get_log(task_id=ref.task_id().hex())).split() == [word]


def test_what_a_constructor_prints_on_a_worker_that_ran_tasks(ray, shown):
    @ray.remote
    def f():
        return os.getpid()

    class Actor:
        def __init__(self):
            print("made")

        def pid(self):
            return os.getpid()

    for _ in range(20):
        shown.pieces.clear()
        pids = set(ray.get([f.remote() for _ in range(10)]))
        kit.settle()  # the worker is given back; its channel is kept
        actor = ray.remote(Actor).remote()
        pid = ray.get(actor.pid.remote())
        assert shown.text() == "made\n"
        del actor
        if pid in pids:
            return
    raise AssertionError("no actor was made on a worker that ran tasks")


def test_what_a_thread_prints_of_an_actor_that_nobody_calls(ray, shown, gate):
    @ray.remote
    class Actor:
        def __init__(self):
            print("made")
            threading.Thread(target=self.run, daemon=True).start()

        def run(self):
            gate.wait()
            print("of a thread")

    actor = Actor.remote()
    shown.wait_for("made\n")
    gate.open()
    shown.wait_for("of a thread\n")
    del actor


@pytest.mark.parametrize("how", ["killed", "leaves"])
def test_a_driver_that_ends_waits_for_no_dead_worker(fresh, monkeypatch, how):
    monkeypatch.setattr(core_worker, "LAST_WORDS_LOOKS", 100_000)
    fresh.init(num_cpus=1, object_store_memory=64 * 2**20)

    @fresh.remote(max_calls=1)
    def leave():
        return os.getpid()

    @fresh.remote
    class Actor:
        def pid(self):
            return os.getpid()

    if how == "leaves":
        fresh.get(leave.remote())
    else:
        actor = Actor.remote()
        os.kill(fresh.get(actor.pid.remote()), signal.SIGKILL)
    with kit.no_hang():
        fresh.shutdown()


def test_a_driver_that_ends_waits_for_a_worker_where_the_machine_stands_still(fresh, shown, monkeypatch):
    fresh.init(num_cpus=1, object_store_memory=64 * 2**20)
    pid = fresh.get(fresh.remote(os.getpid).remote())
    os.kill(pid, signal.SIGSTOP)
    kit.eventually(lambda: kit.is_stopped(pid), "the worker stands still")
    with open(f"/proc/{pid}/fd/1", "ab") as stdout:
        stdout.write(b"of a child\n")
    core, clock, looks, stood_still = current.core, time.monotonic, [], [0.0]
    wait_until = core.wait_until

    def look(done, timeout_s):
        looks.append(wait_until(done, timeout_s))
        stood_still[0] += 10.0  # all of the machine, the worker too
        if len(looks) == 3:
            os.kill(pid, signal.SIGCONT)
        return looks[-1]

    monkeypatch.setattr(core_worker, "LAST_WORDS_LOOKS", 100_000)
    monkeypatch.setattr(core, "wait_until", look)
    monkeypatch.setattr(core_worker.time, "monotonic", lambda: clock() + stood_still[0])
    with kit.no_hang():
        fresh.shutdown()
    assert shown.text() == "of a child\n"
