"""How the node is used over time, and its GPUs: with a stand-in for NVIDIA's library where there is none."""

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import nbray
from nbray.config import Limits
from nbray.core import live
from nbray.node.gpu import GpuProcess, GpuSample
from nbray.node.usage import Usage, UsageSample, attribute

GIB = 1 << 30
WAIT_FOR_SAMPLES = """
import time
from nbray.config import Limits
from nbray.core import live

def samples(count):
    deadline = time.monotonic() + 100
    while len(found := live.usage()) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The folder of the stand-in for libnvidia-ml.so.1."""
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).with_name("fake_nvml.c")
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run([*compiler, "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", source], check=True)
    return folder


@pytest.fixture
def run_with_gpus(library, tmp_path):
    """Run a program on a machine that seems to have the GPUs described."""

    def run(description, program):
        (tmp_path / "gpus").write_text(textwrap.dedent(description))
        (tmp_path / "program.py").write_text(WAIT_FOR_SAMPLES + textwrap.dedent(program))
        environment = {**os.environ, "LD_LIBRARY_PATH": str(library), "NBRAY_FAKE_NVML": str(tmp_path / "gpus")}
        done = subprocess.run(
            [sys.executable, tmp_path / "program.py", tmp_path / "gpus"],
            env=environment, capture_output=True, text=True, timeout=150, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_gpus_and_what_runs_on_them(run_with_gpus):
    out = run_with_gpus(
        f"""\
        gpu One {2 * GIB} {80 * GIB} 37
        gpu Two {1 * GIB} {80 * GIB} -1
        """,
        """
        import os, sys
        import nbray
        nbray.init(num_cpus=2, num_gpus=2, object_store_memory=64 * 2**20)
        gpus = sys.argv[1]

        @nbray.remote(num_gpus=1)
        def train(go_on, driver):
            with open(gpus, "a") as file:
                file.write(f"process 0 {os.getpid()} 1073741824\\nprocess 0 999999 5\\nprocess 0 {driver} 6\\n")
                file.write(f"process 1 {os.getpid()} 18446744073709551615\\n")
            while not os.path.exists(go_on):
                time.sleep(0.005)
            return os.getpid()

        ref = train.remote(gpus + ".done", os.getpid())
        deadline = time.monotonic() + 100
        last = samples(1)[-1]
        while not all(gpu["processes"] for gpu in last["gpus"]):  # one may have been asked before they were written down
            assert time.monotonic() < deadline
            time.sleep(0.02)
            last = samples(1)[-1]
        open(gpus + ".done", "w").close()
        pid = nbray.get(ref)
        one, two = last["gpus"]
        assert (one["index"], one["name"], one["used"], one["total"], one["utilization"]) == (0, "One", 2 << 30, 80 << 30, 0.37), one
        assert two["utilization"] is None and two["used"] == 1 << 30, two
        told = {(p["pid"], p["used"], p["name"]) for p in one["processes"]}
        assert told == {(pid, 1 << 30, "train"), (999999, 5, ""), (os.getpid(), 6, "driver")}, told
        assert [(p["pid"], p["used"]) for p in two["processes"]] == [(pid, -1)], two

        @nbray.remote
        def without_asking():
            with open(gpus, "a") as file:
                file.write(f"process 0 {os.getpid()} 7\\n")
            return os.getpid()

        pid, name = nbray.get(without_asking.remote()), ""
        while name != "idle worker":  # once it is given back
            assert time.monotonic() < deadline
            time.sleep(0.02)
            names = {p["pid"]: p["name"] for p in samples(1)[-1]["gpus"][0]["processes"]}
            name = names.get(pid, "")
            assert name in ("", "without_asking", "idle worker"), names
        print("right")
        """,
    )
    assert out.split() == ["right"]


def test_a_gpu_that_falls_off_the_bus(run_with_gpus):
    out = run_with_gpus(
        f"gpu One 1 {GIB} 0\ngpu Two 1 {GIB} 0\n",
        f"""
        import sys
        import nbray
        nbray.init(num_cpus=1, object_store_memory=64 * 2**20)
        assert len(samples(1)[-1]["gpus"]) == 2
        with open(sys.argv[1], "w") as file:
            file.write("gpu One 1 {GIB} 0\\n")
        deadline = time.monotonic() + 100
        while len(live.usage()[-1]["gpus"]) != 1:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        print("right")
        """,
    )
    assert out.split() == ["right"]


def test_without_a_stand_in():
    """The figures of the machine are there, numbered without a gap, and only the new ones are told."""
    program = WAIT_FOR_SAMPLES + textwrap.dedent(
        """
        import nbray
        from nbray.node.gpu import open_gpus
        nbray.init(num_cpus=1, object_store_memory=64 * 2**20)
        kept = nbray.put(bytes(10 << 20))
        found = samples(3)
        assert [s["number"] for s in found] == list(range(1, len(found) + 1))
        times = [s["t_ns"] for s in found]
        assert times == sorted(times) and times[-1] <= time.monotonic_ns()
        last = found[-1]
        assert 0 <= last["cpu"] <= 1 and 0 < last["memory_used"] < last["memory_total"], last
        assert 10 << 20 <= last["store_used"] < 20 << 20, last
        assert len(last["gpus"]) == len(open_gpus().read() if open_gpus() else []), last
        assert all(s["number"] > last["number"] for s in live.usage(since=last["number"]))
        nbray.shutdown()
        assert live.usage() == []
        print("right")
        """
    )
    environment = {name: value for name, value in os.environ.items() if name != "NBRAY_FAKE_NVML"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.stdout.split() == ["right"], done.stderr


def test_attribution_is_by_pid():
    sample = UsageSample(1, 2, 0.5, 3, 4, 5, (GpuSample(0, "A", 1, 2, None, (GpuProcess(10, 7), GpuProcess(11, -1))),))
    (row,) = attribute([sample], lambda: {10: (4, "train")})
    assert list(row["gpus"][0]["processes"]) == [
        {"pid": 10, "used": 7, "name": "train", "peer": "4"},
        {"pid": 11, "used": -1, "name": "", "peer": ""},
    ]


def test_nothing_is_asked_without_a_cluster():
    assert not nbray.is_initialized()
    assert live.usage() == []


def test_ten_minutes_are_kept_and_who_used_the_gpus():
    """A page that comes later sees what was, also of processes that are gone."""
    usage = Usage(Limits({"usage_samples": 1000}), lambda: 0, lambda: None)
    usage._thread = threading.current_thread()  # nobody samples but this test

    def sample(number):
        used = GpuSample(0, "A100", GIB, 40 * GIB, 0.5, (GpuProcess(10, GIB),))
        return UsageSample(number, number, 0.1, 1, 2, 3, (used,))

    usage._samples.append(sample(1))
    (row,) = usage.rows(0, lambda: {10: (4, "train")})
    assert row["gpus"][0]["processes"][0]["name"] == "train"
    usage._samples.extend(map(sample, range(2, 1201)))
    rows = usage.rows(0, dict)  # the process is gone
    numbers = [row["number"] for row in rows]
    assert numbers == [*range(204, 1001, 4), *range(1001, 1201)]
    assert [row["number"] for row in usage.rows(1198, dict)] == [1199, 1200]
    usage._samples.append(sample(1201))
    assert usage.rows(1200, lambda: {10: (4, "score")})[0]["gpus"][0]["processes"][0]["name"] == "score"
    assert rows[0]["gpus"][0]["processes"][0]["name"] == ""
