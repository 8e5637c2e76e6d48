"""Metrics for Prometheus, progress bars, and what the driver shows of its workers' output."""

import importlib
import os
import re
import socket
import time
import urllib.request

import cluster_kit as kit
import pytest

import nbray
from nbray.core import live
from nbray.exceptions import PortInUseError
from nbray.util.metrics import Counter, Gauge, Histogram


def scrape(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return answer.read().decode()


def test_values_of_all_processes_are_exported(fresh):
    context = fresh.init(num_cpus=2, object_store_memory=64 * 2**20, _metrics_export_port=0)
    port = context.address_info["metrics_export_port"]
    counter = Counter("requests", "How many.", tag_keys=("kind", "side"))
    counter.set_default_tags({"side": "left"})
    counter.inc(2, tags={"kind": "a"})

    @fresh.remote
    class Server:
        def serve(self, counter):
            counter.inc(tags={"kind": "a"})
            Gauge("queue_length").set(7)
            for seconds in (0.5, 10, 11):
                Histogram("latency", boundaries=[1, 10]).observe(seconds)

    servers = [Server.remote() for _ in range(2)]
    nbray.get([server.serve.remote(counter) for server in servers])
    session = os.path.basename(context.address_info["session_dir"])
    whence = f'Component="core_worker",NodeAddress="127.0.0.1",SessionName="{session}",Version="{nbray.__version__}"'
    requests = f'ray_requests_total{{{whence},kind="a",side="left"}} 4.0'
    wanted = [
        requests,
        f'ray_latency_bucket{{{whence},le="1.0"}} 2.0',
        f'ray_latency_bucket{{{whence},le="10.0"}} 4.0',
        f'ray_latency_bucket{{{whence},le="+Inf"}} 6.0',
        f"ray_latency_sum{{{whence}}} 43.0",
        'nbray_resources{Name="CPU",State="AVAILABLE"} 2.0',
    ]
    kit.eventually(lambda: all(line in scrape(port) for line in wanted), f"all of {wanted}")
    kit.eventually(
        lambda: len(re.findall(r"^ray_queue_length{", scrape(port), re.MULTILINE)) == 2, "a gauge per process"
    )
    nbray.kill(servers[0])
    kit.eventually(lambda: len(re.findall(r"^ray_queue_length{", scrape(port), re.MULTILINE)) == 1, "its gauge goes")
    assert requests in scrape(port), "its counts stay"

    def finished():
        found = re.search(r'nbray_tasks{State="FINISHED"} (\d+)', scrape(port))
        return int(found[1]) if found else 0

    kit.eventually(lambda: finished() >= 2, "two calls that ended")


def test_a_tag_of_the_program_has_its_name_to_itself(fresh):
    context = fresh.init(num_cpus=1, object_store_memory=64 * 2**20, _metrics_export_port=0)
    port = context.address_info["metrics_export_port"]
    Gauge("tagged", tag_keys=("WorkerId", "NodeAddress")).set(1, tags={"WorkerId": "mine", "NodeAddress": "here"})
    kit.eventually(
        lambda: re.search(r'ray_tagged{.*NodeAddress="here",.*WorkerId="mine"} 1.0', scrape(port)), "its tags"
    )


def test_a_task_that_raised_and_ran_again_has_not_failed(fresh, tmp_path):
    fresh.init(num_cpus=1, object_store_memory=64 * 2**20)

    @fresh.remote(max_retries=1, retry_exceptions=True)
    def second_time(path):
        if not path.exists():
            path.touch()
            raise ValueError("on purpose")

    nbray.get(second_time.remote(tmp_path / "was here"))
    tasks = live.snapshot()["tasks"]
    assert (tasks["FINISHED"], tasks["FAILED"]) == (1, 0)


def test_calls_that_wait_at_their_actor_are_counted(fresh, tmp_path):
    fresh.init(num_cpus=2, object_store_memory=64 * 2**20)

    @fresh.remote(num_cpus=0)
    class Gate:
        def hold(self, path):
            while not path.exists():
                time.sleep(0.01)

        def take(self, value):
            return value

    gate = Gate.remote()
    held = gate.hold.remote(tmp_path / "open")
    other = Gate.remote().hold.remote(tmp_path / "open")
    refs = [gate.take.remote(n) for n in range(500)] + [gate.take.remote(other) for _ in range(3)]

    def waiting():
        tasks = live.snapshot()["tasks"]
        return [tasks[state] for state in ("PENDING_NODE_ASSIGNMENT", "PENDING_ARGS_AVAIL", "RUNNING")]

    kit.eventually(lambda: waiting() == [500, 3, 2], "two calls that run and those behind them")
    (tmp_path / "open").touch()
    nbray.get([held, *refs])
    kit.eventually(lambda: waiting() == [0, 0, 0], "an end")


def test_nothing_is_exported_unless_asked_for(fresh):
    context = fresh.init(num_cpus=1, object_store_memory=64 * 2**20)
    assert context.address_info["metrics_export_port"] is None
    Counter("nobody_looks").inc()


def test_a_port_that_is_taken(fresh):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"Port {port} .* in use.*pid .*port 0"):
            fresh.init(num_cpus=1, object_store_memory=64 * 2**20, _metrics_export_port=port)
    assert not fresh.is_initialized()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Counter(""), ValueError),
        (lambda: Counter("x", tag_keys=["a"]), TypeError),
        (lambda: Counter("x", tag_keys=(1,)), TypeError),
        (lambda: Counter("x", tag_keys=("a b",)), ValueError),
        (lambda: Counter("x").inc(0), ValueError),
        (lambda: Counter("x").inc("1"), TypeError),
        (lambda: Counter("x", tag_keys=("a",)).inc(), ValueError),
        (lambda: Counter("x", tag_keys=("a",)).inc(tags={"a": 1}), TypeError),
        (lambda: Counter("x").set_default_tags({"a": "b"}), ValueError),
        (lambda: Histogram("x"), ValueError),
        (lambda: Histogram("x", boundaries=[0]), ValueError),
        (lambda: Histogram("x", boundaries=[2, 1]), ValueError),
        (lambda: Gauge("x").set("high"), TypeError),
    ],
)
def test_mistakes(make, error):
    with pytest.raises(error):
        make()


SHOW = """
ray.init(num_cpus=2, object_store_memory=64 * 2**20)
@ray.remote
class Talker:
    def __repr__(self):
        return "Talker(" + self.name + ")"
    def __init__(self, name):
        self.name = name
    def talk(self, words):
        print(words)
talkers = [Talker.remote(name) for name in "ab"]
ray.get([talker.talk.remote("from %d" % index) for index, talker in enumerate(talkers)])
ray.get([talker.talk.remote("alike %d" % index) for index, talker in enumerate(talkers)])
ray.get([talker.talk.remote("alike %d" % index) for index, talker in enumerate(talkers)])
@ray.remote
class Plain:
    def talk(self):
        print("plainly")
ray.get(Plain.remote().talk.remote())
ray.shutdown()
say("end")
"""


def test_prefixes_and_folded_lines(start_driver, monkeypatch):
    monkeypatch.setenv("RAY_DEDUP_LOGS_AGG_WINDOW_S", "600")  # a machine may stand still for the 5 s of the default
    driver = start_driver(SHOW)
    driver.expect("end")
    said = "".join(driver.said)
    assert re.search(r"^\(Talker\(a\) pid=\d+\) from 0$", said, re.MULTILINE), said
    assert re.search(r"^\(Plain pid=\d+\) plainly$", said, re.MULTILINE)
    alike = re.findall(r"alike.*", said)
    assert len(alike) == 2, alike
    assert "[repeated 3x across cluster]" in alike[1]


def test_all_lines_when_folding_is_off(start_driver, monkeypatch):
    monkeypatch.setenv("RAY_DEDUP_LOGS", "0")
    monkeypatch.setenv("RAY_DISABLE_WORKER_LOG_PREFIX", "1")
    driver = start_driver(SHOW)
    driver.expect("end")
    assert "".join(driver.said).count("\nalike") == 4


def test_nothing_is_shown_when_it_is_not_wanted(start_driver, monkeypatch):
    monkeypatch.setenv("RAY_LOG_TO_DRIVER", "0")
    driver = start_driver(SHOW)
    driver.expect("end")
    assert driver.said == ["end\n"]


def test_bars_of_workers_are_drawn_in_the_driver(start_driver):
    driver = start_driver(
        "from nbray.experimental import tqdm_ray\n"
        "ray.init(num_cpus=2, object_store_memory=64 * 2**20)\n"
        "@ray.remote\n"
        "def work(n):\n"
        "    for _ in tqdm_ray.tqdm(range(n), desc=f'part {n}', flush_interval_s=0.01):\n"
        "        time.sleep(0.002)\n"
        "    tqdm_ray.safe_print('a word')\n"
        "    return n\n"
        "ray.get([work.remote(n) for n in (7, 9)])\n"
        "for _ in tqdm_ray.tqdm(range(5), desc='here'):\n"
        "    pass\n"
        "ray.shutdown()\n"
        "say('end')\n"
    )
    driver.finish()
    said = "".join(driver.said)
    for title, end in (("part 7", "7/7"), ("part 9", "9/9"), ("here", "5/5")):
        assert re.search(rf"{title}.*{end}", said), said
    assert "a word" in said


def test_tqdm_of_a_list_without_length():
    module = importlib.import_module("nbray.experimental.tqdm_ray")
    bar = module.tqdm(iter([1, 2]), total=None)
    assert (bar.total, list(bar), bar.n) == (None, [1, 2], 2)
    with pytest.raises(ValueError):
        list(module.tqdm())
