"""What a driver, a task and an actor can ask about themselves."""

import os

import pytest


@pytest.fixture(scope="module")
def ask(ray):
    @ray.remote
    def ask(*questions):
        context = ray.get_runtime_context()
        return [getattr(context, question)() for question in questions]

    return ask


def test_the_driver(ray):
    context = ray.get_runtime_context()
    assert isinstance(context.get_job_id(), str)
    assert isinstance(context.get_node_id(), str)
    assert isinstance(context.get_worker_id(), str)
    assert context.get_task_id() is None
    assert context.get_actor_id() is None
    assert context.should_capture_child_tasks_in_placement_group is False


def test_a_task(ray, ask):
    job, node, task, actor = ray.get(ask.remote("get_job_id", "get_node_id", "get_task_id", "get_actor_id"))
    context = ray.get_runtime_context()
    assert job == context.get_job_id()
    assert node == context.get_node_id()
    assert isinstance(task, str)
    assert actor is None


def test_every_task_has_its_own_id(ray, ask):
    ids = ray.get([ask.remote("get_task_id") for _ in range(20)])
    assert len({one for (one,) in ids}) == 20


def test_the_task_id_belongs_to_the_ref(ray, ask):
    ref = ask.remote("get_task_id")
    assert ray.get(ref) == [ref.task_id().hex()]


def test_workers_have_ids_of_their_own(ray, ask):
    (worker,) = ray.get(ask.remote("get_worker_id"))
    assert worker != ray.get_runtime_context().get_worker_id()


def test_names_of_tasks(ray, ask):
    assert ray.get(ask.options(name="my task").remote("get_task_name")) == ["my task"]
    assert "ask" in ray.get(ask.remote("get_task_name"))[0]
    module, _, name = ray.get(ask.options(name="other").remote("get_task_function_name"))[0].rpartition(".")
    assert name == "ask" and module


def test_the_module_of_a_function_of_the_program_is_named(run_script):
    done = run_script(
        """
        def f():
            return ray.get_runtime_context().get_task_function_name()

        class A:
            def f(self):
                return f()

        ray.init(num_cpus=1)
        print(ray.get(ray.remote(f).remote()), ray.get(ray.remote(A).remote().f.remote()))
        """
    )
    assert done.stdout.splitlines()[-1] == "program.f program.A.f"


def test_resources_of_a_task(ray, ask):
    question = "get_assigned_resources"
    assert ray.get(ask.remote(question)) == [{"CPU": 1.0}]
    assert ray.get(ask.options(num_cpus=2).remote(question)) == [{"CPU": 2.0}]
    assert ray.get(ask.options(num_cpus=0.5, resources={"widget": 1}).remote(question)) == [{"CPU": 0.5, "widget": 1.0}]
    assert ray.get(ask.options(num_cpus=0).remote(question)) == [{}]


def test_an_actor(ray):
    @ray.remote
    class Actor:
        def ask(self, question):
            return getattr(ray.get_runtime_context(), question)()

    actor = Actor.options(name="known").remote()
    actor_id = ray.get(actor.ask.remote("get_actor_id"))
    assert isinstance(actor_id, str)
    assert actor_id in repr(actor)
    assert ray.get(actor.ask.remote("get_actor_name")) == "known"
    assert ray.get(actor.ask.remote("get_job_id")) == ray.get_runtime_context().get_job_id()
    assert ray.get(actor.ask.remote("get_task_id")) != ray.get(actor.ask.remote("get_task_id"))
    assert ray.get(actor.ask.remote("get_task_name")) == "Actor.ask"
    other = Actor.remote()
    assert ray.get(other.ask.remote("get_actor_id")) != actor_id
    ray.kill(actor)


def test_whether_an_actor_was_restarted(ray):
    @ray.remote(max_restarts=1, max_task_retries=1)
    class Actor:
        def restarted(self):
            return ray.get_runtime_context().was_current_actor_reconstructed

        def die_once(self):
            if not ray.get_runtime_context().was_current_actor_reconstructed:
                os._exit(1)
            return True

    actor = Actor.remote()
    assert ray.get(actor.restarted.remote()) is False
    assert ray.get(actor.die_once.remote()) is True


def test_the_namespace(ray):
    assert isinstance(ray.get_runtime_context().namespace, str)


def test_ids_are_hexadecimal(ray, ask):
    for value in ray.get(ask.remote("get_job_id", "get_node_id", "get_task_id", "get_worker_id")):
        int(value, 16)


def test_a_call_that_is_not_cancelled(ray):
    @ray.remote
    class Actor:
        def ask(self):
            return ray.get_runtime_context().is_canceled()

    assert ray.get(Actor.remote().ask.remote()) is False


def test_what_is_only_for_workers(ray):
    context = ray.get_runtime_context()
    with pytest.raises(RuntimeError):
        context.is_canceled()
    with pytest.raises(AssertionError):
        context.get_assigned_resources()
    with pytest.raises(AssertionError):
        assert not context.was_current_actor_reconstructed
    with pytest.raises(RuntimeError):
        assert context.current_actor
    assert context.get_task_name() is None
    assert context.get_task_function_name() is None
    assert context.get_actor_name() is None


def test_the_current_actor(ray):
    @ray.remote
    class Actor:
        def __init__(self):
            self.count = 0

        def count_up(self):
            self.count += 1
            return self.count

        def me(self):
            return ray.get_runtime_context().current_actor

        def of_a_task(self):
            return ray.get(ask_twice.remote())

    @ray.remote
    def ask_twice():
        return ray.get_runtime_context().get_actor_id()

    actor = Actor.remote()
    me = ray.get(actor.me.remote())
    assert ray.get([actor.count_up.remote(), me.count_up.remote()]) == [1, 2]
    assert ray.get(actor.of_a_task.remote()) is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_older_names(ray):
    context = ray.get_runtime_context()
    assert context.job_id.hex() == context.get_job_id()
    assert context.node_id.hex() == context.get_node_id()
    assert context.get()["namespace"] == context.namespace
    assert context.current_placement_group_id.is_nil()
    with pytest.raises(AssertionError):
        assert context.task_id

    @ray.remote
    class Actor:
        def ask(self):
            context = ray.get_runtime_context()
            facts = context.get()
            return [
                context.task_id.hex() == context.get_task_id() == facts["task_id"].hex(),
                context.actor_id.hex() == context.get_actor_id() == facts["actor_id"].hex(),
            ]

    assert ray.get(Actor.remote().ask.remote()) == [True, True]


def test_the_session(ray):
    context = ray.get_runtime_context()
    assert context.get_session_name().startswith("session_")
    assert isinstance(context.get_temp_dir(), str)
    assert context.get_runtime_env_string() == "{}"
    assert dict(context.runtime_env) == {}


def test_no_resources_of_an_actor_that_asks_for_none(ray):
    @ray.remote
    class Actor:
        def ask(self):
            return ray.get_runtime_context().get_assigned_resources()

    assert ray.get(Actor.remote().ask.remote()) == {}
    assert ray.get(Actor.options(num_cpus=2, resources={"widget": 1}).remote().ask.remote()) == {"CPU": 2, "widget": 1}


def test_the_process_behind_the_context(ray):
    @ray.remote
    class Actor:
        def tell(self):
            worker = ray.get_runtime_context().worker
            return worker.mode, worker.actor_id.hex(), worker.current_task_id.is_nil(), worker.namespace

    actor = Actor.remote()
    worker = ray.get_runtime_context().worker
    assert worker.connected and worker.mode == ray.SCRIPT_MODE
    assert worker.actor_id.is_nil()
    assert worker.current_node_id.hex() == ray.get_runtime_context().get_node_id()
    assert worker.current_job_id.hex() == ray.get_runtime_context().get_job_id()
    assert ray.get(actor.tell.remote()) == (ray.WORKER_MODE, actor._actor_id.hex(), False, worker.namespace)


def test_the_logger_of_the_library(ray):
    assert ray.logger.name == "ray"
