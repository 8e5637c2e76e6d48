"""``%%remote --actor NAME``: names are kept in an actor, from cell to cell."""

from __future__ import annotations

from kit import Kernel


def test_names_are_kept_also_what_cannot_be_pickled(kernel: Kernel) -> None:
    kernel.ok("%%remote --actor a1\nimport threading\nlock = threading.Lock()\nn = 1\n_private = 5")
    cell = kernel.ok("%%remote --actor a1\nn += 1\nlock.acquire(timeout=1), n, _private")
    assert cell.value == "(True, 2, 5)"
    assert cell.text("stderr") == ""
    assert kernel.ok("n, '_private' in globals()").value == "(2, False)"
    # What cannot travel is told when it is used, not before.
    assert "lives in the actor a1" in (kernel.ok("lock").value or "")
    error = kernel.run("lock.locked()").error
    assert error["ename"] == "AttributeError"
    assert "--actor a1" in error["evalue"]


def test_the_actors_name_wins_and_others_are_taken_from_here(kernel: Kernel) -> None:
    kernel.ok("helper_value = 10\ndef helper(): return helper_value")
    kernel.ok("%%remote --actor a2\nx = 'there'\ndef inside(): return helper()")
    kernel.ok("x = 'here'")
    assert kernel.ok("%%remote --actor a2\nx, helper()").value == "('there', 10)"
    # What was only sent along is new at its next use.
    kernel.ok("helper_value = 20\ndef helper(): return helper_value + 1")
    assert kernel.ok("%%remote --actor a2\nhelper()").value == "21"
    assert kernel.ok("%%remote --actor a2\nhelper(), inside()").value == "(21, 21)"
    # And a function that comes along does not replace what is the actor's.
    kernel.ok("def reads_x(): return x")
    assert kernel.ok("%%remote --actor a2\nreads_x()").value == "'there'"


def test_unpicklable_names_of_here_do_not_matter_when_the_actor_has_its_own(kernel: Kernel) -> None:
    kernel.ok("%%remote --actor a3\nhandle = 7")
    kernel.ok("handle = open('a3.txt', 'w'); other = open('a3.txt')")
    assert kernel.ok("%%remote --actor a3\nhandle + 1").value == "8"
    error = kernel.run("%%remote --actor a3\n\nother.read()").error
    assert error["ename"] == "TypeError"
    assert "other: TextIOWrapper, line 3" in error["evalue"]
    kernel.ok("handle.close(); other.close(); del handle, other")


def test_changes_in_place_are_kept_and_come_back(kernel: Kernel) -> None:
    kernel.ok("%%remote --actor a4\nseen = []\nclass Model:\n    w = 0\nmodel = Model()")
    kernel.ok("%%remote --actor a4\nseen.append(1)\nmodel.w = 5")
    kernel.ok("%%remote --actor a4\nseen.append(2)")
    assert kernel.ok("seen, model.w").value == "([1, 2], 5)"
    kernel.ok("%%remote --actor a4\ndel seen")
    assert kernel.ok("'seen' in globals()").value == "False"
    assert kernel.run("%%remote --actor a4\nseen").error["ename"] == "NameError"


def test_it_survives_errors_and_interrupts(kernel: Kernel) -> None:
    cell = kernel.run("%%remote --actor a5\nkept = 3\nmore = kept / 0")
    assert "----> 3 more = kept / 0" in cell.traceback
    assert kernel.ok("kept").value == "3"
    with kernel.patient():
        cell = kernel.start("%%remote --actor a5\nhalf = 1\nimport time\nprint('go'); time.sleep(100)\nwhole = 2")
        kernel.until(lambda: cell.text() == "go\n")
        kernel.interrupt()
        kernel.finish(cell)
    assert cell.error["ename"] == "KeyboardInterrupt"
    assert "----> 4 print('go'); time.sleep(100)" in cell.traceback
    assert kernel.ok("%%remote --actor a5\nkept, half").value == "(3, 1)"


def test_an_interrupt_while_the_actor_is_made_loses_none(kernel: Kernel) -> None:
    kernel.ok(
        "import signal\nfrom nbray.util.state import list_actors\nactors = get_ipython()._nbray_extension.magics.cells.actors\n"
        "class Interrupted(dict):\n    def __setitem__(self, name, handle):\n        signal.raise_signal(signal.SIGINT)\n"
        "        super().__setitem__(name, handle)\n"
        "kept, actors._handles = actors._handles, Interrupted(actors._handles)"
    )
    assert kernel.run("%%remote --actor cut\n1").error["ename"] == "KeyboardInterrupt"
    kernel.ok("actors._handles = {**actors._handles}\ndel kept")
    assert kernel.ok("%%remote --actor cut\n7").value == "7"
    assert kernel.ok("[one.state for one in list_actors() if one.name == 'cut']").value == "['ALIVE']"


def test_async_cells_of_one_actor_run_in_order(kernel: Kernel) -> None:
    kernel.ok("%%remote --actor a6\norder = []")
    kernel.ok("%%remote --actor a6 --async\nimport time\ntime.sleep(0.2)\norder.append(1)\nlater = order")
    assert kernel.ok("%%remote --actor a6\norder.append(2)\norder").value == "[1, 2]"
    assert kernel.ok("nbray.get(later)").value in ("[1]", "[1, 2]")


def test_it_is_a_named_actor_and_can_be_ended(kernel: Kernel) -> None:
    kernel.ok("%%remote --actor a7 --num-cpus 0\nimport os\npid = os.getpid()\nonly_there = 1")
    kernel.ok("first = pid\nnbray.kill(nbray.get_actor('a7'))")
    cell = kernel.run("%%remote --actor a7\nimport os\npid = os.getpid()")
    assert cell.reply["status"] == "ok"  # type: ignore[index]
    assert "a new one begins" in cell.text("stderr")
    assert kernel.ok("pid != first").value == "True"
    assert kernel.ok("'only_there' in nbray.get(nbray.get_actor('a7').names.remote())").value == "False"


def test_other_resources_or_another_kind_of_actor_are_refused(kernel: Kernel) -> None:
    kernel.ok("%%remote --actor a8 --num-cpus 1\npass")
    assert "cannot be changed" in kernel.run("%%remote --actor a8 --num-cpus 2\npass").text("stderr")
    assert kernel.ok("%%remote --actor a8\n1").value == "1"
    kernel.ok("nbray.kill(nbray.get_actor('a8'))")
    kernel.ok("@nbray.remote\nclass Other: pass\nmine = Other.options(name='a9').remote()")
    assert "of the class Other" in kernel.run("%%remote --actor a9\npass").text("stderr")


def test_an_actor_that_dies(kernel: Kernel) -> None:
    cell = kernel.run("%%remote --actor a10\nimport os\nos._exit(3)")
    assert cell.error["ename"] == "ActorDiedError"
    assert kernel.ok("%%remote --actor a10\n1").value == "1"


def test_what_an_ended_actor_kept_is_said_to_be_gone(kernel: Kernel) -> None:
    kernel.ok("%%remote --actor a11\nimport threading\nlock = threading.Lock()")
    kernel.ok("nbray.kill(nbray.get_actor('a11'))")
    error = kernel.run("%%remote --actor a11\nlock.locked()").error
    assert error["evalue"] == "lock lived in the actor a11 (lock), which has ended; make it anew."
    assert "which has ended" in (kernel.ok("lock").value or "")
    kernel.ok("%%remote --actor a11\nlock = threading.Lock()")
    assert kernel.ok("%%remote --actor a11\nlock.locked()").value == "False"
    assert "lives in the actor a11" in (kernel.ok("lock").value or "")
    kernel.run("%%remote --actor a11\nimport os\nos._exit(3)")
    assert "which has ended" in kernel.run("lock.locked()").error["evalue"]
