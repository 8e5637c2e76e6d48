"""What tasks and actors print appears in the driver, with who printed it."""

import re

import pytest

from .kit import LIBRARY

SHOWN = """
import sys, time
ray.init(num_cpus=2, object_store_memory=100 * 2**20{options})

@ray.remote
def speak(words):
    print(words)
    print("aside:", words, file=sys.stderr)

@ray.remote
class Plain:
    def __init__(self):
        print("being made")
    def speak(self, words):
        print(words)

@ray.remote
class Named:
    def __init__(self):
        print("being named")
    def __repr__(self):
        return "the one"
    def speak(self, words):
        print(words)

ray.get(speak.remote("from a task"))
plain, named = Plain.remote(), Named.remote()
ray.get([plain.speak.remote("from an actor"), named.speak.remote("from a named actor")])
ray.get(speak.options(name="renamed").remote("from a task of another name"))
time.sleep(2 if ray.__name__ == "ray" else 0)
ray.shutdown()
"""


def lines(done):
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + "\n" + done.stderr)
    return [line.strip() for line in text.splitlines()]


def shown(done, who, words):
    """Whether a line says so, and that it was this one's."""
    return any(
        re.fullmatch(rf"\({re.escape(who)} pid=\d+(, ip=\S+)?\) {re.escape(words)}", line) for line in lines(done)
    )


def test_lines_carry_who_printed_them(run_script):
    done = run_script(SHOWN.replace("{options}", ""))
    assert shown(done, "speak", "from a task"), lines(done)
    assert shown(done, "speak", "aside: from a task")
    assert shown(done, "Plain", "being made")
    assert shown(done, "Plain", "from an actor")
    assert shown(done, "the one", "from a named actor")
    assert shown(done, "Named", "being named")  # it had no name yet
    assert shown(done, "renamed", "from a task of another name")


@pytest.mark.parametrize("how", [{"options": ", log_to_driver=False"}, {"env": {"RAY_LOG_TO_DRIVER": "0"}}], ids=str)
def test_nothing_is_shown_when_it_is_not_wanted(run_script, how):
    done = run_script(SHOWN.replace("{options}", how.get("options", "")), env=how.get("env"))
    assert not any("from a task" in line or "from an actor" in line for line in lines(done))


ALIKE = """
import time
ray.init(num_cpus=4, object_store_memory=100 * 2**20)

@ray.remote
class Worker:
    def speak(self, index):
        print("step", index, "of the same kind")
    def own(self, index):
        print("alone with", index)

workers = [Worker.remote() for _ in range(4)]
ray.get([worker.__ray_ready__.remote() for worker in workers])  # what is alike must come within seconds
for index, worker in enumerate(workers):
    ray.get(worker.speak.remote(index))
ray.get([workers[0].own.remote(index) for index in range(3)])
time.sleep(2 if ray.__name__ == "ray" else 0)
ray.shutdown()
"""


def test_lines_that_workers_print_alike_are_folded(run_script):
    # On a busy machine what is alike may not come within the 5 s of the default. Ray tells the rest when it ends.
    env = {"RAY_DEDUP_LOGS_AGG_WINDOW_S": "5" if LIBRARY == "ray" else "600"}
    found = [line for line in lines(run_script(ALIKE, env=env)) if "of the same kind" in line]
    assert len(found) == 2, found
    assert "[repeated 3x across cluster]" in found[1]


def test_what_one_worker_repeats_is_shown(run_script):
    assert sum("alone with" in line for line in lines(run_script(ALIKE))) == 3


def test_folding_can_be_switched_off(run_script):
    found = [line for line in lines(run_script(ALIKE, env={"RAY_DEDUP_LOGS": "0"})) if "of the same kind" in line]
    assert len(found) == 4


NESTED = """
import time
ray.init(num_cpus=2, object_store_memory=100 * 2**20)

@ray.remote
def speak(words):
    print(words)

@ray.remote(num_cpus=0)
class Asker:
    def __init__(self):
        ray.get(speak.remote("asked by a constructor"))
    def ready(self):
        return True

assert ray.get(Asker.remote().ready.remote())
time.sleep(2 if ray.__name__ == "ray" else 0)
ray.shutdown()
"""


def test_what_prints_may_be_called_by_a_constructor(run_script):
    done = run_script(NESTED)
    assert done.returncode == 0 and shown(done, "speak", "asked by a constructor"), lines(done)


OTHERS = """
import ctypes, multiprocessing, os, subprocess, sys, time
ray.init(num_cpus=2, object_store_memory=100 * 2**20{options})

def child():
    print("of a forked child", flush=True)

@ray.remote
def speak():
    print("of the task", flush=True)
    subprocess.run("echo of a child; echo complaint of a child >&2", shell=True)
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    print("of the task again", flush=True)
    libc = ctypes.CDLL(None)
    libc.printf(b"of C code\\n")
    libc.fflush(None)
    os.write(1, b"not \\xff text\\n")
    os.write(1, b"begun, ")
    print("and ended")

@ray.remote
class Actor:
    def __init__(self):
        os.system("echo of a child of a constructor")
    def speak(self):
        os.system("echo of a child of a method")

@ray.remote
def brief():
    os.write(1, b"of a brief task\\n")
    os.write(2, b"complaint of a brief task\\n")

actor = Actor.remote()
ray.get([speak.remote(), actor.speak.remote()])
ray.get(brief.remote())
time.sleep(2 if ray.__name__ == "ray" else 0)
ray.shutdown()
"""


def test_what_child_processes_and_c_code_write_is_shown(run_script):
    done = run_script(OTHERS.replace("{options}", ""))
    of_task = ["of the task", "of a child", "of a forked child", "of the task again", "of C code", "not \ufffd text"]
    for words in [*of_task, "begun, and ended"]:
        assert shown(done, "speak", words), lines(done)
    for words in ("of a child of a constructor", "of a child of a method"):
        assert shown(done, "Actor", words), lines(done)
    assert shown(done, "brief", "of a brief task") and shown(done, "brief", "complaint of a brief task"), lines(done)
    told = [line.partition(") ")[2] for line in lines(done) if "(speak" in line]
    assert [words for words in told if words in of_task] == of_task
    assert "complaint" in done.stderr and "complaint" not in done.stdout
    assert "(speak pid=" in done.stdout and "(speak pid=" in done.stderr


def test_what_child_processes_write_is_not_shown_when_it_is_not_wanted(run_script):
    done = run_script(OTHERS.replace("{options}", ", log_to_driver=False"))
    assert "of a" not in done.stdout and "complaint" not in done.stderr


LAST_WORDS = """
import os, signal, time
ray.init(num_cpus=2, object_store_memory=100 * 2**20)

@ray.remote(max_retries=0)
def dies():
    os.write(1, b"last words\\n")
    os.write(2, b"last complaint\\n")
    os.kill(os.getpid(), signal.SIGKILL)

try:
    ray.get(dies.remote())
except ray.exceptions.WorkerCrashedError:
    print("crashed")
time.sleep(2 if ray.__name__ == "ray" else 0)
ray.shutdown()
"""


def test_last_words_of_a_worker_that_is_killed_are_shown(run_script):
    done = run_script(LAST_WORDS)
    assert "crashed" in done.stdout
    assert shown(done, "dies", "last words") and shown(done, "dies", "last complaint"), lines(done)
