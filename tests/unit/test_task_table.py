"""The table of tasks that the panel's picture is made from."""

import itertools
import random

import pytest

from nbray.core.task_columns import ColumnTable
from nbray.events import task_table as tt
from nbray.events.task_table import TaskTable

OWNER, WORKER = (5 << 32) | 3, (1 << 32) | 7


def record(kind, seq, *, t=0, owner=OWNER, process=WORKER, dur=0, b=0, a=0, flags=0):
    return tt.RECORD.pack(t, seq, owner, process, dur, b, a, kind, flags, 0)


def submit(seq, t=10, function=1, owner=OWNER):
    return record(tt.SUBMIT, seq, t=t, a=function, owner=owner)


def result(seq, t=30, dur=5, flags=0, owner=OWNER, process=WORKER):
    return record(tt.RESULT, seq, t=t, dur=dur, flags=flags, owner=owner, process=process)


def lost(seq, t=30, function=1, worker=WORKER, flags=0):
    return record(tt.LOST, seq, t=t, a=function, b=worker, flags=flags)


def rows(frame):
    return {row[0]: row for row in tt.ROW.iter_unpack(frame["rows"])}


def read(view, edges, frame):
    """A reader: what it has of rows and edges after a frame."""
    for cut, *kept in frame.get("forget", []):
        now = {index: index - cut + len(kept) for index in range(cut, max(view, default=0) + 1)}
        now |= {index: place for place, index in enumerate(kept)}
        view = {
            now[index]: (now[index], function, now.get(parent, -1), *rest)
            for index, (_, function, parent, *rest) in view.items()
            if index in now
        }
        edges = [(now[a], now[b]) for a, b in edges if a in now and b in now]
    words = memoryview(frame["edges"]).cast("I").tolist()
    return view | rows(frame), edges + list(zip(words[::2], words[1::2], strict=True))


def test_a_task_from_its_records():
    table = TaskTable()
    table.define(OWNER, 1, "train", "task", "cell-7")
    table.apply_block(submit(4) + result(4))
    frame = table.delta()
    assert frame["functions"] == [[0, "train", "task", "cell-7"]]
    assert frame["workers"] == [[0, str(WORKER)]]
    assert rows(frame)[0] == (0, 0, -1, 0, tt.DONE, 0, 0, 1e-5, 25e-6, 3e-5, 0)
    assert table.delta() is None
    assert table.key(0) == (OWNER, 4) and table.find(OWNER, 4) == 0 and table.find(OWNER, 5) is None


@pytest.mark.parametrize(("flags", "state"), [(0, tt.DONE), (1, tt.FAILED), (2, tt.CANCELLED), (3, tt.CANCELLED)])
def test_how_it_ended(flags, state):
    table = TaskTable()
    table.apply_block(submit(1) + result(1, flags=flags))
    assert table.state[0] == state and table.counts[state] == 1 and sum(table.counts) == 1


def test_the_name_may_come_later():
    table = TaskTable()
    table.apply_block(submit(1, function=9))
    assert table.delta()["functions"] == [[0, "", "task", ""]]
    table.define(OWNER, 9, "late", "task", "")
    assert table.delta()["functions"] == [[0, "late", "task", ""]]


def test_the_same_function_of_several_owners_is_one():
    table = TaskTable()
    table.define(OWNER, 1, "f", "task", "c")
    table.define(OWNER + 1, 4, "f", "task", "c")
    table.define(OWNER, 2, "f", "task", "another cell")
    assert len(table.functions) == 2


def test_a_retry_counts_and_starts_anew():
    table = TaskTable()
    table.apply_block(submit(1) + result(1, flags=1) + submit(1, t=50))
    assert (table.state[0], table.attempt[0], table.start[0], table.submitted[0]) == (tt.SENT, 1, 0, 50)


@pytest.mark.parametrize("kind", [TaskTable, ColumnTable])
@pytest.mark.parametrize("sent_again_is_known", [True, False])
@pytest.mark.parametrize("many", [1, 100])
def test_a_run_that_ended_with_its_worker_is_a_try(kind, sent_again_is_known, many):
    """No record tells of its end, only its owner; when it is sent again may be read before that or after."""
    table, everyone = kind(), range(1, many + 1)
    table.apply_block(submit(999) + result(999))  # function and worker are known
    first, again = (b"".join(submit(seq, t=t) for seq in everyone) for t in (100, 300))
    table.apply_block(first)
    for seq in everyone:
        table.runs(OWNER, seq, WORKER, 150)
    if sent_again_is_known:
        table.apply_block(again)
    for seq in everyone:
        table.apply_block(lost(seq, t=200))
    row = table.find(OWNER, many)
    assert (table.attempt[row], table.start[row]) == (1, 0)
    assert table.state[row] == (tt.SENT if sent_again_is_known else tt.WAITS_FOR_PLACE)
    if not sent_again_is_known:
        table.apply_block(again)
    table.apply_block(b"".join(result(seq, t=400, dur=50) for seq in everyone))
    assert (
        table.state[row], table.attempt[row], table.made[row], table.submitted[row], table.start[row], table.end[row]
    ) == (tt.DONE, 1, 100, 300, 350, 400)  # fmt: skip
    assert sum(table.counts) == len(table)


def test_the_end_may_be_read_before_the_beginning():
    table = TaskTable()
    table.apply_block(result(1, t=30) + submit(1, t=10))
    assert (table.state[0], table.attempt[0], table.submitted[0], table.start[0]) == (tt.DONE, 0, 10, 25)


@pytest.mark.parametrize("kind", [TaskTable, ColumnTable])
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("many", [1, 100])
def test_the_last_run_counts_in_whatever_order_the_rings_are_read(kind, at_once, many):
    """A task fails at one worker and then succeeds at another: three processes, each with a ring of its own."""

    def told(order):
        table = kind()
        everyone = range(1, many + 1)
        for worker in (WORKER, WORKER + 1):
            table.apply_block(submit(999) + result(999, process=worker))  # both are known
        rings = {
            "sent": [submit(seq, t=100) for seq in everyone],
            "sent again": [submit(seq, t=300) for seq in everyone],
            "failed": [result(seq, t=200, dur=50, flags=1) for seq in everyone],
            "done": [result(seq, t=400, dur=50, process=WORKER + 1) for seq in everyone],
        }
        blocks = [b"".join(rings[ring]) for ring in order]
        for block in [b"".join(blocks)] if at_once else blocks:
            table.apply_block(block)
        table.validate()
        row = table.find(OWNER, many)
        return (
            table.state[row], table.attempt[row], table.submitted[row], table.start[row], table.end[row],
            table.workers[table.worker[row]],
        )  # fmt: skip

    orders = [
        o
        for o in itertools.permutations(["sent", "sent again", "failed", "done"])
        if o.index("sent") < o.index("sent again")
    ]
    for order in orders:
        assert told(order) == (tt.DONE, 1, 300, 350, 400, WORKER + 1), order


@pytest.mark.parametrize("kind", [TaskTable, ColumnTable])
@pytest.mark.parametrize("many", [5, 500])
def test_indexes_follow_the_numbers_however_the_records_come(kind, many):
    """Panel and widgets number the tasks of a function by their indexes: ``f[3]`` is the fourth that was submitted."""
    table = kind()
    table.apply_block(submit(1))
    ends = [result(seq) for seq in range(many, 1, -3)]  # of several workers, read before the ring of the owner
    table.apply_block(b"".join(ends + [submit(seq) for seq in range(3, many + 1)] + [submit(2)]))
    assert [table.key(index)[1] for index in range(len(table))] == list(range(1, many + 1))
    table.make_rows(OWNER, {many + 3, many + 1})  # which wait, as their owner says
    table.apply_block(submit(many + 3) + submit(many + 2) + submit(many + 1))
    assert [table.key(index)[1] for index in range(many, len(table))] == [many + 1, many + 3, many + 2]
    table.validate()


def test_edges_and_parents():
    table = TaskTable()
    table.apply_block(submit(1) + submit(2) + record(tt.INPUT, 2, a=OWNER & 0xFFFFFFFF, b=1))
    assert list(table.edges) == [0, 1]
    table.apply_block(record(tt.INPUT, 2, a=OWNER & 0xFFFFFFFF, b=77))  # a value that was put
    assert list(table.edges) == [0, 1]
    assert table.takers(OWNER, 77) == [1] and table.takers(OWNER, 78) == []
    child_owner = (9 << 32) | 8
    table.apply_block(submit(1, owner=child_owner) + record(tt.PARENT, 1, owner=child_owner, a=OWNER & 0xFFFFFFFF, b=2))
    assert table.parent[2] == 1
    table.validate()


@pytest.mark.parametrize("kind", [TaskTable, ColumnTable])
def test_when_a_task_was_made(kind):
    """Its owner tells of inputs and of who started it when it makes it; of others, whoever looked first saw it then."""
    table = kind()
    slot = OWNER & 0xFFFFFFFF
    table.apply_block(submit(1, t=30) + submit(2, t=50) + record(tt.INPUT, 2, a=slot, b=1, t=20))
    table.apply_block(submit(3, t=60) + record(tt.PARENT, 3, a=slot, b=1, t=40))
    table.apply_block(record(tt.INPUT, 2, a=slot, b=1, t=70))  # it is run again
    assert list(table.made) == [0, 20, 40]
    table.waiting_all(OWNER, [(number, 1, 1) for number in range(4, 104)], 80)
    table.waiting_all(OWNER, [(4, 1, 0), (104, 1, 0)], 90)
    assert list(table.made[3:]) == [80] * 100 + [90]
    rows = {row[0]: row[-1] for row in tt.ROW.iter_unpack(table.snapshot()["rows"])}
    assert (rows[0], rows[1], rows[103]) == (0, 20 / 1e6, 90 / 1e6)
    table.validate()


def test_waiting_then_running():
    table = TaskTable()
    table.waiting(OWNER, 1, 1, for_input=True)
    assert table.state[0] == tt.WAITS_FOR_INPUT
    table.waiting(OWNER, 1, 1, for_input=False)
    assert table.state[0] == tt.WAITS_FOR_PLACE
    table.apply_block(submit(1))
    table.waiting(OWNER, 1, 1, for_input=False)  # an old look: it was sent meanwhile
    assert table.state[0] == tt.SENT
    table.runs(OWNER, 1, WORKER, 12)
    assert (table.state[0], table.start[0], table.worker[0]) == (tt.RUNNING, 12, 0)
    table.apply_block(result(1))
    table.runs(OWNER, 1, WORKER, 12)  # again an old look
    assert table.state[0] == tt.DONE


def test_a_reader_that_sleeps_gets_one_row_per_task():
    table = TaskTable()
    for round_ in range(50):
        table.apply_block(b"".join(submit(seq) + result(seq) for seq in range(1, 101)))
        assert len(table) == 100, round_
    frame = table.delta()
    assert len(frame["rows"]) == 100 * tt.ROW.size


def test_frames_are_bounded_and_edges_come_last():
    table = TaskTable()
    table.apply_block(b"".join(submit(seq) for seq in range(1, 11)) + record(tt.INPUT, 10, a=OWNER & 0xFFFFFFFF, b=1))
    first = table.delta(max_rows=6)
    assert len(rows(first)) == 6 and first["edges"] == b""
    second = table.delta(max_rows=6)
    assert len(rows(second)) == 4 and len(second["edges"]) == 8


def test_forgetting_keeps_what_is_not_done():
    table = TaskTable(max_tasks=100)
    table.apply_block(b"".join(submit(seq) for seq in range(1, 101)))
    table.apply_block(b"".join(result(seq) for seq in range(1, 91)))
    table.apply_block(b"".join(record(tt.INPUT, seq, a=OWNER & 0xFFFFFFFF, b=seq - 1) for seq in range(2, 101)))
    generation = table.generation
    table.apply_block(submit(101))
    table.validate()
    assert table.generation == generation + 1 and table.forgotten == 25 and len(table) == 76
    assert table.find(OWNER, 1) is None and table.find(OWNER, 95) is not None
    assert sum(table.counts) == 101 and table.counts[tt.DONE] == 90
    assert len(table.edges) == 2 * 74  # 25 went with the tasks at their ends
    table.apply_block(result(101) + result(95))
    assert table.counts[tt.DONE] == 92


def test_forgetting_while_nothing_is_done():
    table = TaskTable(max_tasks=10)
    table.apply_block(b"".join(submit(seq) for seq in range(1, 30)))
    table.validate()
    assert len(table) <= 10 and table.find(OWNER, 29) is not None
    table.apply_block(b"".join(result(seq) for seq in range(1, 30)))
    table.apply_block(b"")  # records of tasks that are not known wait for one more
    assert table.counts[tt.DONE] == sum(table.counts) == 29


def test_numbers_that_are_far_apart():
    table = TaskTable()
    for seq in (5_000_000, 1, 2**40, 5_000_001):
        table.apply_block(submit(seq))
    table.validate()
    assert len(table) == 4


@pytest.mark.parametrize("seed", range(5))
def test_deltas_add_up_to_the_snapshot(seed):
    """Whatever happens, a reader of deltas and one who comes last see the same."""
    chance = random.Random(seed)
    table = chance.choice([TaskTable, ColumnTable])(max_tasks=chance.choice([50, 1000]))
    view, edges = {}, []
    for _ in range(300):
        owner = OWNER + chance.randrange(2)
        kinds = [tt.SUBMIT, tt.RESULT, tt.INPUT, tt.PARENT, tt.LOST]
        table.apply_block(
            b"".join(
                record(chance.choice(kinds), chance.randrange(1, 200), owner=owner, a=chance.randrange(3, 5),
                       b=chance.randrange(1, 200), flags=chance.randrange(4), t=chance.randrange(1, 1000))
                for _ in range(chance.randrange(5))
            )
        )  # fmt: skip
        if chance.random() < 0.5:
            if not table.goes_on:
                frame, view, edges = table.snapshot(), {}, []
            else:
                frame = table.delta(max_rows=chance.choice([1, 5, 1000]))
            if frame is not None:
                view, edges = read(view, edges, frame)
    if table.goes_on:
        while (frame := table.delta()) is not None:
            view, edges = read(view, edges, frame)
        assert (view, edges) == read({}, [], table.snapshot())
    table.validate()


def test_of_each_function_one_task_is_known_to_take_a_value():
    table = TaskTable(max_tasks=8)
    takes = [record(tt.INPUT, seq, a=OWNER & 0xFFFFFFFF, b=999) for seq in range(1, 7)]
    table.apply_block(b"".join(takes))  # told before the tasks themselves are
    assert table.takers(OWNER, 999) == []
    table.apply_block(b"".join(submit(seq, function=seq // 3) for seq in range(1, 7)))
    assert [table.key(taker)[1] for taker in table.takers(OWNER, 999)] == [1, 3, 6]
    table.apply_block(b"".join(result(seq) for seq in range(1, 3)) + b"".join(submit(seq) for seq in range(7, 10)))
    assert table.forgotten == 2  # there was no room for the last
    assert [table.key(taker)[1] for taker in table.takers(OWNER, 999)] == [3, 6]
    table.validate()


def test_a_worker_that_becomes_an_actor_is_told_of_again():
    table = TaskTable()
    table.apply_block(submit(1) + result(1))
    assert table.delta()["workers"] == [[0, str(WORKER)]]
    table.name_actor(WORKER, "a1", "Trainer 2")
    assert table.delta()["workers"] == [[0, str(WORKER), "a1", "Trainer 2"]]
    table.name_actor(WORKER, "a1", "Trainer 2")
    assert table.delta() is None and table.snapshot()["workers"] == [[0, str(WORKER), "a1", "Trainer 2"]]
