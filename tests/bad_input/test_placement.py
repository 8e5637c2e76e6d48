"""Row 19, and rows 33, 34, 38, 39: groups that cannot be, modules and environments that are not there."""

import sys
import time

import pytest


@pytest.mark.parametrize(
    ("bundles", "options", "words"),
    [
        ([{"CPU": 1}, {"CPU": 3}], {}, ["Bundle 1", "CPU: 3", "has 2 CPU"]),
        ([{"CPU": 1}, {"GPU": 2}], {"name": "two gpus"}, ["Bundle 1", "'two gpus'", "GPU", "1"]),
        ([{"CPU": 1}, {"wigdet": 1}], {}, ["Bundle 1", "wigdet", "widget"]),
        ([{"CPU": 2}, {"CPU": 1}], {}, ["Bundle 1", "CPU: 1", "left"]),
        (
            [{"CPU": 1}, {"CPU": 1}],
            {"strategy": "STRICT_SPREAD"},
            ["Bundle 1", "STRICT_SPREAD", "2 bundles", "one node"],
        ),
        ([{"CPU": 2}, {"CPU": 2}], {"strategy": "STRICT_PACK"}, ["Bundle 1", "STRICT_PACK", "left"]),
    ],
    ids=str,
)
def test_row_19_a_group_that_no_node_can_have(ray, bundles, options, words):
    deadline = time.monotonic() + 60
    while ray.available_resources() != ray.cluster_resources():  # the leases of the test before
        assert time.monotonic() < deadline
        time.sleep(0.01)
    start = time.monotonic()
    with pytest.raises(ray.exceptions.TaskUnschedulableError) as caught:
        ray.util.placement_group(bundles, **options)
    assert time.monotonic() - start < 30
    text = str(caught.value)
    for word in [*words, "wait_for_resources=True"]:
        assert word in text, text
    assert ray.available_resources() == ray.cluster_resources()


def test_row_19_unless_it_is_to_wait(ray):
    group = ray.util.placement_group([{"CPU": 1}] * 2, strategy="STRICT_SPREAD", wait_for_resources=True)
    assert group.wait(0.2) is False
    assert ray.util.placement_group_table(group)["stats"]["scheduling_state"] == "INFEASIBLE"
    ray.util.remove_placement_group(group)
    with pytest.raises(ray.exceptions.TaskPlacementGroupRemoved):
        group.wait(10)


def test_row_19_labels_that_no_node_has(ray):
    group = ray.util.placement_group([{"CPU": 1}], bundle_label_selector=[{"zone": "nowhere"}])
    with pytest.raises(ray.exceptions.TaskUnschedulableError, match=r"Bundle 0.*zone"):
        ray.get(group.ready(), timeout=60)


@pytest.mark.parametrize("bundle", [{"CPU": -1}, {"CPU": float("nan")}, {"GPU": 1.5}, {"CPU": 0.00001}], ids=str)
def test_row_15_amounts_of_bundles(ray, bundle):
    """Ray takes these; a negative one ends its node."""
    with pytest.raises(ValueError, match="Bundle 1"):
        ray.util.placement_group([{"CPU": 1}, bundle])


def test_a_task_that_its_bundle_cannot_hold(ray):
    from nbray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    @ray.remote(num_gpus=1)
    def task():
        return 1

    group = ray.util.placement_group([{"CPU": 1, "GPU": 1}, {"CPU": 1}])
    strategy = PlacementGroupSchedulingStrategy(group, 1)
    with pytest.raises(ray.exceptions.TaskUnschedulableError, match=r"bundle 1.*CPU: 1"):
        ray.get(task.options(scheduling_strategy=strategy).remote(), timeout=60)
    ray.util.remove_placement_group(group)


@pytest.mark.parametrize("options", [{"label_selector": {"zone": "nowhere"}}, {"accelerator_type": "H100"}], ids=str)
def test_labels_and_kinds_that_no_node_has(ray, options):
    @ray.remote
    def a_task():
        return 1

    @ray.remote
    class AnActor:
        def method(self):
            return 1

    (value,) = options.values()
    word = "nowhere" if isinstance(value, dict) else value
    with pytest.raises(ray.exceptions.TaskUnschedulableError, match=word):
        ray.get(a_task.options(**options).remote(), timeout=60)
    with pytest.raises(ray.exceptions.ActorUnschedulableError, match=word):
        ray.get(AnActor.options(**options).remote().method.remote(), timeout=60)


def test_row_33_a_module_that_the_worker_has_not(ray, tmp_path):
    """The driver has it; the error says where it is missing and what the driver has."""
    source = tmp_path / "only_here.py"
    source.write_text("__version__ = '1.2'\n")
    sys.path.insert(0, str(tmp_path))
    try:
        import only_here

        source.unlink()  # else the worker would find it, too: the driver's paths reach it

        @ray.remote
        def use():

            return only_here.__version__

        with pytest.raises(ModuleNotFoundError) as caught:
            ray.get(use.remote())
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["only_here"]
    assert isinstance(caught.value, ray.exceptions.RayTaskError)
    text = str(caught.value)
    for word in ("only_here", "node", sys.executable, str(tmp_path), "1.2"):
        assert word in text, text


def test_row_38_a_path_that_is_not_there(ray):
    @ray.remote
    def task():
        return 1

    for env in ({"working_dir": "/no/such/folder"}, {"py_modules": ["/no/such/module"]}, {"pip": "/no/such/file"}):
        with pytest.raises(ray.exceptions.RuntimeEnvSetupError, match="/no/such"):
            task.options(runtime_env=env).remote()


@pytest.mark.parametrize("key", ["conda", "image_uri", "container", "java_jars"])
def test_row_38_what_nbray_cannot_make(ray, key):
    @ray.remote
    def task():
        return 1

    with pytest.raises(ValueError, match=rf"{key}.*not supported"):
        task.options(runtime_env={key: "x"}).remote()


def test_rows_34_and_38_packages_that_cannot_be_had(ray, tmp_path, monkeypatch):
    """A pinned version that is nowhere, without a network."""

    @ray.remote
    def task():
        return 1

    env = {"pip": {"packages": ["cloudpickle==0.0.1"], "pip_install_options": ["--no-index"]}}
    start = time.monotonic()
    with pytest.raises(ray.exceptions.RuntimeEnvSetupError) as caught:
        ray.get(task.options(runtime_env=env).remote(), timeout=60)
    assert time.monotonic() - start < 60
    text = str(caught.value)
    for word in ("cloudpickle==0.0.1", "task", ".log", "ERROR"):
        assert word in text, text


def test_row_39_a_working_dir_that_is_too_large(run_script, tmp_path, monkeypatch):
    folder = tmp_path / "large"
    folder.mkdir()
    (folder / "big.bin").write_bytes(b"x" * 3_000_000)
    (folder / "small.txt").write_text("x")
    monkeypatch.setenv("NBRAY_PACKAGE_BYTES", "1000000")
    done = run_script(
        f"""
        ray.init(num_cpus=1)

        @ray.remote
        def look():
            import os
            return sorted(os.listdir("."))

        try:
            look.options(runtime_env={{"working_dir": {str(folder)!r}}}).remote()
        except ValueError as error:
            print(error)
        env = {{"working_dir": {str(folder)!r}, "excludes": ["*.bin"]}}
        print(ray.get(look.options(runtime_env=env).remote()))
        """
    )
    for word in ("2.9 MiB", "1.0 MiB", "big.bin", "excludes", "['small.txt']"):
        assert word in done.stdout, done.stdout + done.stderr
