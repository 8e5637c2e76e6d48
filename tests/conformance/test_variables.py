"""Environment variables of Ray that programs are started with."""

import json

HOOK = """
def add_a_variable(runtime_env):
    return {**(runtime_env or {}), "env_vars": {"FROM_THE_HOOK": "1"}}
"""


def test_a_hook_for_the_runtime_environment(run_script, tmp_path):
    (tmp_path / "a_hook.py").write_text(HOOK)
    run_script(
        f"""
        import os, sys

        sys.path.insert(0, {str(tmp_path)!r})

        @ray.remote
        def variable():
            return os.environ.get("FROM_THE_HOOK")

        ray.init(num_cpus=1)
        assert ray.get(variable.remote()) == "1"
        ray.shutdown()
        ray.init(num_cpus=1, _skip_env_hook=True)
        assert ray.get(variable.remote()) is None
        """,
        env={"RAY_RUNTIME_ENV_HOOK": "a_hook.add_a_variable"},
    )


SPILL = """
    import os
    import numpy as np

    ray.init(num_cpus=1, object_store_memory=80 * 2**20)
    folder = %(folder)r
    refs = [ray.put(np.full(2**20, i)) for i in range(30)]
    assert [int(ray.get(ref)[0]) for ref in refs] == list(range(30))
    assert sum(len(files) for _, _, files in os.walk(folder)) > 0, os.listdir(folder)
"""


def test_a_folder_for_spilled_objects(run_script, tmp_path):
    config = {"type": "filesystem", "params": {"directory_path": str(tmp_path)}}
    run_script(SPILL % {"folder": str(tmp_path)}, env={"RAY_object_spilling_config": json.dumps(config)})


def test_a_folder_for_spilled_objects_in_the_system_config(run_script, tmp_path):
    """With the settings that stand beside it in Ray's guide."""
    config = {"type": "filesystem", "params": {"directory_path": str(tmp_path)}}
    settings = {"max_io_workers": 4, "min_spilling_size": 2**20, "object_spilling_config": json.dumps(config)}
    text = SPILL.replace("2**20)\n", f"2**20, _system_config={settings!r})\n", 1)
    run_script(text % {"folder": str(tmp_path)})


def test_the_share_of_the_store_that_is_filled_before_objects_are_spilled(run_script, tmp_path):
    config = {"type": "filesystem", "params": {"directory_path": str(tmp_path)}}
    settings = {"object_spilling_threshold": 0.2, "min_spilling_size": 0, "object_spilling_config": json.dumps(config)}
    run_script(
        f"""
        import os, time
        import numpy as np

        ray.init(num_cpus=1, object_store_memory=80 * 2**20, _system_config={settings!r})
        refs = [ray.put(np.zeros(2**20)) for _ in range(4)]  # 40 %
        until = time.monotonic() + 60
        while not sum(len(files) for _, _, files in os.walk({str(tmp_path)!r})):
            assert time.monotonic() < until
            time.sleep(0.05)
        """
    )


def test_what_is_left_out_of_a_working_directory(run_script, tmp_path):
    folder = tmp_path / "work"
    for name in ("venv", "data"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("x")
    (folder / "ignored").write_text("x")
    (folder / ".gitignore").write_text("ignored\n")
    text = f"""
        import os

        @ray.remote
        def present():
            return sorted(name for name in os.listdir() if not name.startswith("."))

        ray.init(num_cpus=1, runtime_env={{"working_dir": {str(folder)!r}}})
        print(ray.get(present.remote()))
        """
    for env, present in [
        ({}, ["data"]),
        ({"RAY_RUNTIME_ENV_IGNORE_GITIGNORE": "1"}, ["data", "ignored"]),
        ({"RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES": "data"}, ["venv"]),
    ]:
        assert str(present) in run_script(text, env=env).stdout, env


GPUS = """
    import os

    ray.init(num_cpus=1, num_gpus=2)

    @ray.remote
    def visible():
        return os.environ.get("CUDA_VISIBLE_DEVICES")

    one = visible.options(num_gpus=1)
    print([ray.get(ref) for ref in (visible.remote(), one.remote(), visible.remote())])
"""


def test_what_is_visible_without_a_gpu(run_script, monkeypatch):
    """What the program was started with, also after a task that had one."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "[None, '0', None]" in run_script(GPUS).stdout


def test_visible_gpus_by_variables(run_script, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "['', '0', '']" in run_script(GPUS, env={"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}).stdout
    alone = {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}
    assert "[None, None, None]" in run_script(GPUS, env=alone).stdout


def test_the_level_of_the_library_s_own_messages(run_script):
    text = "ray.init(num_cpus=1); import logging; print(logging.getLogger(ray.__name__).level)"
    assert run_script(text, env={"RAY_LOGGER_LEVEL": "error"}).stdout.strip().endswith(str(40))
