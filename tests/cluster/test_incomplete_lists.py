"""Lists of a cluster in which a process does not answer: what is there is listed, and who is missing is said."""

import os
import signal
import warnings
from types import SimpleNamespace

import cluster_kit as kit
import pytest

from nbray.cli.main import main
from nbray.notebook import cluster_pages
from nbray.util import state


@pytest.fixture
def silent(fresh):
    """A cluster with an actor that holds a value and has been stopped: its pid."""
    fresh.init(num_cpus=2, object_store_memory=64 * 2**20)

    @fresh.remote
    class Holder:
        def hold(self):
            self.kept = fresh.put(bytes(200_000))
            return os.getpid()

    holder = Holder.remote()
    pid = fresh.get(holder.hold.remote())
    os.kill(pid, signal.SIGSTOP)
    kit.eventually(lambda: kit.is_stopped(pid), "the actor stands still")
    yield pid
    os.kill(pid, signal.SIGCONT)


def test_who_does_not_answer_is_named(silent, capsys):
    said = rf"1 process \(pid {silent}\) did not answer within 2 s"
    for ask, what in (
        (state.list_tasks, "tasks"),
        (state.list_objects, "objects"),
        (state.summarize_objects, "objects"),
    ):
        with pytest.warns(UserWarning, match=f"The list of {what} may be incomplete: {said}") as caught:
            assert ask()
        assert caught[0].filename == __file__  # of the line that asked
    with pytest.warns(UserWarning, match=said):
        assert state.get_task("ab" * 24) is None  # perhaps it is one of its tasks
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert state.list_actors() and state.list_nodes()  # of these the daemon knows

    for command in (["list", "objects"], ["list", "objects", "--format", "json"], ["summary", "tasks"]):
        capsys.readouterr()
        assert main(command) == 0
        told = capsys.readouterr()
        assert f"pid {silent}" in told.err and "may be incomplete" in told.err and told.out

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for page in (cluster_pages.objects(SimpleNamespace(user_ns={})), cluster_pages.tasks(None, "hold")):
            assert any(f"pid {silent}" in note for note in page.notes)


def test_nothing_is_said_where_all_answer(fresh, capsys):
    fresh.init(num_cpus=1, object_store_memory=64 * 2**20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state.list_tasks()
        state.summarize_tasks()
    assert main(["list", "tasks"]) == 0
    assert "incomplete" not in capsys.readouterr().err
