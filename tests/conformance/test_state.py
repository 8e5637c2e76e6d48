"""ray.util.state: what runs on the cluster, listed."""

import asyncio
import functools
import importlib
import os
import signal
import time

import pytest

from .kit import LIBRARY, wait_until

CLUSTER = {"num_cpus": 2, "object_store_memory": 150 * 2**20}


class State:
    """The module, asked about one cluster: there may be others on this machine."""

    def __init__(self, address):
        self.address = address

    def __getattr__(self, name):
        function = getattr(importlib.import_module(f"{LIBRARY}.util.state"), name)
        return functools.partial(function, address=self.address)


@pytest.fixture(scope="module")
def state(ray):
    return State(ray.get_runtime_context().gcs_address)


@pytest.fixture(scope="module")
def done(ray):
    """Tasks of all kinds that have ended."""

    @ray.remote
    def counted(x):
        return x

    @ray.remote(max_retries=0)
    def broken():
        raise ValueError("on purpose")

    @ray.remote
    class Listed:
        def method(self):
            return 1

    ray.get([counted.remote(i) for i in range(5)])
    with pytest.raises(ValueError):
        ray.get(broken.remote())
    actor = Listed.options(name="listed", namespace="shown", lifetime="detached").remote()
    ray.get([actor.method.remote() for _ in range(3)])
    yield actor
    ray.kill(actor)


def actors_of(state, name, **options):
    """Actors of a class; Ray names the function in which it is defined too."""
    return [actor for actor in state.list_actors(limit=1000, **options) if actor.class_name.split(".")[-1] == name]


def states_of(state, name):
    return sorted(task.state for task in state.list_tasks(filters=[("name", "=", name)], limit=1000))


def test_tasks_that_ended(ray, state, done):
    wait_until(lambda: states_of(state, "counted") == ["FINISHED"] * 5, "five that finished")
    wait_until(lambda: states_of(state, "broken") == ["FAILED"], "one that failed")
    wait_until(lambda: states_of(state, "Listed.method") == ["FINISHED"] * 3, "three calls")
    (task,) = state.list_tasks(filters=[("name", "=", "broken")], detail=True)
    assert task.type == "NORMAL_TASK"
    assert task["func_or_class_name"] == "broken"
    assert task.error_type == "TASK_EXECUTION_EXCEPTION"
    assert task.job_id == ray.get_runtime_context().get_job_id()
    assert task.node_id == ray.get_runtime_context().get_node_id()
    assert task.start_time_ms <= task.end_time_ms
    assert task.worker_pid > 0


def test_tasks_that_run_and_wait(ray, state, gate):
    @ray.remote
    def held(path):
        gate.wait()
        return path

    @ray.remote
    def after(x):
        return x

    running = held.remote(1)
    waiting = after.remote(running)
    too_many = [held.options(name="crowd").remote(i) for i in range(4)]
    wait_until(lambda: states_of(state, "held") == ["RUNNING"], "the one that runs")
    wait_until(lambda: states_of(state, "after") == ["PENDING_ARGS_AVAIL"], "the one that waits for it")
    wait_until(
        lambda: (
            states_of(state, "crowd").count("RUNNING") == 1
            and set(states_of(state, "crowd")) <= {"RUNNING", "PENDING_NODE_ASSIGNMENT", "SUBMITTED_TO_WORKER"}
        ),
        "one of them runs, the others wait for a place",
    )
    gate.open()
    assert ray.get([waiting, *too_many]) == [1, 0, 1, 2, 3]
    wait_until(lambda: states_of(state, "after") == ["FINISHED"], "its end")


def test_calls_that_run_side_by_side(ray, state, gate):
    @ray.remote(max_concurrency=2)
    class Threads:
        def beside(self):
            gate.wait()

    @ray.remote
    class Loop:
        def __init__(self):
            self.open = asyncio.Event()

        async def awaits(self):
            await self.open.wait()

        async def go(self):
            self.open.set()

    threads, loop = Threads.remote(), Loop.remote()
    refs = [threads.beside.remote() for _ in range(3)] + [loop.awaits.remote() for _ in range(3)]
    wait_until(lambda: states_of(state, "Loop.awaits") == ["RUNNING"] * 3, "all coroutines")
    wait_until(lambda: states_of(state, "Threads.beside").count("RUNNING") == 2, "two threads")
    assert len(states_of(state, "Threads.beside")) == 3
    gate.open()
    loop.go.remote()
    ray.get(refs)
    wait_until(lambda: states_of(state, "Threads.beside") == ["FINISHED"] * 3, "their end")


def test_where_a_task_was_whose_worker_died(ray, state):
    @ray.remote(max_retries=0)
    def ends():
        os._exit(1)

    @ray.remote
    class Ends:
        def call(self):
            os._exit(1)

    actor = Ends.remote()
    ids = {ends.remote(): "WORKER_DIED", actor.call.remote(): "ACTOR_DIED"}
    ray.wait(list(ids), num_returns=2)
    for ref, error_type in ids.items():
        task_id = ref.task_id().hex()

        def row(task_id=task_id):
            found = state.list_tasks(filters=[("task_id", "=", task_id)], detail=True)
            return found[0] if found and found[0].worker_id and found[0].state == "FAILED" else None

        wait_until(row, "a row with the worker")
        task = row()
        assert task.error_type == error_type
        assert task.node_id == ray.get_runtime_context().get_node_id()
        assert len(task.worker_id) == 56
        assert task.end_time_ms >= task.creation_time_ms
        assert [event["state"] for event in task.events][-2:] == ["SUBMITTED_TO_WORKER", "FAILED"]


def test_the_call_that_ends_its_actor_has_finished(ray, state):
    @ray.remote
    class Leaving:
        def leave(self):
            importlib.import_module(f"{LIBRARY}.actor").exit_actor()

        def terminate(self):
            raise SystemExit(3)

    wanted = {"leave": ("FINISHED", None, "INTENDED_USER_EXIT"), "terminate": ("FAILED", "ACTOR_DIED", "SYSTEM_ERROR")}
    for method, expected in wanted.items():
        actor = Leaving.remote()
        ref = getattr(actor, method).remote()
        with pytest.raises(ray.exceptions.ActorDiedError):
            ray.get(ref)

        def found(ref=ref):
            rows = state.list_tasks(filters=[("task_id", "=", ref.task_id().hex())], detail=True)
            worker = state.get_worker(rows[0].worker_id) if rows and rows[0].worker_id else None
            return worker and (rows[0].state, rows[0].error_type, worker.exit_type)

        wait_until(lambda found=found, expected=expected: found() == expected, f"{method}: {expected}, not {found()}")


def test_where_the_words_of_a_task_are(ray, state, gate):
    @ray.remote
    def says(word, wait=False):
        print(word)
        if wait:
            gate.wait()

    @ray.remote
    def says_nothing():
        pass

    refs = {says.remote("eins"): "eins\n", says.remote("zwei"): "zwei\n", says_nothing.remote(): ""}
    ray.get(list(refs))
    for ref, words in refs.items():

        def row(ref=ref):
            rows = state.list_tasks(filters=[("task_id", "=", ref.task_id().hex())], detail=True)
            return rows[0] if rows and rows[0].state == "FINISHED" and rows[0].task_log_info else None

        wait_until(row, "the place in the log")
        place = row().task_log_info
        with open(place["stdout_file"], "rb") as log:
            log.seek(place["stdout_start"])
            assert log.read(place["stdout_end"] - place["stdout_start"]).decode() == words
        assert set(place) >= {"stderr_file", "stderr_start", "stderr_end"}
    running = says.options(name="says_on").remote("drei", wait=True)

    def begun():
        rows = state.list_tasks(filters=[("name", "=", "says_on"), ("state", "=", "RUNNING")], detail=True)
        return rows and rows[0].task_log_info

    wait_until(begun, "the place in the log of one that runs")
    place = begun()
    assert place.get("stdout_end") is None and isinstance(place["stdout_start"], int)
    gate.open()
    ray.get(running)


def test_drivers_among_the_tasks(ray, state):
    common = importlib.import_module(f"{LIBRARY}.util.state.common")
    client = state.StateApiClient()
    job = ray.get_runtime_context().get_job_id()

    def drivers(exclude):
        options = common.ListApiOptions(limit=1000, exclude_driver=exclude)
        rows = client.list(common.StateResource.TASKS, options=options, raise_on_missing_output=False)
        return [row for row in rows if row.type == "DRIVER_TASK" and row.job_id == job]

    wait_until(lambda: drivers(False), "the driver's row")
    (row,) = drivers(False)
    assert (row.state, row.name) == ("RUNNING", "")
    assert row.task_id == ray.TaskID.for_driver_task(ray.JobID.from_hex(job)).hex()
    assert drivers(True) == []


def test_calls_that_wait_at_an_actor_or_for_arguments(ray, state, gate):
    @ray.remote(num_cpus=0)
    def held():
        gate.wait()

    @ray.remote(num_cpus=0)
    class One:
        async def first(self):
            await asyncio.get_running_loop().run_in_executor(None, gate.wait)

        async def call(self, *_):
            return 1

    actor = One.options(max_concurrency=1).remote()
    refs = [actor.first.remote()]
    wait_until(lambda: states_of(state, "One.first") == ["RUNNING"], "the first")
    refs.append(actor.call.options(name="at_its_actor").remote())
    refs.append(actor.call.options(name="for_arguments").remote(held.remote()))
    expected = {
        "at_its_actor": "PENDING_ACTOR_TASK_ORDERING_OR_CONCURRENCY",
        "for_arguments": "PENDING_ARGS_AVAIL",
    }  # fmt: skip
    for name, state_of in expected.items():
        wait_until(lambda name=name, state_of=state_of: states_of(state, name) == [state_of], f"{name} {state_of}")
        (row,) = state.list_tasks(filters=[("name", "=", name)])
        assert row.actor_id == actor._actor_id.hex()
    gate.open()
    ray.get(refs)


def test_how_long_a_task_ran(ray, state):
    @ray.remote
    def profiled():
        time.sleep(0.05)

    ray.get(profiled.remote())

    def profile():
        found = state.list_tasks(filters=[("name", "=", "profiled"), ("state", "=", "FINISHED")], detail=True)
        return (found[0].profiling_data or {}).get("events") if found else None

    wait_until(profile, "profiling data")
    (ran,) = [event for event in profile() if event["event_name"] == "task:execute"]
    assert 45 < ran["end_time"] - ran["start_time"] < 30_000


@pytest.mark.parametrize("dies", [False, True])
def test_each_run_of_a_task_has_a_row(ray, state, ledger, dies):
    name = f"third_time_{dies}"

    @ray.remote(max_retries=2, retry_exceptions=True)
    def third_time():
        ledger.add()
        if len(ledger.marks()) == 3:
            return ray.get_runtime_context().get_task_id()
        if dies:
            os._exit(1)
        raise ValueError("again")

    task_id = ray.get(third_time.options(name=name).remote())

    def rows():
        found = state.list_tasks(filters=[("name", "=", name)], detail=True)
        return sorted(found, key=lambda row: row.attempt_number)

    error_type = "WORKER_DIED" if dies else "TASK_EXECUTION_EXCEPTION"
    runs = [(0, "FAILED", error_type), (1, "FAILED", error_type), (2, "FINISHED", None)]
    wait_until(lambda: [(row.attempt_number, row.state, row.error_type) for row in rows()] == runs, "three runs")
    assert {row.task_id for row in rows()} == {task_id}
    assert dies or "ValueError: again" in rows()[0].error_message
    assert sorted(row.attempt_number for row in state.get_task(task_id)) == [0, 1, 2]


def test_each_run_of_a_nested_task_has_a_row(ray, state, ledger):
    @ray.remote
    def killed_once():
        ledger.add()
        if len(ledger.marks()) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return ray.get_runtime_context().get_task_id()

    @ray.remote(max_calls=1)  # its process, the owner of the other's task, ends with it
    def starter():
        task_id = ray.get(killed_once.remote())
        return task_id, os.getpid()

    def runs():
        found = sorted(
            state.list_tasks(filters=[("task_id", "=", task_id)], detail=True), key=lambda row: row.attempt_number
        )
        return [(row.attempt_number, row.state, row.error_type) for row in found]

    task_id, owner = ray.get(starter.remote())
    both = [(0, "FAILED", "WORKER_DIED"), (1, "FINISHED", None)]
    wait_until(lambda: runs() == both, "two runs")
    wait_until(lambda: not os.path.exists(f"/proc/{owner}"), "the owner has ended")
    wait_until(lambda: runs() == both, "two runs of a task whose owner has ended")
    assert sorted(row.attempt_number for row in state.get_task(task_id)) == [0, 1]


def test_each_run_of_a_method_has_a_row(ray, state, ledger):
    @ray.remote(max_restarts=1, max_task_retries=1)
    class Restarted:
        def second_time(self):
            ledger.add()
            if len(ledger.marks()) == 1:
                os._exit(1)

    actor = Restarted.remote()
    ray.get(actor.second_time.remote())

    def runs():
        found = state.list_tasks(filters=[("name", "=", "Restarted.second_time")], detail=True)
        return sorted((row.attempt_number, row.state) for row in found)

    wait_until(lambda: runs() == [(0, "FAILED"), (1, "FINISHED")], "two runs")


def test_a_class_is_named_by_where_it_is_defined(ray, state):
    @ray.remote(num_cpus=0)
    class Inner:
        pass

    actor = Inner.remote()
    ray.get(actor.__ray_ready__.remote())
    name = Inner.__ray_actor_class__.__qualname__
    assert name.endswith("<locals>.Inner")
    (row,) = state.list_actors(filters=[("class_name", "=", name), ("state", "=", "ALIVE")])
    assert row.actor_id == actor._actor_id.hex()


def test_one_task_by_its_id(ray, state, done):
    @ray.remote
    def single():
        return ray.get_runtime_context().get_task_id()

    task_id = ray.get(single.remote())
    wait_until(lambda: state.get_task(task_id) is not None, "the task in the list")
    assert state.get_task(task_id).name == "single"


def test_actors(ray, state, done):
    (actor,) = actors_of(state, "Listed", detail=True)
    assert (actor.state, actor.name, actor.ray_namespace) == ("ALIVE", "listed", "shown")
    assert actor.is_detached is True
    assert actor.actor_id == done._actor_id.hex()
    assert actor.pid > 0
    assert state.get_actor(actor.actor_id).class_name == actor.class_name
    (same,) = state.list_actors(filters=[("name", "=", "listed"), ("state", "=", "ALIVE")])
    assert same.actor_id == actor.actor_id


@pytest.mark.parametrize("options", [{}, {"max_concurrency": 2}, {"name": "named"}], ids=str)
def test_an_actor_that_says_what_it_is(ray, state, options):
    @ray.remote
    class Says:
        def __init__(self, what):
            self.what = what

        def __repr__(self):
            return self.what

        def method(self):
            return None

    what = f"Said({sorted(options)})"
    actor = Says.options(**options).remote(what)
    ray.get([actor.method.remote(), actor.method.options(name="by name").remote()])
    wait_until(lambda: state.get_actor(actor._actor_id.hex()).repr_name == what, "its name")

    def calls():
        found = state.list_tasks(filters=[("actor_id", "=", actor._actor_id.hex()), ("type", "=", "ACTOR_TASK")])
        return sorted((task.name, task.func_or_class_name) for task in found)

    wait_until(lambda: calls() == [(f"{what}.method", "Says.method"), ("by name", "Says.method")], "its calls")
    ray.kill(actor)


def test_a_dead_actor_stays_in_the_list(ray, state):
    @ray.remote
    class ShortLived:
        def pid(self):
            return os.getpid()

    actor = ShortLived.remote()
    pid = ray.get(actor.pid.remote())
    ray.kill(actor)
    wait_until(lambda: [one.state for one in actors_of(state, "ShortLived")] == ["DEAD"], "its death")
    (row,) = actors_of(state, "ShortLived", detail=True)
    assert "kill" in row.death_cause["actor_died_error_context"]["error_message"]
    assert row.num_restarts_due_to_lineage_reconstruction == 0
    assert (row.pid, row.node_id) == (pid, ray.get_runtime_context().get_node_id())


def test_calls_of_a_dead_actor_stay_its_calls(ray, state):
    @ray.remote
    class Late:
        def method(self):
            print("what the dead actor said")

        def dies(self):
            os._exit(1)

    actor = Late.remote()
    ray.get(actor.method.remote())
    for ref in (actor.dies.remote(), actor.method.remote()):
        with pytest.raises(ray.exceptions.ActorDiedError):
            ray.get(ref)

    def calls():
        found = state.list_tasks(filters=[("actor_id", "=", actor._actor_id.hex()), ("type", "=", "ACTOR_TASK")])
        return sorted((task.name, task.state) for task in found)

    expected = [("Late.dies", "FAILED"), ("Late.method", "FAILED"), ("Late.method", "FINISHED")]
    wait_until(lambda: calls() == expected, "all calls")
    assert "what the dead actor said" in "".join(state.get_log(actor_id=actor._actor_id.hex()))


def test_why_an_actor_never_lived(ray, state):
    @ray.remote
    class StillBorn:
        def __init__(self):
            raise ValueError("on purpose")

    actor = StillBorn.remote()
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.__ray_ready__.remote())
    wait_until(lambda: [one.state for one in actors_of(state, "StillBorn")] == ["DEAD"], "its death")
    (row,) = actors_of(state, "StillBorn", detail=True)
    assert "on purpose" in row.death_cause["creation_task_failure_context"]["formatted_exception_string"]


def test_a_constructor_that_never_ran_has_failed(ray, state):
    @ray.remote(num_cpus=1)
    class Holder:
        pass

    @ray.remote(num_cpus=2)
    class Unplaced:
        pass

    holder = Holder.remote()
    ray.get(holder.__ray_ready__.remote())
    actor = Unplaced.remote()
    ray.kill(actor)
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.__ray_ready__.remote())
    made = [("actor_id", "=", actor._actor_id.hex()), ("type", "=", "ACTOR_CREATION_TASK")]
    wait_until(lambda: [task.state for task in state.list_tasks(filters=made)] == ["FAILED"], "its end")
    ray.kill(holder)


def test_the_states_that_a_task_went_through(ray, state, done):
    wait_until(lambda: states_of(state, "counted") == ["FINISHED"] * 5, "the tasks in the list")
    rows = state.list_tasks(filters=[("name", "=", "counted")], limit=100, detail=True)
    for row in rows:
        went = [event["state"] for event in row.events]
        assert went == ["PENDING_ARGS_AVAIL", "PENDING_NODE_ASSIGNMENT", "SUBMITTED_TO_WORKER", "RUNNING", "FINISHED"]
        times = [event["created_ms"] for event in row.events]
        assert times == sorted(times)


def test_nodes_jobs_and_workers(ray, state, done):
    (node,) = state.list_nodes()
    assert (node.node_id, node.state) == (ray.get_runtime_context().get_node_id(), "ALIVE")
    assert node.is_head_node
    assert node.resources_total["CPU"] == 2.0
    job_id = ray.get_runtime_context().get_job_id()
    (job,) = [job for job in state.list_jobs() if job.job_id == job_id]
    assert (job.type, job.status) == ("DRIVER", "RUNNING")
    assert not job.status.is_terminal()
    assert (job.driver_info.id, job.driver_info.pid) == (job_id, str(os.getpid()))
    workers = state.list_workers(limit=1000)
    assert any(worker.worker_type == "DRIVER" and worker.is_alive for worker in workers)
    assert any(worker.worker_type == "WORKER" and worker.is_alive for worker in workers)


def test_placement_groups(ray, state):
    group = ray.util.placement_group([{"CPU": 1}], name="listed group")
    assert group.wait(30)

    def rows():
        return [row for row in state.list_placement_groups(detail=True) if row.placement_group_id == group.id.hex()]

    wait_until(lambda: rows() and rows()[0].state == "CREATED", "the group")
    assert rows()[0].name == "listed group"
    assert rows()[0].bundles[0]["unit_resources"]["CPU"] == 1.0
    ray.util.remove_placement_group(group)
    wait_until(lambda: rows()[0].state == "REMOVED", "its end")


def test_objects(ray, state):
    ref = ray.put(b"x" * 3_000_000)

    def listed():
        return [entry for entry in state.list_objects(limit=1000) if entry.object_id == ref.hex()]

    wait_until(listed, "the object")
    assert listed()[0].object_size >= 3_000_000
    assert listed()[0].type == "DRIVER"


def test_summaries(ray, state, done):
    wait_until(
        lambda: state.summarize_tasks()["cluster"]["summary"].get("counted", {}).get("state_counts") == {"FINISHED": 5},
        "the count of tasks",
    )
    tasks = state.summarize_tasks()["cluster"]
    assert tasks["summary_by"] == "func_name"
    assert tasks["summary"]["counted"]["type"] == "NORMAL_TASK"
    assert tasks["summary"]["Listed.method"]["type"] == "ACTOR_TASK"
    actors = state.summarize_actors()["cluster"]
    (listed,) = [entry for name, entry in actors["summary"].items() if name.split(".")[-1] == "Listed"]
    assert listed["state_counts"] == {"ALIVE": 1}
    assert state.summarize_objects()["cluster"]["total_objects"] >= 0


def test_a_summary_is_by_name(ray, state):
    @ray.remote
    def named():
        return 1

    ray.get([named.options(name="first name").remote(), named.options(name="second name").remote(), named.remote()])
    wanted = {name: {"FINISHED": 1} for name in ("first name", "second name", "named")}

    def counts():
        summary = state.summarize_tasks()["cluster"]["summary"]
        return {name: summary[name]["state_counts"] for name in wanted if name in summary}

    wait_until(lambda: counts() == wanted, "a count for each name")


def test_limits_and_filters(ray, state, done):
    wait_until(lambda: len(state.list_tasks(filters=[("name", "=", "counted")])) == 5, "all tasks")
    assert len(state.list_tasks(filters=[("name", "=", "counted")], limit=2, raise_on_missing_output=False)) == 2
    names = {task.name for task in state.list_tasks(filters=[("name", "!=", "counted")], limit=1000)}
    assert "counted" not in names
    assert "broken" in names
    assert state.list_tasks(filters=[("name", "=", "COUNTED")]) != [], "case does not matter"
    assert len(state.list_tasks(filters=[("Name", "=", "counted")])) == 5, "nor in the column's name"
    assert state.list_tasks(filters=[("name", "=", "no such task")]) == []


def test_what_tasks_asked_for(ray, state):
    @ray.remote
    def asks():
        return 1

    @ray.remote
    class Holds:
        def call(self):
            return 1

    plain = Holds.remote()
    held = Holds.options(num_cpus=0.5, name="holder", runtime_env={"env_vars": {"LISTED": "yes"}}).remote()
    ray.get([asks.remote(), plain.call.remote(), held.call.options(name="called").remote()])
    ray.get(
        [asks.options(num_cpus=0.25, name="less").remote(), asks.options(runtime_env={"env_vars": {"A": "1"}}).remote()]
    )

    def rows():
        return [
            row
            for row in state.list_tasks(detail=True, limit=1000)
            if row.func_or_class_name.split(".")[0] in ("asks", "Holds")
        ]

    wait_until(lambda: [row.state for row in rows()] == ["FINISHED"] * 7, "their ends")
    found = sorted(
        (
            row.func_or_class_name,
            row.name,
            sorted(row.required_resources.items()),
            row.runtime_env_info["serialized_runtime_env"],
        )
        for row in rows()
    )
    assert found == [
        ("Holds.__init__", "Holds.__init__", [], "{}"),
        ("Holds.__init__", "holder:Holds.__init__", [("CPU", 0.5)], '{"env_vars": {"LISTED": "yes"}}'),
        ("Holds.call", "Holds.call", [("CPU", 1.0)], "{}"),
        ("Holds.call", "called", [], "{}"),
        ("asks", "asks", [("CPU", 1.0)], '{"env_vars": {"A": "1"}}'),
        ("asks", "asks", [("CPU", 1.0)], "{}"),
        ("asks", "less", [("CPU", 0.25)], "{}"),
    ]
    went = [[event["state"] for event in row.events] for row in rows() if row.name == "Holds.__init__"]
    assert went == [["PENDING_ARGS_AVAIL", "PENDING_NODE_ASSIGNMENT", "RUNNING", "FINISHED"]]
    holders = {row.name: row for row in actors_of(state, "Holds", detail=True)}
    assert holders[""].required_resources == {} and holders["holder"].required_resources == {"CPU": 0.5}
    assert holders["holder"].serialized_runtime_env == '{"env_vars": {"LISTED": "yes"}}'


def test_who_submitted_a_task(ray, state):
    @ray.remote
    def child():
        return ray.get_runtime_context().get_task_id()

    @ray.remote
    def parent():
        return ray.get_runtime_context().get_task_id(), ray.get(child.remote())

    @ray.remote
    class Parent:
        def __init__(self):
            self.made_by = ray.get_runtime_context().get_task_id()

        def call(self):
            return ray.get_runtime_context().get_task_id(), ray.get(child.remote()), self.made_by

    task, of_task = ray.get(parent.remote())
    actor = Parent.remote()
    call, of_call, made_by = ray.get(actor.call.remote())

    def parent_of(task_id):
        wait_until(lambda: state.get_task(task_id) is not None, "the task in the list")
        return state.get_task(task_id).parent_task_id

    assert [parent_of(one) for one in (of_task, of_call)] == [task, call]
    assert parent_of(task) == parent_of(call) == "f" * 40 + ray.get_runtime_context().get_job_id()
    assert state.get_task(made_by).name == "Parent.__init__"


def test_wrong_limits_and_ids(ray, state):
    error = importlib.import_module(f"{LIBRARY}.util.state.exception").RayStateApiException
    assert state.list_tasks(limit=0) == []
    for limit in (-1, 10_001):
        with pytest.raises(error):
            state.list_tasks(limit=limit)
    for limit in (None, 1.5, "many"):
        with pytest.raises(ValueError):
            state.list_tasks(limit=limit)
    for get, characters in ((state.get_task, 48), (state.get_actor, 32), (state.get_node, 56)):
        assert get("f" * characters) is None
        for wrong in ("", "zz", "ab" * 5):
            with pytest.raises(error):
                get(wrong)
    for get in (state.get_worker, state.get_job, state.get_placement_group):
        assert get("no id") is None


def test_wrong_filters(ray, state, done):  # Ray looks at columns where there are rows
    with pytest.raises(ValueError):
        state.list_tasks(filters=[("name", "~", "x")])
    with pytest.raises(Exception, match="not supported"):
        state.list_tasks(filters=[("no_such_column", "=", "x")])


def test_columns_of_details_are_empty_without_detail(ray, state, done):
    (brief,) = state.list_tasks(filters=[("name", "=", "broken")])
    assert brief.start_time_ms is None
    (full,) = state.list_tasks(filters=[("name", "=", "broken")], detail=True)
    assert full.start_time_ms is not None


def test_from_inside_a_task(ray, state, done):
    library, address = LIBRARY, state.address

    @ray.remote
    def look():
        module = importlib.import_module(f"{library}.util.state")
        return [actor.name for actor in module.list_actors(address=address)]

    assert "listed" in ray.get(look.remote())


def test_logs(ray, state, done):
    @ray.remote
    class Talker:
        def talk(self):
            print("words for the log")

    actor = Talker.remote()
    ray.get(actor.talk.remote())
    node_id = ray.get_runtime_context().get_node_id()
    names = [name for names in state.list_logs(node_id=node_id).values() for name in names]
    assert any("worker" in name for name in names)
    wait_until(
        lambda: "words for the log" in "".join(state.get_log(actor_id=actor._actor_id.hex())), "what it said in its log"
    )


def test_the_log_of_a_task_has_its_words_alone(ray, state):
    @ray.remote(num_cpus=2)  # one after the other
    def says(*words):
        for word in words:
            print(word)
        return os.getpid()

    refs = [says.remote("one"), says.remote("two", "three", "four"), says.remote("five")]
    ray.get(refs)
    unknown = importlib.import_module(f"{LIBRARY}.util.state.exception").RayStateApiException

    def words(**options):
        try:
            return "".join(state.get_log(task_id=refs[1].task_id().hex(), **options))
        except unknown:  # Ray hears of it later
            return ""

    wait_until(lambda: "four" in words(), "its last word")
    assert words() == "two\nthree\nfour\n"
    assert words(tail=1) == "four\n"


def test_what_failed_tasks_raised(ray, state):
    @ray.remote(max_retries=0)
    def raises_for_the_list():
        raise ValueError("on purpose, 4711")

    @ray.remote(max_retries=0)
    def dies_for_the_list():
        os._exit(1)

    @ray.remote
    class DiesForTheList:
        def method(self):
            os._exit(1)

    refs = [raises_for_the_list.remote(), dies_for_the_list.remote(), DiesForTheList.remote().method.remote()]
    for ref in refs:
        with pytest.raises(ray.exceptions.RayError):
            ray.get(ref)

    def failed(part):
        rows = [row for row in state.list_tasks(detail=True, limit=1000) if part in row.name]
        return [(row.error_type, row.error_message) for row in rows if row.state == "FAILED"]

    def is_told(part):
        rows = failed(part)
        return rows and all(text for _, text in rows)

    wait_until(lambda: all(is_told(part) for part in ("raises_for_the", "dies_for_the", "DiesForTheList.method")))
    ((kind, text),) = failed("raises_for_the")
    assert kind == "TASK_EXECUTION_EXCEPTION"
    assert "ValueError: on purpose, 4711" in text and "raises_for_the_list" in text
    ((kind, text),) = failed("dies_for_the")
    assert kind == "WORKER_DIED" and text
    ((kind, text),) = failed("DiesForTheList.method")
    assert kind == "ACTOR_DIED" and text
    assert all(row.error_message is None for row in state.list_tasks(limit=1000))


def test_the_inner_module_of_state(ray):
    import importlib

    state = importlib.import_module(f"{ray.__name__}._private.state")

    @ray.remote
    class Known:
        def ping(self):
            return 1

    actor = Known.remote()
    ray.get(actor.ping.remote())
    facts = state.actors(actor._actor_id.hex())
    assert facts["State"] == "ALIVE" and facts["ActorClassName"].endswith("Known")
    assert facts["Address"]["NodeID"] == ray.get_runtime_context().get_node_id()
    assert actor._actor_id.hex() in state.actors(actor_state_name="ALIVE")
    assert ray.get_runtime_context().get_job_id() in [job["JobID"] for job in state.jobs()]
    node = ray.nodes()[0]["NodeID"]
    assert state.total_resources_per_node()[node]["CPU"] == ray.cluster_resources()["CPU"]
    assert "memory" in state.available_resources_per_node()[node]
    assert state.node_ids()[0].startswith("node:")


def test_the_same_by_a_client(ray, state, done):
    common = importlib.import_module(f"{ray.__name__}.util.state.common")
    client = state.StateApiClient()
    some = common.ListApiOptions(limit=1, filters=[("state", "=", "FINISHED")])
    (row,) = client.list(common.StateResource.TASKS, some, True)
    assert row.state == "FINISHED" and row.end_time_ms is None
    (row,) = client.list(
        common.StateResource.TASKS, options=common.ListApiOptions(limit=1, detail=True), raise_on_missing_output=False
    )
    assert row.creation_time_ms
    node = ray.nodes()[0]["NodeID"]
    assert client.get(common.StateResource.NODES, node, common.GetApiOptions(timeout=10)).state == "ALIVE"
    counted = client.summary(
        common.SummaryResource.TASKS, options=common.SummaryApiOptions(), raise_on_missing_output=True
    )
    assert sorted(counted["cluster"]) == sorted(state.summarize_tasks()["cluster"])
