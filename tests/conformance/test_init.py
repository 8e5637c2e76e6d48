"""init and shutdown in one process, one cluster after another."""

import importlib
import json
import os
import re
from collections.abc import Mapping

import pytest

from .kit import process_is_alive, wait_until


def test_the_life_of_a_cluster(fresh):
    ray = fresh
    assert not ray.is_initialized()
    ray.init(num_cpus=1)
    assert ray.is_initialized()

    @ray.remote
    def f():
        return 1

    assert ray.get(f.remote()) == 1
    with pytest.raises(RuntimeError):
        ray.init(num_cpus=1)
    assert ray.get(f.remote()) == 1, "the first cluster goes on"
    ray.init(ignore_reinit_error=True)
    assert ray.get(f.remote()) == 1
    ray.shutdown()
    assert not ray.is_initialized()
    ray.shutdown()
    assert not ray.is_initialized()


def test_a_second_cluster_in_the_same_process(fresh):
    """Functions and classes defined before serve in the next cluster; actors and names do not."""
    ray = fresh

    @ray.remote
    def f(x):
        return x + 1

    @ray.remote
    class A:
        def pid(self):
            return os.getpid()

    ray.init(num_cpus=2, resources={"first": 1})
    assert ray.get(f.remote(1)) == 2
    actor = A.options(name="named").remote()
    pid = ray.get(actor.pid.remote())
    old_job, old_node = ray.get_runtime_context().get_job_id(), ray.get_runtime_context().get_node_id()
    ray.shutdown()
    wait_until(lambda: not process_is_alive(pid), "the end of the actor")

    ray.init(num_cpus=3)
    assert ray.cluster_resources()["CPU"] == 3.0
    assert "first" not in ray.cluster_resources()
    assert ray.get([f.remote(i) for i in range(20)]) == list(range(1, 21))
    assert ray.get(A.remote().pid.remote()) != pid
    with pytest.raises(ValueError):
        ray.get_actor("named")
    assert ray.get_runtime_context().get_node_id() != old_node
    assert isinstance(old_job, str)


def test_functions_defined_before_init(fresh):
    ray = fresh

    @ray.remote(num_returns=2)
    def pair():
        return 1, 2

    ray.init(num_cpus=1)
    assert ray.get(pair.remote()) == [1, 2]


@pytest.mark.parametrize("call", ["nodes", "cluster_resources", "available_resources"])
def test_calls_that_need_a_cluster(fresh, call):
    with pytest.raises(fresh.exceptions.RaySystemError):
        getattr(fresh, call)()
    assert not fresh.is_initialized()


@pytest.mark.parametrize("call", ["get_object_locations", "get_local_object_locations"])
def test_locations_need_a_cluster(fresh, call):
    locations = getattr(importlib.import_module(f"{fresh.__name__}.experimental"), call)
    with pytest.raises(RuntimeError):
        locations([])
    assert not fresh.is_initialized()


def test_shutdown_without_init(fresh):
    fresh.shutdown()
    fresh.shutdown()
    assert not fresh.is_initialized()


def test_init_as_a_context_manager(fresh):
    with fresh.init(num_cpus=1) as context:
        assert fresh.is_initialized()
        assert context is not None
        assert fresh.get(fresh.put(1)) == 1
    assert not fresh.is_initialized()


def test_unknown_options_of_init(fresh):
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        fresh.init(num_cpu=1)
    assert not fresh.is_initialized()


def test_no_processors_at_all(fresh):
    ray = fresh
    ray.init(num_cpus=0)

    @ray.remote(num_cpus=0)
    def free():
        return 1

    assert ray.cluster_resources().get("CPU", 0) == 0
    assert ray.get(free.remote()) == 1


@pytest.mark.parametrize(
    "option", [{"num_cpus": -1}, {"num_gpus": 0.5}, {"resources": {"CPU": 1}}, {"resources": {"x": -1}}], ids=str
)
def test_resources_that_init_refuses(fresh, option):
    with pytest.raises((ValueError, AssertionError)):
        fresh.init(**option)
    assert not fresh.is_initialized()


def test_the_driver_has_as_many_processors_as_the_machine_by_default(fresh):
    fresh.init()
    assert fresh.cluster_resources()["CPU"] == len(os.sched_getaffinity(0))


def test_what_init_returns(fresh):
    context = fresh.init(num_cpus=1, namespace="mine")
    facts = context.address_info
    assert isinstance(context, Mapping)
    assert context["node_id"] == facts["node_id"] == fresh.get_runtime_context().get_node_id()
    assert set(context) == set(facts)
    assert len(context) == len(facts)
    assert facts["address"] == facts["gcs_address"] == fresh.get_runtime_context().gcs_address
    assert os.path.isdir(facts["session_dir"])
    assert context.python_version.count(".") == 2
    assert context.ray_version
    (node,) = fresh.nodes()
    for name in (
        "NodeID",
        "NodeName",
        "NodeManagerAddress",
        "NodeManagerHostname",
        "Labels",
        "Resources",
        "Alive",
        "alive",
    ):
        assert name in node
    assert node["Labels"]["ray.io/node-id"] == node["NodeID"]
    again = fresh.init(ignore_reinit_error=True)
    assert again.address_info["node_id"] == facts["node_id"]
    context.disconnect()
    assert not fresh.is_initialized()


def test_settings_of_the_node(fresh):
    fresh.init(num_cpus=1, labels={"zone": "here"}, resources={"gold": 2}, _memory=500 * 2**20)
    (node,) = fresh.nodes()
    assert node["Labels"]["zone"] == "here"
    assert node["Resources"]["gold"] == 2.0
    assert node["Resources"]["memory"] == 500 * 2**20


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"namespace": ""}, ValueError),
        ({"namespace": 5}, TypeError),
        ({"_temp_dir": "relative"}, ValueError),
        ({"address": "nonsense"}, ValueError),
        ({"address": ""}, ValueError),
        ({"cgroup_path": "/x"}, ValueError),
        ({"storage": "/x"}, RuntimeError),
        ({"allow_multiple": True}, RuntimeError),
        ({"nonsense": 1}, RuntimeError),
        ({"local_mode": True}, RuntimeError),
        ({"_system_config": 5}, TypeError),
    ],
    ids=str,
)
def test_keywords_that_are_refused(fresh, option, error):
    with pytest.raises(error):
        fresh.init(num_cpus=1, **option)
    assert not fresh.is_initialized()


def test_logs_as_json(run_script):
    """The root loggers of the driver and of its workers write as they are told."""
    done = run_script(
        """
        import logging
        ray.init(num_cpus=1, logging_config=ray.LoggingConfig(encoding="JSON", additional_log_standard_attrs=["name"]))

        @ray.remote
        def f():
            logging.getLogger("mine").info("from the task", extra={"key": 5})
            return ray.get_runtime_context().get_task_id()

        print(">", ray.get(f.remote()), ray.get_runtime_context().get_job_id())
        logging.getLogger("mine").warning("from the driver")
        ray.shutdown()
        """
    )
    _, task_id, job_id = next(line for line in done.stdout.splitlines() if line.startswith(">")).split()
    text = done.stdout + done.stderr
    records = [json.loads(found) for found in re.findall(r"\{.*\}", text)]
    (driver,) = [record for record in records if record["message"] == "from the driver"]
    assert (driver["levelname"], driver["name"], driver["job_id"]) == ("WARNING", "mine", job_id)
    (task,) = [record for record in records if record["message"] == "from the task"]
    assert (task["levelname"], task["key"], task["task_id"]) == ("INFO", 5, task_id)
    assert task["filename"].endswith(".py")
    assert task["task_func_name"].endswith(".f")
    assert task["timestamp_ns"] > 1e18
    (line,) = [line for line in text.splitlines() if "from the task" in line]
    assert json.loads(line) == task, "nothing stands in front of it"


def test_logging_as_text(run_script):
    done = run_script(
        """
        import logging, time
        ray.init(num_cpus=1, logging_config=ray.LoggingConfig(encoding="TEXT"))

        @ray.remote
        def f():
            logging.getLogger("mine").info("from the task")

        ray.get(f.remote())
        time.sleep(2 if ray.__name__ == "ray" else 0)  # Ray drops at shutdown what it has not shown by then
        ray.shutdown()
        """
    )
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if "from the task" in line]
    assert re.match(r"[-0-9]{10} [:0-9]{8},[0-9]{3}\tINFO \S+\.py:[0-9]+ -- from the task job_id=", line), line
    assert " task_name=f " in line and " timestamp_ns=" in line and " process=" not in line


def test_logs_of_calls_that_run_side_by_side(run_script):
    done = run_script(
        """
        import asyncio, logging
        ray.init(num_cpus=2, logging_config=ray.LoggingConfig(encoding="JSON"))

        @ray.remote
        class Async:
            async def method(self):
                await asyncio.sleep(0)
                logging.getLogger("mine").info("async " + ray.get_runtime_context().get_task_id())

        @ray.remote(max_concurrency=2)
        class Threaded:
            def method(self):
                logging.getLogger("mine").info("thread " + ray.get_runtime_context().get_task_id())

        actors = [Async.options(name="its name").remote(), Threaded.remote()]
        ray.get([actor.method.remote() for actor in actors])
        ray.shutdown()
        """
    )
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("{")]
    records = {record["message"].partition(" ")[0]: record for record in map(json.loads, lines)}
    for kind, name in (("async", "Async.method"), ("thread", "Threaded.method")):
        assert records[kind]["task_id"] == records[kind]["message"].partition(" ")[2]
        assert records[kind]["task_name"] == name
    assert records["async"]["actor_name"] == "its name" and "actor_name" not in records["thread"]


def test_mistakes_in_logging_config(library):
    with pytest.raises(ValueError):
        library.LoggingConfig(encoding="XML")
    with pytest.raises(ValueError):
        library.LoggingConfig(additional_log_standard_attrs=["nonsense"])


def test_a_handle_of_an_earlier_cluster(fresh):
    ray = fresh
    ray.init(num_cpus=1)

    @ray.remote
    class Earlier:
        def name(self):
            return "earlier"

    actor = Earlier.remote()
    name = actor.name
    assert ray.get(name.remote()) == "earlier"
    ray.shutdown()
    ray.init(num_cpus=1)
    for use in (name.remote, actor.name.remote, lambda: ray.kill(actor)):
        with pytest.raises(Exception, match=r"cluster|session"):
            use()
    assert ray.get(Earlier.remote().name.remote()) == "earlier"


def test_thousands_of_resources(fresh):
    given = {f"resource{number}": number % 5 + 1 for number in range(2000)}
    fresh.init(num_cpus=1, resources=given)
    assert {name: fresh.cluster_resources()[name] for name in given} == given
    assert fresh.get(fresh.remote(resources={"resource7": 3})(lambda: 7).remote()) == 7


def test_refs_end_with_their_cluster(run_script):
    """Also of values that this process has seen."""
    run_script(
        """
        ray.init(num_cpus=1)
        ref = ray.put("seen")
        assert ray.get(ref) == "seen"
        ray.shutdown()
        for use in (lambda: ray.get(ref), lambda: ray.get([ref])):
            try:
                use()
            except ValueError:
                pass
            else:
                raise AssertionError
        """
    )
