"""The table whose records C takes is the same as the one that does it in Python."""

import random

import pytest

from nbray.core.task_columns import ColumnTable
from nbray.events import task_table as tt

OWNERS = [(1 << 32) | 2, (1 << 32) | 3]
WORKERS = [(1 << 32) | n for n in range(5, 8)]


def records(chance, many, owners=OWNERS, functions=3):
    """What processes may tell, in an order that is mostly that of time."""
    made, numbers, t = [], dict.fromkeys(owners, 0), 1000
    for _ in range(many):
        owner = chance.choice(owners) if chance.random() < 0.02 else owners[len(made) // 400 % len(owners)]
        numbers[owner] += chance.choice([1, 1, 1, 1, 2])  # values that were put leave gaps
        seq, worker = numbers[owner], chance.choice(WORKERS)
        t += chance.randrange(5, 50)
        told = [
            (tt.SUBMIT, t, 0, chance.randrange(functions), 0),
            (tt.RESULT, t + chance.randrange(1, 900), 5, 0, chance.choice([0, 0, 0, 1, 2, 3])),
        ]
        if chance.random() < 0.03:
            told += [(tt.SUBMIT, t + 1000, 0, 1, 0), (tt.RESULT, t + 1500, 7, 0, 0)]  # it is run again
        if chance.random() < 0.03:  # a run that ends with its worker, or fails so
            told[1:1] = [(tt.LOST, t + 2, 0, 1, chance.choice([0, 0, 1, 2])), (tt.SUBMIT, t + 4, 0, 1, 0)]
        for kind, when, took, a, flags in told:
            made.append((when, tt.RECORD.pack(when, seq, owner, worker, took, 0, a, kind, flags, 0)))
        if chance.random() < 0.05 and seq > 3:
            slot = owner & 0xFFFFFFFF
            made.append((t, tt.RECORD.pack(t, seq, owner, owner, 0, seq - 2, slot, tt.INPUT, 1, 0)))
            made.append((t, tt.RECORD.pack(t, seq, owner, owner, 0, seq - 3, slot, tt.PARENT, 0, 0)))
    made.sort(key=lambda one: one[0] + chance.randrange(0, 300))
    return [record for _, record in made]


def content(table):
    """All of a table by what tasks are called: in which order they were first heard of may differ."""
    keys = [table.key(i) for i in range(len(table))]
    by_key = {
        key: (
            table.state[i], table.function[i], table.attempt[i], table.submitted[i], table.start[i], table.end[i], table.made[i],
            table.workers[table.worker[i]] if table.worker[i] >= 0 else None,
            keys[table.parent[i]] if table.parent[i] >= 0 else None,
        )
        for i, key in enumerate(keys)
    }  # fmt: skip
    pairs = zip(table.edges[::2], table.edges[1::2], strict=True)
    return by_key, sorted((keys[a], keys[b]) for a, b in pairs), table.counts


@pytest.mark.parametrize("seed", range(4))
def test_both_tables_take_the_same_from_any_blocks(seed):
    chance = random.Random(seed)
    told = records(chance, 3_000, OWNERS[: 1 + seed % 2])
    plain, fast = tt.TaskTable(), ColumnTable()
    for table in (plain, fast):
        for number in range(3):
            table.define(OWNERS[0], number, f"f{number}", "task", "")
            table.define(OWNERS[1], number, f"f{number}", "task", "")
    while told:
        many = chance.choice([1, 40, 100, 700])
        block, told = b"".join(told[:many]), told[many:]
        assert plain.apply_block(block) == fast.apply_block(block)
    fast.validate()
    (his, *more), (ours, *our_more) = content(plain), content(fast)
    assert more == our_more
    assert {key: row[:-1] for key, row in his.items()} == {key: row[:-1] for key, row in ours.items()}
    # A parent that stands later in the block than its child is found too.
    assert all(row[-1] in (None, ours[key][-1]) for key, row in his.items())
    everything = range(len(fast))
    assert fast._rows(everything) == tt.TaskTable._rows(fast, everything)
    fast.delta(max_rows=10**6)
    assert fast.delta() is None


def test_tasks_that_wait_are_the_same_too():
    chance, plain, fast = random.Random(3), tt.TaskTable(), ColumnTable()
    for table in (plain, fast):
        table.apply_block(records(random.Random(1), 1, OWNERS[:1])[0])
    start = 5
    for many in (3, 200, 70, 200):
        start += chance.randrange(-2, 5)  # some are told twice
        numbers = sorted(chance.sample(range(max(1, start), start + 2 * many), many))
        start = numbers[-1]
        tasks = [(number, chance.randrange(3), chance.choice([0, 1])) for number in numbers]
        for table in (plain, fast):
            table.waiting_all(OWNERS[0], tasks, start)
    fast.validate()
    assert content(plain) == content(fast) and list(plain.number) == list(fast.number)


def test_what_has_no_room_is_forgotten():
    chance = random.Random(7)
    told = records(chance, 4_000, OWNERS[:1], functions=1)
    table = ColumnTable(max_tasks=1_000)
    for at in range(0, len(told), 500):
        table.apply_block(b"".join(told[at : at + 500]))
        table.validate()
    assert table.forgotten and len(table) <= 1_000 and sum(table.counts) >= 4_000


def test_a_reader_has_every_row_after_any_frames():
    """Rows of a frame that C made are those that the table has now."""
    chance = random.Random(9)
    table, seen = ColumnTable(), {}
    told = records(chance, 2_000, functions=1)
    for at in range(0, len(told), 300):
        table.apply_block(b"".join(told[at : at + 300]))
        while frame := table.delta(max_rows=250):
            seen.update({row[0]: row for row in tt.ROW.iter_unpack(frame["rows"])})
    assert seen == {row[0]: row for row in tt.ROW.iter_unpack(table.snapshot()["rows"])}
