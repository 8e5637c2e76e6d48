"""Environments with packages: made once, seen by tasks and actors, told of when they fail. No network is used."""

import os
import sys
import threading
import time
import types
import zipfile

import cluster_kit as kit
import pytest

CLUSTER = {"num_cpus": 2, "object_store_memory": 64 * 2**20}


def wheel(folder, version, name="placed", requires=""):
    """Make a wheel of one module that knows its version."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": "\n".join(lines + ([f"Requires-Dist: {requires}"] if requires else [])) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            archive.writestr(member, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{member},,\n" for member in [*files, f"{info}/RECORD"]))
    return str(path)


def packages(*paths):
    return {"pip": {"packages": list(paths), "pip_install_options": ["--no-index", "--no-deps"]}}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    """Virtual environments of these tests do not go into the user's cache."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="module")
def version_one(tmp_path_factory):
    return packages(wheel(tmp_path_factory.mktemp("wheels"), "1.0"))


@pytest.fixture
def ask(ray):
    @ray.remote
    def version():
        import cloudpickle  # nbray's own environment is seen as well
        import placed

        return placed.VERSION, sys.executable, os.getpid(), cloudpickle.__name__

    return version


def test_tasks_and_actors_see_the_package(ray, ask, version_one):
    found, executable, pid, _ = ray.get(ask.options(runtime_env=version_one).remote(), timeout=60)
    assert found == "1.0"
    assert executable != sys.executable
    again = ray.get(ask.options(runtime_env=version_one).remote(), timeout=60)
    assert again == (found, executable, pid, "cloudpickle"), "the same worker"

    @ray.remote(runtime_env=version_one)
    class Actor:
        def child(self):
            return ray.get(ask.remote())[0]

    assert ray.get(Actor.remote().child.remote(), timeout=60) == "1.0"
    with pytest.raises(ModuleNotFoundError):
        ray.get(ask.remote())


def test_two_versions_side_by_side(ray, ask, version_one, tmp_path):
    refs = [ask.options(runtime_env=env).remote() for env in (version_one, packages(wheel(tmp_path, "2.0")))]
    assert [found for found, *_ in ray.get(refs, timeout=60)] == ["1.0", "2.0"]


def test_others_run_while_one_is_made(ray, ask, tmp_path, gate):
    """Also those that are submitted after it, on all processors. To build the package takes until the gate is open."""

    @ray.remote
    def plain():
        return os.getpid()

    source = tmp_path / "gated"
    source.mkdir()
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "gated"\nbackend-path = ["."]\n'
    )
    (source / "gated.py").write_text(
        "import os, shutil, time\ndef build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        f"    while not os.path.exists({gate.path!r}):\n        time.sleep(0.01)\n"
        f"    return os.path.basename(shutil.copy({wheel(tmp_path, '3.0')!r}, folder))\n"
    )
    ref = ask.options(runtime_env=packages(str(source)), num_cpus=2).remote()
    assert ray.get([plain.remote() for _ in range(4)], timeout=60)
    assert ray.wait([ref], timeout=0)[0] == []
    gate.open()
    assert ray.get(ref, timeout=60)[0] == "3.0"


def test_it_is_made_once_for_all_clusters(ray, ask, version_one):
    """The folder is found by what is in it."""
    folder = ray.get(ask.options(runtime_env=version_one).remote(), timeout=60)[1].rpartition("/bin/")[0]
    complete = os.stat(os.path.join(folder, "complete")).st_ino
    assert ray.get(ask.options(runtime_env=dict(version_one, env_vars={"A": "b"})).remote(), timeout=60)[1].startswith(
        folder
    )
    assert os.stat(os.path.join(folder, "complete")).st_ino == complete


def test_failure_tells_the_end_of_the_log_and_can_be_tried_again(ray, ask, tmp_path):
    missing = tmp_path / "placed-9.0-py3-none-any.whl"
    env = packages(str(missing))
    with pytest.raises(ray.exceptions.RuntimeEnvSetupError, match="placed-9") as caught:
        ray.get(ask.options(runtime_env=env).remote(), timeout=60)
    assert "pip" in str(caught.value)
    wheel(tmp_path, "9.0")
    assert ray.get(ask.options(runtime_env=env).remote(), timeout=60)[0] == "9.0"


def test_a_conflict_is_an_error_when_it_is_checked(ray, ask, tmp_path):
    path = wheel(tmp_path, "1.0", name="choosy", requires="cloudpickle<0.1")
    env = {"pip": {"packages": [path], "pip_check": True, "pip_install_options": ["--no-index", "--no-deps"]}}
    with pytest.raises(ray.exceptions.RuntimeEnvSetupError, match="cloudpickle"):
        ray.get(ask.options(runtime_env=env).remote(), timeout=60)


def test_making_it_may_take_so_long_and_no_longer(ray, ask, tmp_path):
    source = tmp_path / "slow"
    source.mkdir()
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "slow"\nbackend-path = ["."]\n'
    )
    (source / "slow.py").write_text("import time\ntime.sleep(1000)\n")
    env = {**packages(str(source)), "config": {"setup_timeout_seconds": 3}}
    start = time.monotonic()
    with pytest.raises(ray.exceptions.RuntimeEnvSetupError, match="3 s"):
        ray.get(ask.options(runtime_env=env).remote(), timeout=60)
    assert time.monotonic() - start < 30
    kit.eventually(lambda: not _processes_with(str(source)), "the builder and its children are gone")


def test_a_killed_zygote_is_replaced(ray, version_one):
    @ray.remote(max_retries=3, runtime_env=version_one)
    def parent():
        return os.getppid()

    zygote = ray.get(parent.remote(), timeout=60)
    os.kill(zygote, 9)

    def replaced():
        return ray.get(parent.remote(), timeout=60) != zygote

    kit.eventually(replaced, "another zygote forks the workers")


def test_variables_that_count_before_a_process_starts(ray):
    @ray.remote
    def ask():
        return os.environ.get("PYTHONHASHSEED"), hash("nbray")

    env = {"env_vars": {"PYTHONHASHSEED": "0"}}
    first = ray.get(ask.options(runtime_env=env).remote(), timeout=60)
    assert first[0] == "0"

    @ray.remote
    class Actor:
        def ask(self):
            return os.environ.get("PYTHONHASHSEED"), hash("nbray")

    assert ray.get(Actor.options(runtime_env=env).remote().ask.remote(), timeout=60) == first
    assert ray.get(ask.remote())[0] is None


def test_an_interpreter_that_ends_before_it_forks_a_worker(ray, tmp_path):
    """The error says which one, and what it said."""
    wrong = tmp_path / "no_python"
    wrong.write_text("#!/bin/sh\necho here is no Python >&2\nexit 3\n")
    wrong.chmod(0o755)

    @ray.remote(max_retries=0)
    def ask():
        return os.getpid()

    for env, said in (
        ({"py_executable": str(wrong)}, f"{wrong}.*here is no Python"),
        ({"env_vars": {"PYTHONHOME": "/no/such/folder"}}, "PYTHONHOME=/no/such/folder.*Fatal Python error"),
    ):
        with pytest.raises(ray.exceptions.RuntimeEnvSetupError, match=f"(?s){said}"):
            ray.get(ask.options(runtime_env=env).remote(), timeout=60)
    assert ray.get(ask.remote())


def test_archives_and_files_and_modules(ray, tmp_path):
    archive = tmp_path / "work.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("inside.txt", "unpacked")
    sample = types.ModuleType("sample_module")
    sample.__file__ = str(tmp_path / "sample_module.py")
    (tmp_path / "sample_module.py").write_text("VALUE = 5\n")
    single = tmp_path / "single_module.py"
    single.write_text("VALUE = 1\n")
    env = {
        "working_dir": str(archive),
        "py_modules": [str(single), wheel(tmp_path, "4.0", name="from_wheel"), sample],
    }

    @ray.remote(runtime_env=env)
    def look():
        import from_wheel
        import sample_module
        import single_module

        return open("inside.txt").read(), single_module.VALUE, from_wheel.VERSION, sample_module.VALUE

    assert ray.get(look.remote()) == ("unpacked", 1, "4.0", 5)


def test_the_copy_is_made_once_and_keeps_what_it_had(ray, tmp_path):
    (tmp_path / "data.txt").write_text("before")

    @ray.remote
    def look():
        return open("data.txt").read(), os.getcwd()

    env = {"working_dir": str(tmp_path)}
    early = look.options(runtime_env=env)
    text, folder = ray.get(early.remote())
    assert text == "before"
    (tmp_path / "data.txt").write_text("after")
    assert ray.get(early.remote()) == ("before", folder)
    assert ray.get(look.options(runtime_env=env).remote())[0] == "after"
    (tmp_path / "data.txt").write_text("before")
    assert ray.get(look.options(runtime_env=env).remote()) == ("before", folder)


def test_many_submit_the_same_folder_at_once(ray, tmp_path):
    for number in range(50):
        (tmp_path / f"f{number}").write_text("x" * 10_000)
    found, errors = set(), []

    @ray.remote
    def where():
        return os.getcwd(), len(os.listdir("."))

    def submit():
        try:
            found.add(ray.get(where.options(runtime_env={"working_dir": str(tmp_path)}).remote()))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(found) == 1
    assert next(iter(found))[1] == 50


def _processes_with(text):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if text.encode() in file.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def test_environments_are_listed(ray):
    from nbray.util.state import list_runtime_envs

    @ray.remote(runtime_env={"env_vars": {"LISTED": "yes"}})
    class Actor:
        def value(self):
            return os.environ["LISTED"]

    actor = Actor.remote()
    assert ray.get(actor.value.remote()) == "yes"
    (row,) = [row for row in list_runtime_envs() if "LISTED" in str(row)]
    assert row["runtime_env"]["env_vars"] == {"LISTED": "yes"}
    assert row["success"] and row["ref_cnt"] == 1


def test_one_that_cannot_be_made_is_listed_with_the_reason(ray, ask, tmp_path):
    from nbray.util.state import list_runtime_envs

    missing = tmp_path / "placed-11.0-py3-none-any.whl"
    env = packages(str(missing))

    def row():
        (found,) = [row for row in list_runtime_envs() if "placed-11.0" in str(row.runtime_env)]
        return found

    with pytest.raises(ray.exceptions.RuntimeEnvSetupError):
        ray.get(ask.options(runtime_env=env).remote(), timeout=60)
    assert not row().success and "placed-11.0" in row().error
    wheel(tmp_path, "11.0")
    ray.get(ask.options(runtime_env=env).remote(), timeout=60)
    assert row().success and row().error is None


def test_a_misspelt_key_is_told(ray):
    @ray.remote
    def value():
        return 1

    with pytest.warns(UserWarning, match="runtime_env\\['env_var'\\] has no effect.*Did you mean 'env_vars'?"):
        assert ray.get(value.options(runtime_env={"env_var": {"A": "1"}}).remote()) == 1
