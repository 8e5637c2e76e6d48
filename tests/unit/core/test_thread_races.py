"""What threads of one process do to each other between two steps, played in one thread."""

import threading
import types

import pytest

from nbray.core.lease_pool import Lane
from nbray.core.upkeep import Upkeep
from nbray.core.waiters import Waiter
from nbray.core.waiting import Waiting
from nbray.worker.calls import Call
from nbray.worker.concurrent_calls import ThreadedCalls
from nbray.worker.executor_state import MAX_SENT_OUTPUT
from nbray.worker.replies import Replies


def test_lanes_may_come_while_it_is_looked_whether_there_is_something_to_relieve():
    core = types.SimpleNamespace(lanes={})

    class Growing:
        @property
        def tasks(self):
            core.lanes[len(core.lanes)] = object.__new__(Lane)  # as another thread, while this one reads
            return {}

    core.lanes[0] = Growing()
    assert not Upkeep.needs_ticks(core)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # how its thread is ended
def test_a_call_that_comes_again_before_its_first_run_is_put_away_costs_no_thread():
    """It failed, its caller was told, and sent it once more under the same number."""
    answered = threading.Event()
    runs = []

    def again(call, error):
        calls.start(made(call.number))

    def answer(call, result, ran_ns):
        if call.number == 1:
            calls.start(made(2))
        else:
            answered.set()

    def work():
        runs.append(1)
        if len(runs) == 1:
            raise ValueError

    def made(number):
        return Call(1, number, 1, "work", 1, work, (), {}, "")

    calls = ThreadedCalls(1, answer, again)
    calls.start(made(1))
    assert answered.wait(60)
    calls._queue.put(None)  # no call: the thread's end
    for thread in threading.enumerate():
        if thread.name.startswith("nbray-call"):
            thread.join(60)


def test_large_output_does_not_push_out_refs_that_are_kept_for_ever():
    store = types.SimpleNamespace(stash=lambda payload: types.SimpleNamespace(obj=1))
    core = types.SimpleNamespace(store=store, kept=[object() for _ in range(2 * MAX_SENT_OUTPUT)])
    worker = types.SimpleNamespace(channel=1, core=core, _sent_output=[], _send_to_owner=lambda *message: 0)
    kept = list(core.kept)
    Replies._send_output(worker, bytes(100_000), "")
    assert core.kept[: len(kept)] == kept


def test_a_wait_that_was_interrupted_before_it_lent_its_cpus_takes_none_back():
    sent = []
    core = types.SimpleNamespace(
        lock=threading.RLock(), _blocked=0, control=types.SimpleNamespace(send=sent.append),
        waiters=types.SimpleNamespace(remove=lambda waiter: None),
    )  # fmt: skip
    core.take_back_cpus = lambda: Waiting.take_back_cpus(core)
    waiter = Waiter()
    Waiting._leave_wait(core, waiter)
    assert (core._blocked, sent) == (0, [])
    Waiting.lend_cpus(core, waiter)
    assert core._blocked == 1
    Waiting._leave_wait(core, waiter)
    assert core._blocked == 0
    assert [type(message).__name__ for message in sent] == ["BlockedNotice", "UnblockedNotice"]
