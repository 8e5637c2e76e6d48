"""Drivers that are started in odd ways: without standard output, in a folder that is gone, by many threads, under limits."""

import errno
import os
import subprocess
import sys
import tempfile
import textwrap

import pytest

import nbray
from nbray.node import session_dir

PROGRAM = """
    import nbray

    @nbray.remote
    def double(x):
        return 2 * x

    def main():
        assert nbray.get([double.remote(x) for x in range(3)]) == [0, 2, 4]
"""


def start(text, tmp_path, shell='exec "$@"', **options):
    """Run a program that may use `double` and `main`, through a line of shell; returns the completed process."""
    program = textwrap.dedent(PROGRAM) + textwrap.dedent(text)
    command = ["sh", "-c", shell, "sh", sys.executable, "-c", program]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=150, cwd=tmp_path, **options)


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_standard_descriptors_are_closed(tmp_path, closed):
    """A service may start a program so. The next socket got such a number, and the daemon could not be given it."""
    text = """
        nbray.init(num_cpus=1)
        main()
        import os
        assert [os.path.realpath(f"/proc/self/fd/{number}") for number in CLOSED] == ["/dev/null"] * len(CLOSED)
        assert all(os.get_inheritable(number) for number in CLOSED)
        open("done", "w").close()
    """
    numbers = {"2>&-": [2], ">&- 2>&-": [1, 2], "<&- >&- 2>&-": [0, 1, 2]}[closed]
    start(text.replace("CLOSED", str(numbers)), tmp_path, f'exec "$@" {closed}')
    assert (tmp_path / "done").exists()


def test_python_takes_warnings_for_errors(tmp_path):
    text = """
        class Counter:
            n = 0

            def add(self, text=b"bytes"):
                self.n += 1
                return self.n

        if __name__ == "__main__":
            main()
            counter = nbray.remote(Counter).remote()
            assert nbray.get([counter.add.remote() for _ in range(3)]) == [1, 2, 3]
            try:
                nbray.get(nbray.remote(lambda: 1 / 0).remote())
            except ZeroDivisionError as error:
                assert "1 / 0" in str(error) or "<lambda>" in str(error)
            nbray.shutdown()
            open("done", "w").close()
    """
    done = start(text, tmp_path, 'python="$1"; shift; exec "$python" -bb -W error "$@"')
    assert (tmp_path / "done").exists(), done.stderr


STREAMS = {
    "closed": "sys.stdout.close(); sys.stderr.close()",
    "none": "sys.stdout = sys.stderr = None",
    "broken": "sys.stdout = sys.stderr = types.SimpleNamespace(write=lambda text: 1 / 0)",
}


@pytest.mark.parametrize("how", STREAMS)
def test_what_tasks_print_cannot_be_shown(tmp_path, how):
    """Their values come all the same."""
    text = """
        import sys, types
        nbray.init(num_cpus=1)
        BREAK

        @nbray.remote
        def say(i):
            print("said", i)
            return i

        for i in range(3):
            assert nbray.get([say.remote(i), say.remote(-i)]) == [i, -i]
        open("done", "w").close()
    """
    start(text.replace("BREAK", STREAMS[how]), tmp_path)
    assert (tmp_path / "done").exists()


def test_a_finalizer_at_the_very_end_starts_no_cluster(tmp_path):
    """Python calls it when no thread comes to run any more: starting one waited for ever."""
    text = """
        import os
        nbray.init(num_cpus=1)

        class Late:
            def __del__(self, put=nbray.put, error=nbray.exceptions.RaySystemError, write=os.write):
                try:
                    put(1)
                except error as why:
                    write(1, str(why).encode())

        kept = Late()
        kept.itself = kept
    """
    done = start(text, tmp_path, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (
        0, "The interpreter ends: nbray has been shut down, and cannot be started any more.",
    ), done.stderr  # fmt: skip


def test_the_working_directory_is_gone(tmp_path):
    done = start("nbray.init(num_cpus=1)\nmain()", tmp_path, 'mkdir gone && cd gone && rmdir ../gone && exec "$@"')
    assert done.returncode == 0, done.stderr


def test_threads_that_come_at_once_share_one_cluster(tmp_path):
    """The first use starts a cluster; a second thread was told that it had called init() twice."""
    text = """
        import threading
        failed = []
        together = threading.Barrier(4)

        def use():
            together.wait()
            try:
                main()
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=use) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert not failed, failed
    """
    done = start(text, tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_store_keeps_to_a_limit_of_addresses(tmp_path):
    text = """
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        nbray.init(num_cpus=1)
        main()
        assert nbray.cluster_resources()["object_store_memory"] < 1 << 30
    """
    done = start(text, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("limit", "option"), [("RLIMIT_AS", "ulimit -v"), ("RLIMIT_FSIZE", "ulimit -f")])
def test_a_limit_that_leaves_no_room_is_named(tmp_path, limit, option):
    text = f"""
        import resource
        resource.setrlimit(resource.{limit}, (1 << 30, 1 << 30))
        nbray.init(num_cpus=1)
    """
    done = start(text, tmp_path)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("nbray.exceptions.SharedMemoryTooSmallError"), done.stderr
    assert f"{option} allows 1024 MiB" in last


FULL_FOR_THE_DAEMON = """
import errno, os, sys
if "boot.py" in " ".join(sys.orig_argv):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.rename = full
"""


def test_a_disk_that_is_full_when_the_daemon_starts_is_named(monkeypatch):
    nbray.shutdown()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setenv("PYTHONPATH", f"{folder}:{os.environ.get('PYTHONPATH', '')}")
        with open(os.path.join(folder, "sitecustomize.py"), "w") as file:
            file.write(FULL_FOR_THE_DAEMON)
        with pytest.raises(OSError, match=f"No space left on device in {folder}.*set TMPDIR"):
            nbray.init(num_cpus=1, _temp_dir=folder)
    assert not nbray.is_initialized()


def test_a_full_disk_is_named_and_nothing_is_left(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(session_dir, "spill_dirs", full)
    nbray.shutdown()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # short enough for a socket
        with pytest.raises(OSError, match=f"No space left on device in {folder}.*set TMPDIR") as caught:
            nbray.init(num_cpus=1, _temp_dir=folder)
        assert caught.value.errno == errno.ENOSPC
        assert not os.listdir(session_dir.user_dir(folder))
    assert not nbray.is_initialized()


def test_more_actors_than_files_may_be_open(start_driver):
    """The daemon watches each; ZeroMQ would end it at its limit. Those beyond wait until others have gone."""
    driver = start_driver(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
        ray.init(num_cpus=1, object_store_memory=2**26)

        @ray.remote(num_cpus=0)
        class Actor:
            def call(self):
                return 1

        actors = [Actor.remote() for _ in range(40)]
        calls = [actor.call.remote() for actor in actors]
        ray.wait(calls, num_returns=10)
        say("answer", len(ray.wait(calls, num_returns=40, timeout=5)[0]))
        for actor in actors:
            ray.kill(actor)
        say("works", ray.get(ray.remote(lambda: 1).remote()))
        """
    )
    assert 10 <= int(driver.expect("answer")) <= 18
    assert driver.expect("works") == "1"
    driver.finish()
