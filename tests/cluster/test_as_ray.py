"""``as_ray``: programs and packages that say ``import ray`` run on nbray, in the driver and in the workers."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

PACKAGE = """
import ray
from ray.exceptions import RayTaskError
from ray.util.queue import Queue

class Plain:
    pass

@ray.remote
def versions():
    import importlib.metadata, ray.util
    return ray.__name__, ray.__version__, importlib.metadata.version("ray"), ray.util.__name__

@ray.remote
class Actor:
    def __init__(self, plain):
        assert type(plain) is Plain

    def nested(self):
        return ray.get(versions.remote())
"""

SAID = ("ray", "2.60.0", "2.60.0", "nbray.util")


@pytest.fixture
def run(tmp_path):
    """Run a program beside a package that imports ray, and a module that is no Ray but has its name."""
    (tmp_path / "package.py").write_text(PACKAGE)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "ray.py").write_text("__version__ = '1.0'\n")

    def run(text: str) -> str:
        path = tmp_path / "program.py"
        path.write_text(textwrap.dedent(text))
        environ = {name: value for name, value in os.environ.items() if name != "NBRAY_AS_RAY"}
        done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=120, env=environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_a_package_that_imports_ray(run):
    run(f"""
        import nbray
        nbray.as_ray()
        import ray, package
        ray.init(num_cpus=2)
        assert package.ray is ray
        assert ray.get(package.versions.remote()) == {SAID!r}
        actor = package.Actor.remote(package.Plain())
        assert ray.get(actor.nested.remote()) == {SAID!r}
        queue = package.Queue(actor_options={{"num_cpus": 0}})
        queue.put(1)
        assert queue.get() == 1

        @ray.remote
        def main_function():  # the module is captured by name
            import ray as inner
            return ray.__name__, inner is ray

        assert ray.get(main_function.remote()) == ("ray", True)
        """)


def test_when_the_cluster_runs_already(run):
    run(f"""
        import nbray
        nbray.init(num_cpus=1)
        warm = nbray.remote(lambda: None)
        nbray.get(warm.remote())
        with nbray.as_ray():
            import package
            assert nbray.get(package.versions.remote()) == {SAID!r}
            actor = package.Actor.options(num_cpus=0).remote(package.Plain())
            assert nbray.get(actor.nested.remote()) == {SAID!r}
        """)


def test_the_modules_are_the_same(run):
    run("""
        import nbray
        nbray.as_ray()
        import ray
        import ray.actor, ray.exceptions, ray.remote_function, ray.util, ray.util.queue, nbray.util.queue
        import ray.util.annotations, ray.util.client.common, ray._private.services, ray._private.worker
        import ray.cloudpickle, ray.types, ray.runtime_context, ray.job_config
        from ray._raylet import ObjectRef
        from ray.actor import ActorHandle
        from ray.remote_function import RemoteFunction
        from ray.util import ActorPool, get_node_ip_address
        assert ray.util is nbray.util and ray.util.__spec__.name == "nbray.util"
        assert ray.util.queue is nbray.util.queue
        assert ray.ObjectRef is nbray.ObjectRef is ObjectRef is ray.types.ObjectRef
        assert ray.exceptions.RayError is nbray.exceptions.RayError
        assert ray.__version__ == "2.60.0" and nbray.__version__ != ray.__version__
        assert not ray._private.worker.global_worker.connected
        assert not ray.util.client.ray.is_connected()
        ray.init(num_cpus=1)
        assert get_node_ip_address() == ray._private.services.get_node_ip_address() == ray.nodes()[0]["NodeManagerAddress"]
        assert ray._private.worker.global_worker.mode == ray._private.worker.SCRIPT_MODE
        """)


def test_nbray_has_each_module_that_ray_has(run):
    """``import nbray.x`` wherever ``import ray.x`` works, here and in workers, without as_ray."""
    run("""
        import importlib, pkgutil, sys
        import nbray
        import nbray._private.worker
        from nbray.ray_names import _private
        from nbray.util.state import list_tasks
        from nbray.cloudpickle import CloudPickler
        assert nbray._private is _private and nbray._private.worker is _private.worker
        assert _private.worker.__spec__.name == "nbray.ray_names._private.worker"

        def places():
            import nbray.ray_names
            found = pkgutil.walk_packages(nbray.ray_names.__path__, "nbray.ray_names.")
            return [name for _, name, _ in found if name.split(".")[2] not in ("autoscaler", "data")]

        def import_all():
            for name in places():
                short = name.replace("ray_names.", "")
                assert importlib.import_module(short) is importlib.import_module(name), short
            return len(places())

        nbray.init(num_cpus=1)
        assert nbray.get(nbray.remote(import_all).remote()) == import_all() > 10
        for missing in ("nbray.no_such_part", "nbray._private.no_such_part", "nbray.util.no_such_part"):
            try:
                importlib.import_module(missing)
            except ModuleNotFoundError as error:
                assert error.name == missing, error
            else:
                raise AssertionError(missing)
        with nbray.as_ray():
            import ray.cloudpickle, ray._private.worker
            assert ray.cloudpickle is nbray.cloudpickle and ray._private.worker is _private.worker
        """)


def test_what_packages_take_from_inner_modules(run):
    run("""
        import nbray
        nbray.as_ray()
        import ray
        from ray._private.client_mode_hook import client_mode_hook, client_mode_should_convert, disable_client_hook
        from ray._private.internal_api import memory_summary

        @client_mode_hook
        def first():
            return 1

        @client_mode_hook(anything=1)
        def second():
            return 2

        with disable_client_hook():
            assert (first(), second(), client_mode_should_convert()) == (1, 2, False)
        ray.init(num_cpus=1)
        refs = [ray.put(bytes(size)) for size in (200_000, 100_000)]
        page = memory_summary()
        assert page.index(refs[0].hex()) < page.index(refs[1].hex()), page
        assert refs[1].hex() not in memory_summary(num_entries=1)
        assert "objects" in memory_summary(stats_only=True) and refs[0].hex() not in memory_summary(stats_only=True)
        ray._private.internal_api.free(refs)
        """)


def test_what_is_put_into_ray_is_in_nbray(run):
    run("""
        import nbray
        nbray.as_ray()
        import ray
        from unittest import mock
        original = ray.get
        with mock.patch("ray.get", "patched"):
            assert ray.get == nbray.get == "patched"
        assert ray.get is original and nbray.get is original
        """)


def test_what_nbray_does_not_have(run):
    run("""
        import importlib.util
        import nbray
        for statement in ("from nbray import data", "import nbray.tune"):
            try:
                exec(statement)
            except ImportError as error:
                assert "nbray does not have ray." in str(error)
            else:
                raise AssertionError(statement)
        nbray.as_ray()
        import ray
        for name in ("train", "tune", "serve", "rllib"):
            for statement in (f"import ray.{name}", f"from ray import {name}", f"from ray.{name}.x import y"):
                try:
                    exec(statement)
                except ModuleNotFoundError as error:
                    assert f"nbray does not have ray.{name}" in str(error), error
                else:
                    raise AssertionError(statement)
            assert not hasattr(ray, name)
        assert importlib.util.find_spec("ray") is not None
        from ray.data import from_pandas_refs  # Modin imports it and never calls it
        for use in ("from ray.data import read_csv", "from_pandas_refs([])"):
            try:
                exec(use)
            except ImportError as error:
                assert "nbray does not have ray.data" in str(error), error
            else:
                raise AssertionError(use)
        for name in ("iter", "tracing", "spark"):
            for statement in (f"import ray.util.{name}", f"from ray.util import {name}", f"from ray.util.{name} import y", f"import nbray.util.{name}.x", f"nbray.util.{name}", f"ray.util.{name}"):
                try:
                    exec(statement)
                except (ModuleNotFoundError, AttributeError) as error:
                    assert f"nbray does not have ray.util.{name}" in str(error), (statement, error)
                else:
                    raise AssertionError(statement)
            assert not hasattr(ray.util, name)
        for module in (ray, nbray):
            try:
                module.cross_language
            except AttributeError as error:
                assert "Python alone" in str(error), error
        try:
            import ray.no_such_part
        except ModuleNotFoundError as error:
            assert error.name == "ray.no_such_part"
        """)


def test_again_and_undone(run):
    run("""
        import importlib.metadata, os, sys
        import nbray
        sys.path.insert(1, os.path.join(os.path.dirname(__file__), "elsewhere"))
        nbray.init(num_cpus=1)

        @nbray.remote
        def version():
            import ray
            return ray.__version__

        with nbray.as_ray() as outer:
            with nbray.as_ray():
                pass
            import ray, ray.util.queue
            assert nbray.get(version.remote()) == ray.__version__ == "2.60.0"
        assert not [name for name in sys.modules if name.split(".")[0] == "ray"]
        assert nbray.util.queue.__spec__.name == "nbray.util.queue"
        import ray
        assert ray.__version__ == "1.0"
        assert nbray.get(version.remote()) == "1.0"
        """)


def test_ray_itself_was_there_first(run):
    run("""
        import os, sys
        sys.path.insert(1, os.path.join(os.path.dirname(__file__), "elsewhere"))
        import ray, nbray
        try:
            nbray.as_ray()
        except RuntimeError as error:
            assert "before anything imports ray" in str(error) and "1.0" in str(error)
        else:
            raise AssertionError
        assert ray.__version__ == "1.0"
        """)


def test_inner_modules_are_there_without_an_import(run):
    run("""
        import nbray
        nbray.as_ray()
        import ray
        assert not ray._private.worker.global_worker.connected
        assert ray._private.internal_api.free and ray._private.state.nodes
        assert ray._private.utils.get_num_cpus() and ray.ray_constants.GPU == ray._private.ray_constants.GPU
        assert not hasattr(ray._private, "no_such_module")
        """)


def test_the_older_way_to_begin(run):
    run("""
        import nbray, pytest
        nbray.as_ray()
        import ray
        with pytest.warns(DeprecationWarning, match="use init"):
            context = ray.client("local").namespace("mine").env({"env_vars": {"NAME": "value"}}).connect()
        assert isinstance(context, ray._private.worker.BaseContext)

        @ray.remote
        def there():
            import os
            return os.environ["NAME"], ray.get_runtime_context().namespace

        assert ray.get(there.remote()) == ("value", "mine")
        context.disconnect()
        with pytest.raises(ConnectionError, match="names no cluster"), pytest.warns(DeprecationWarning):
            ray.ClientBuilder("ray://127.0.0.1:10001").connect()
        """)


def test_nodes_of_graphs_are_only_asked_for(run):
    run("""
        import nbray, pytest
        nbray.as_ray()
        import ray
        from ray.dag import ClassMethodNode, DAGNode

        class Mine(ClassMethodNode):
            pass

        assert not isinstance(ray.remote(len), DAGNode)
        with pytest.raises(NotImplementedError, match="no graphs"):
            Mine()
        """)


def test_attributes_that_ray_has_given_up(run):
    run("""
        import nbray
        nbray.as_ray()
        import ray
        assert not ray.worker.global_worker.connected
        ray.init(num_cpus=1)
        assert ray.worker.global_worker.connected and ray.state.actors() == {}

        @ray.remote
        def there():
            return ray.worker.global_worker.mode, len(ray.state.nodes())

        assert ray.get(there.remote()) == (ray.WORKER_MODE, 1)
        """)


def test_the_version_that_a_package_asks_for(run):
    run("""
        import importlib.metadata
        import nbray
        nbray.as_ray(version="2.55.1")
        import ray
        assert ray.__version__ == importlib.metadata.version("ray") == "2.55.1"

        @ray.remote
        def versions():
            import ray
            return ray.__version__, importlib.metadata.version("ray")

        ray.init(num_cpus=1)
        assert ray.get(versions.remote()) == ("2.55.1", "2.55.1")
        nbray.as_ray()
        assert ray.__version__ == "2.55.1"
        nbray.as_ray(version="2.9.3")
        assert ray.__version__ == importlib.metadata.version("ray") == "2.9.3"
        assert ray.get(versions.remote()) == ("2.9.3", "2.9.3")
        for wrong in ("new", "2", 2.55, ""):
            try:
                nbray.as_ray(version=wrong)
            except ValueError as error:
                assert repr(wrong) in str(error)
            else:
                raise SystemExit(f"{wrong!r} was not refused")
        """)


def test_a_hint_at_what_will_be_wanted(run):
    run("""
        import nbray
        nbray.as_ray()
        import ray
        from ray.autoscaler.sdk import request_resources
        try:
            request_resources(num_cpus=1)
        except RuntimeError as error:
            assert "init" in str(error)
        else:
            raise AssertionError
        ray.init(num_cpus=1)
        assert request_resources(num_cpus=8) is None
        assert request_resources(bundles=[{"CPU": 1}, {"CPU": 2}]) is None
        try:
            request_resources(bundle_label_selectors=[{"zone": "a"}])
        except AssertionError as error:
            assert "bundle_label_selectors" in str(error)
        else:
            raise SystemExit("not refused")
        assert ray.cluster_resources()["CPU"] == 1
        """)


def test_a_part_that_is_not_there_is_told_once(run):
    run("""
        import nbray
        nbray.as_ray()
        import ray

        @ray.remote
        def tune():
            from ray import tune

        ray.init(num_cpus=1)
        try:
            ray.get(tune.remote())
        except ImportError as error:
            assert "nbray does not have ray.tune" in str(error) and "has no module" not in str(error), error
        else:
            raise SystemExit("not refused")
        """)


def test_a_function_keeps_its_place_when_the_module_of_its_name_is_imported(run):
    run("""
        import sys
        import nbray
        nbray.as_ray()
        import ray
        from ray.util.placement_group import PlacementGroup, placement_group
        import ray.util.placement_group
        assert ray.util.placement_group is nbray.util.placement_group is placement_group and callable(placement_group)
        assert sys.modules["ray.util.placement_group"] is sys.modules["nbray.util.placement_group"]
        """)


def test_helpers_for_tests(run):
    run("""
        import asyncio
        import nbray
        nbray.as_ray()
        import pytest, ray
        from ray._private import test_utils
        from ray._common.test_utils import async_wait_for_condition, run_string_as_driver, Semaphore, SignalActor, wait_for_condition
        assert test_utils.SignalActor is SignalActor and test_utils.wait_for_condition is wait_for_condition

        ray.init(num_cpus=2)
        signal = SignalActor.remote()

        @ray.remote
        def waits(signal):
            ray.get(signal.wait.remote())
            return 7

        ref = waits.remote(signal)
        wait_for_condition(lambda least: ray.get(signal.cur_num_waiters.remote()) == least, timeout=60, least=1)
        assert ray.get(signal.wait.remote(should_wait=False)) is None
        ray.get(signal.send.remote(clear=True))
        assert ray.get(ref) == 7
        again = waits.remote(signal)
        wait_for_condition(lambda: ray.get(signal.cur_num_waiters.remote()) == 1, timeout=60)
        ray.get(signal.send.remote())
        assert ray.get(again) == 7 and ray.get(waits.remote(signal)) == 7

        semaphore = Semaphore.remote(value=1)
        ray.get(semaphore.acquire.remote())
        assert ray.get(semaphore.locked.remote())
        second = semaphore.acquire.remote()
        ray.get(semaphore.release.remote())
        ray.get(second)

        with pytest.raises(RuntimeError, match="(?s)wasn't met.*ZeroDivisionError"):
            wait_for_condition(lambda: 1 / 0, timeout=0.2, retry_interval_ms=1)
        wait_for_condition(lambda: True, timeout=-1)  # asked once in any case: the machine may have stood still
        asyncio.run(async_wait_for_condition(lambda: True, timeout=-1))
        with pytest.raises(ZeroDivisionError):
            wait_for_condition(lambda: 1 / 0, raise_exceptions=True)

        async def later(answers=iter([False, True])):
            return next(answers)

        asyncio.run(async_wait_for_condition(later, timeout=60, retry_interval_ms=1))
        with pytest.raises(RuntimeError, match="wasn't met"):
            asyncio.run(async_wait_for_condition(lambda: False, timeout=0.1))

        assert ray.get([test_utils.put_object("x", use) for use in (True, False)]) == ["x", "x"]
        assert test_utils.same_elements([{}, 1], [1, {}]) and not test_utils.same_elements([1], [1, 2])
        """)


def test_programs_of_tests(run):
    run("""
        import inspect, subprocess
        import nbray
        nbray.as_ray()
        import pytest
        from ray._private.test_utils import (
            run_string_as_driver, run_string_as_driver_nonblocking, run_string_as_driver_stdout_stderr, wait_for_pid_to_exit
        )
        program = inspect.cleandoc('''
            from __future__ import annotations
            import ray, sys
            ray.init(num_cpus=1)
            @ray.remote
            def f():
                return ray.__version__
            print(ray.get(f.remote()))
            print("aside", file=sys.stderr)
        ''')
        assert {"2.60.0", "aside"} <= set(run_string_as_driver(program).split())
        out, err = run_string_as_driver_stdout_stderr(program)
        assert out == "2.60.0\\n" and "aside" in err
        for run in (run_string_as_driver, run_string_as_driver_stdout_stderr):
            with pytest.raises(subprocess.CalledProcessError):
                run("raise SystemExit(3)")
        process = run_string_as_driver_nonblocking("import time; print('on', flush=True); time.sleep(1000)")
        assert process.stdout.readline() == b"on\\n"
        with pytest.raises(TimeoutError):
            wait_for_pid_to_exit(process.pid, timeout=0.1)
        process.kill()
        wait_for_pid_to_exit(process.pid, timeout=60)
        process.communicate()
        wait_for_pid_to_exit(process.pid)
        """)
