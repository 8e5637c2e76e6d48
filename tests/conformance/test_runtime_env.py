"""Runtime environments: variables, working directory, modules, hooks; who inherits what."""

import importlib
import os
import subprocess
import sys

import pytest

from .kit import LIBRARY

if LIBRARY == "ray":
    from ray.runtime_env import RuntimeEnv, RuntimeEnvConfig
else:
    from nbray.runtime_env import RuntimeEnv, RuntimeEnvConfig


@pytest.fixture(scope="module")
def ray(library, tmp_path_factory):
    """A cluster whose job has variables, a working directory and a module."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "work" / "inner").mkdir(parents=True)
    (folder / "work" / "note.txt").write_text("here")
    (folder / "work" / "beside_me.py").write_text("VALUE = 7\n")
    (folder / "work" / "left_out.txt").write_text("secret")
    (folder / "work" / ".gitignore").write_text("*.ignored\n")
    (folder / "work" / "inner" / "a.ignored").write_text("x")
    (folder / "work" / "inner" / "kept").write_text("x")
    (folder / "a_package").mkdir()
    (folder / "a_package" / "__init__.py").write_text("VALUE = 8\n")
    os.environ["CONFORMANCE_BASE"] = "base"
    library.init(
        num_cpus=2,
        runtime_env={
            "env_vars": {"FROM_JOB": "job", "SHARED": "job", "BUILT": "${CONFORMANCE_BASE}/more"},
            "working_dir": str(folder / "work"),
            "py_modules": [str(folder / "a_package")],
            "excludes": ["left_out.txt"],
        },
    )
    yield library
    library.shutdown()
    del os.environ["CONFORMANCE_BASE"]


@pytest.fixture
def variables(ray):
    @ray.remote
    def ask():
        return [os.environ.get(name) for name in ("FROM_JOB", "SHARED", "FROM_TASK")]

    return ask


def test_the_driver_keeps_its_own(ray):
    assert "FROM_JOB" not in os.environ
    assert not os.path.exists("note.txt")
    assert ray.get_runtime_context().runtime_env["env_vars"]["FROM_JOB"] == "job"


def test_the_list_of_jobs_has_it(ray):
    state = importlib.import_module(f"{LIBRARY}.util.state")
    context = ray.get_runtime_context()
    jobs = state.list_jobs(address=context.gcs_address, detail=True)
    (job,) = [job for job in jobs if job.job_id == context.get_job_id()]
    assert job.runtime_env["env_vars"]["SHARED"] == "job"


def test_the_job_s_variables(ray, variables):
    assert ray.get(variables.remote()) == ["job", "job", None]


def test_variables_can_use_others(ray):
    @ray.remote
    def ask():
        return os.environ["BUILT"]

    assert ray.get(ask.remote()) == "base/more"


def test_a_task_s_variables_go_over_the_job_s(ray, variables):
    with_env = variables.options(runtime_env={"env_vars": {"SHARED": "task", "FROM_TASK": "task"}})
    assert ray.get(with_env.remote()) == ["job", "task", "task"]
    assert ray.get(variables.remote()) == ["job", "job", None]


def test_in_the_decorator_and_in_options(ray):
    @ray.remote(runtime_env={"env_vars": {"SHARED": "decorator"}})
    def ask():
        return os.environ["SHARED"]

    assert ray.get(ask.remote()) == "decorator"
    assert ray.get(ask.options(runtime_env={"env_vars": {"SHARED": "options"}}).remote()) == "options"
    assert ray.get(ask.options(num_cpus=1).remote()) == "decorator"


def test_children_inherit(ray, variables):
    @ray.remote
    def parent(env):
        return ray.get(variables.options(runtime_env=env).remote() if env is not None else variables.remote())

    with_env = parent.options(runtime_env={"env_vars": {"FROM_TASK": "parent"}})
    assert ray.get(with_env.remote(None)) == ["job", "job", "parent"]
    assert ray.get(with_env.remote({})) == ["job", "job", "parent"]
    assert ray.get(with_env.remote({"env_vars": {"SHARED": "child"}})) == ["job", "child", "parent"]


def test_actors(ray, variables):
    @ray.remote
    class Actor:
        def ask(self):
            return [os.environ.get(name) for name in ("FROM_JOB", "SHARED", "FROM_TASK")]

        def child(self):
            return ray.get(variables.remote())

    plain = Actor.remote()
    assert ray.get(plain.ask.remote()) == ["job", "job", None]
    actor = Actor.options(runtime_env={"env_vars": {"FROM_TASK": "actor"}}).remote()
    assert ray.get(actor.ask.remote()) == ["job", "job", "actor"]
    assert ray.get(actor.child.remote()) == ["job", "job", "actor"]


def test_variables_are_set_before_anything_of_the_user_is_loaded(ray):
    class AtLoading:
        """Unpickled in the worker."""

        def __init__(self, seen=None):
            self.seen = seen

        def __reduce__(self):
            return eval, ("__import__('os').environ.get('FROM_TASK')",)

    @ray.remote
    def give(value):
        return value

    env = {"env_vars": {"FROM_TASK": "early"}}
    assert ray.get(give.options(runtime_env=env).remote(AtLoading())) == "early"


def test_pythonpath(ray, tmp_path):
    """Tasks, actors and their child processes find modules there, after the working directory and before what all have."""
    (tmp_path / "of_pythonpath.py").write_text("VALUE = 5\n")
    (tmp_path / "beside_me.py").write_text("VALUE = 0\n")
    env = {"env_vars": {"PYTHONPATH": str(tmp_path)}}

    @ray.remote
    def look():
        import beside_me
        import of_pythonpath

        child = [sys.executable, "-c", "import of_pythonpath as m; print(m.VALUE)"]
        standard = sys.path.index(os.path.dirname(os.__file__))
        before = sys.path.index(os.path.dirname(of_pythonpath.__file__)) < standard
        return of_pythonpath.VALUE, beside_me.VALUE, before, int(subprocess.check_output(child))

    @ray.remote
    class Actor:
        def look(self):
            import of_pythonpath

            return of_pythonpath.VALUE

    assert ray.get(look.options(runtime_env=env).remote()) == (5, 7, True, 5)
    assert ray.get(Actor.options(runtime_env=env).remote().look.remote()) == 5


def test_threads_that_the_environment_asks_for(ray):
    @ray.remote
    def threads():
        return os.environ["OMP_NUM_THREADS"]

    assert ray.get(threads.options(runtime_env={"env_vars": {"OMP_NUM_THREADS": "13"}}).remote()) == "13"
    assert ray.get(threads.remote()) == "1"


def test_the_working_directory(ray):
    @ray.remote
    def look():
        import beside_me

        with open("note.txt") as file:
            return file.read(), beside_me.VALUE, sorted(os.listdir(".")), os.listdir("inner")

    text, value, names, inner = ray.get(look.remote())
    assert (text, value) == ("here", 7)
    assert "left_out.txt" not in names
    assert inner == ["kept"]


def test_modules(ray):
    @ray.remote
    def look():
        import a_package

        return a_package.VALUE

    assert ray.get(look.remote()) == 8


def test_the_context_tells_it(ray):
    @ray.remote
    def tell():
        context = ray.get_runtime_context()
        return dict(context.runtime_env["env_vars"]), context.get_runtime_env_string()

    env, text = ray.get(tell.options(runtime_env={"env_vars": {"FROM_TASK": "told"}}).remote())
    assert env["FROM_JOB"] == "job"
    assert env["FROM_TASK"] == "told"
    assert '"FROM_TASK"' in text


@pytest.mark.parametrize(
    "env",
    [
        5, "text", {"env_vars": {"A": 1}}, {"env_vars": ["A"]}, {"env_vars": {1: "a"}}, {"working_dir": 5},
        {"py_modules": "x"}, {"pip": 5}, {"config": 5},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_types(ray, variables, env):
    with pytest.raises(TypeError):
        variables.options(runtime_env=env).remote()


@pytest.mark.parametrize(
    "env",
    [
        {"pip": [], "conda": "x"}, {"pip": {"packages": [], "other": 1}}, {"pip": "/no/such/file.txt"},
        {"working_dir": "/no/such/folder"}, {"config": {"setup_timeout_seconds": 0}},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_values(ray, variables, env):
    with pytest.raises(ValueError):
        variables.options(runtime_env=env).remote()


def test_the_class(ray, variables):
    env = RuntimeEnv(env_vars={"FROM_TASK": "class"})
    assert env == {"env_vars": {"FROM_TASK": "class"}}
    assert env.env_vars() == {"FROM_TASK": "class"}
    assert env.to_dict() == dict(env)
    assert not env.has_working_dir()
    assert RuntimeEnv(pip=["a", "b"])["pip"]["packages"] == ["a", "b"]
    assert ray.get(variables.options(runtime_env=env).remote())[2] == "class"
    assert RuntimeEnvConfig(setup_timeout_seconds=10)["setup_timeout_seconds"] == 10
    for wrong in ({"env_vars": {"A": 1}}, {"working_dir": "/no/such/folder"}):
        with pytest.raises((TypeError, ValueError)):
            RuntimeEnv(**wrong)


def test_a_hook_runs_before_the_first_task(fresh):
    def hook():
        os.environ["HOOKED"] = "yes"

    fresh.init(num_cpus=1, runtime_env={"worker_process_setup_hook": hook})

    @fresh.remote
    def ask():
        return os.environ.get("HOOKED")

    assert fresh.get(ask.remote()) == "yes"
    assert "HOOKED" not in os.environ


def test_a_hook_that_raises(fresh):
    def hook():
        raise ValueError("no")

    fresh.init(num_cpus=1, runtime_env={"worker_process_setup_hook": hook})

    @fresh.remote(max_retries=0)
    def ask():
        return 1

    with pytest.raises(fresh.exceptions.RayError):
        fresh.get(ask.remote())


@pytest.mark.parametrize("env", [{"working_dir": "/no/such/folder"}, {"env_vars": {"A": 1}}], ids=str)
def test_init_refuses_a_wrong_one(fresh, env):
    with pytest.raises((TypeError, ValueError)):
        fresh.init(num_cpus=1, runtime_env=env)


def test_packages_that_are_not_there(fresh):
    fresh.init(num_cpus=1)

    @fresh.remote
    def task():
        return 1

    @fresh.remote
    class Actor:
        def call(self):
            return 1

    env = {"pip": ["nbray-there-is-no-such-package==1.0"]}
    with pytest.raises(fresh.exceptions.RuntimeEnvSetupError, match="no-such-package"):
        fresh.get(task.options(runtime_env=env).remote(), timeout=100)
    with pytest.raises(fresh.exceptions.RuntimeEnvSetupError, match="no-such-package"):
        fresh.get(Actor.options(runtime_env=env).remote().call.remote(), timeout=100)
    assert fresh.get(task.remote()) == 1


def test_the_interpreter_can_be_chosen(fresh):
    fresh.init(num_cpus=1)

    @fresh.remote
    def ask():
        return sys.executable

    assert fresh.get(ask.options(runtime_env={"py_executable": f"{sys.executable} -u"}).remote()) == sys.executable


def test_the_module_below_the_module(ray):
    module = importlib.import_module(f"{LIBRARY}.runtime_env.runtime_env")
    assert module.RuntimeEnv is RuntimeEnv
    assert module.RuntimeEnvConfig is RuntimeEnvConfig


def test_fields_that_are_set_later_are_checked(ray, variables):
    env = RuntimeEnv()
    env["env_vars"] = {"FROM_TASK": "set later"}
    assert ray.get(variables.options(runtime_env=env).remote())[2] == "set later"
    for name, value in (("env_vars", {"A": 1}), ("pip", 5), ("excludes", "a")):
        with pytest.raises(TypeError):
            env[name] = value
        with pytest.raises(TypeError):
            env.set(name, value)
    assert dict(env) == env.to_dict() == {"env_vars": {"FROM_TASK": "set later"}}
    env.set("pip", ["a", "b==1"])
    assert env.has_pip() and not env.has_uv() and not env.has_conda()
    assert env.pip_config() == {"packages": ["a", "b==1"], "pip_check": False}


def test_the_config_as_a_dict():
    config = RuntimeEnvConfig.parse_and_validate_runtime_env_config({"setup_timeout_seconds": 3})
    assert config.to_dict() == {**RuntimeEnvConfig.default_config(), "setup_timeout_seconds": 3}
