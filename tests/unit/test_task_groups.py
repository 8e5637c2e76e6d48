"""Tasks by function, which the widgets draw."""

import random

from nbray.events import task_table as tt
from nbray.events.task_groups import NO_GROUP, TaskGroups
from nbray.events.task_table import TaskTable

OWNER, NESTED, WORKER = (5 << 32) | 3, (1 << 32) | 9, (1 << 32) | 7


def record(kind, seq, *, t=0, owner=OWNER, process=WORKER, dur=0, b=0, a=0, flags=0):
    return tt.RECORD.pack(t, seq, owner, process, dur, b, a, kind, flags, 0)


def submit(seq, function, owner=OWNER, t=10):
    return record(tt.SUBMIT, seq, t=t, a=function, owner=owner)


def result(seq, owner=OWNER, flags=0, t=40, dur=10):
    return record(tt.RESULT, seq, owner=owner, flags=flags, t=t, dur=dur)


def needs(seq, source, owner=OWNER, source_slot=3):
    return record(tt.INPUT, seq, owner=owner, a=source_slot, b=source, flags=1)


def started_by(seq, parent, owner=NESTED, parent_slot=3):
    return record(tt.PARENT, seq, owner=owner, a=parent_slot, b=parent)


def named(**functions):
    table = TaskTable()
    for number, name in enumerate(functions.values() or "", 1):
        table.define(OWNER, number, name, "task", "")
        table.define(NESTED, number, name, "task", "")
    return table


def shape(groups):
    name = groups.table.functions
    return [(name[g.function]["name"], g.parent, g.total) for g in groups.groups]


def test_groups_counts_times_and_edges():
    table = named(a="load", b="clean")
    groups = TaskGroups(table)
    table.apply_block(b"".join(submit(i, 1) for i in range(1, 5)))
    table.apply_block(b"".join(submit(i + 10, 2) + needs(i + 10, i) for i in range(1, 5)))
    assert groups.update() and not groups.update()
    assert shape(groups) == [("load", NO_GROUP, 4), ("clean", NO_GROUP, 4)]
    assert groups.edges == {(0, 1): 4}
    table.apply_block(b"".join(result(i, flags=tt.ERROR * (i == 2)) for i in range(1, 5)))
    groups.update()
    load = groups.groups[0]
    assert (load.counts[tt.DONE], load.counts[tt.FAILED], load.ended) == (3, 1, 4)
    assert (load.ran_ns, load.n_ran, load.first_ns) == (40, 4, 30)
    assert [table.number[i] for i in groups.failed] == [2]


def test_started_tasks_are_a_group_of_their_own_and_recursion_is_one():
    table = named(a="search", b="f")
    groups = TaskGroups(table)
    block = submit(1, 1) + submit(2, 2)
    block += submit(1, 2, NESTED) + started_by(1, 1)  # by the search
    block += submit(2, 2, NESTED) + started_by(2, 1, parent_slot=9)  # by that f
    table.apply_block(block)
    groups.update()
    assert sorted(shape(groups)) == [("f", NO_GROUP, 1), ("f", 0, 2), ("search", NO_GROUP, 1)]


def test_a_starter_that_is_heard_of_late_moves_its_tasks_and_their_edges():
    table = named(a="search", b="f")
    groups = TaskGroups(table)
    table.apply_block(submit(1, 1) + submit(1, 2, NESTED) + submit(2, 2) + needs(2, 1, source_slot=9))
    groups.update()
    table.apply_block(started_by(1, 1))
    groups.update()
    f_of_search = groups.group_of(table.find(NESTED, 1))
    assert groups.groups[f_of_search].parent == groups.group_of(table.find(OWNER, 1))
    assert groups.edges == {(f_of_search, groups.group_of(table.find(OWNER, 2))): 1}


def test_a_starter_whose_row_comes_later():
    """Its owner's ring was read before it was sent, that of the worker which runs it after."""
    table = named(a="search", b="f")
    groups = TaskGroups(table)
    table.apply_block(submit(1, 2, NESTED) + started_by(1, 1) + result(1, owner=NESTED))
    table.apply_block(submit(1, 1))
    groups.update()
    assert table.find(NESTED, 1) < table.find(OWNER, 1)
    assert sorted(shape(groups)) == [("f", 0, 1), ("search", NO_GROUP, 1)]


def test_scopes_follow_the_first_starter():
    table = named(a="f", b="g")
    groups = TaskGroups(table, lambda owner, number: 7 if number >= 100 else 1)
    table.apply_block(submit(5, 1) + submit(100, 1) + submit(1, 2, NESTED) + started_by(1, 100))
    groups.update()
    assert sorted((g.scope, g.total) for g in groups.groups) == [(1, 1), (7, 1), (7, 1)]


def test_tasks_without_a_name_wait_for_it():
    table = TaskTable()
    groups = TaskGroups(table)
    table.apply_block(result(1))  # its beginning was not read yet
    groups.update()
    assert groups.groups == []
    table.apply_block(submit(1, 4))
    groups.update()
    assert groups.groups[0].counts[tt.DONE] == 1


def test_it_agrees_with_counting_all_tasks_whatever_happens():
    rng = random.Random(5)
    table = TaskTable(max_tasks=300)
    for number in range(1, 6):
        table.define(OWNER, number, f"f{number}", "task", "")
    groups = TaskGroups(table)
    expected, to_come, let_go = {}, {}, table.forgetting

    def count(task, gone):
        """A task that is forgotten before it is over is counted when it comes again, as the same function's."""
        state, (function, _) = table.state[task], to_come.pop(table.key(task), (table.function[task], 0))
        if gone and state < tt.DONE:
            to_come[table.key(task)] = function, state
        elif function != 0xFFFFFFFF:
            expected.setdefault(function, [0] * tt.N_STATES)[state] += 1

    def forgetting(cut, kept):
        let_go(cut, kept)
        for task in set(range(cut)) - set(kept):
            count(task, gone=True)

    table.forgetting = forgetting
    function = {seq: rng.randint(1, 5) for seq in range(1, 2000)}
    for step in range(60):
        block = []
        for _ in range(40):
            seq = rng.randint(1 + step * 20, 60 + step * 20)
            kind = rng.random()
            if kind < 0.4:
                block.append(submit(seq, function[seq], t=rng.randint(1, 99)))
            elif kind < 0.8:
                block.append(result(seq, flags=rng.choice([0, 0, 1, 2]), t=rng.randint(1, 99)))
            elif seq > 1:
                block.append(needs(seq, rng.randint(max(1, seq - 30), seq - 1)))
        table.apply_block(b"".join(block))
        if rng.random() < 0.7:
            groups.update()
    groups.update()
    for task in range(len(table)):
        count(task, gone=False)
    assert table.forgotten
    for function, state in to_come.values():
        if function != 0xFFFFFFFF:
            expected.setdefault(function, [0] * tt.N_STATES)[state] += 1
    assert {g.function: g.counts for g in groups.groups if g.total} == expected


def test_counts_are_exact_when_the_table_has_forgotten_most_of_the_tasks():
    """Whoever started them may be forgotten, too; and what goes before it is over comes again."""
    table = TaskTable(max_tasks=40)
    for number, name in enumerate(("load", "clean", "outer"), 1):
        table.define(OWNER, number, name, "task", "")
        table.define(NESTED, number, name, "task", "")
    groups = TaskGroups(table)
    table.apply_block(submit(1, 3))
    table.apply_block(b"".join(submit(i, 2, NESTED) + started_by(i, 1) for i in range(1, 11)) + result(1))
    for first in range(100, 1000, 30):
        block = range(first, first + 30)
        table.apply_block(b"".join(submit(i, 1) + needs(i, i - 1) for i in block))
        if first % 60 == 40:
            groups.update()
        table.apply_block(b"".join(result(i, flags=tt.ERROR * (i % 10 == 0)) for i in block))
    table.apply_block(b"".join(result(i, NESTED) for i in range(1, 11)))
    table.apply_block(b"".join(submit(i, 1) for i in range(2000, 2200)))  # none of these is over
    assert not groups.update() or len(table) <= 40
    table.apply_block(b"".join(result(i) for i in range(2000, 2200)))
    table.apply_block(b"")  # records of tasks that are not known wait for one more
    groups.update()
    assert table.forgotten > 900
    assert [(table.functions[g.function]["name"], g.parent, g.total) for g in groups.groups] == [
        ("outer", NO_GROUP, 1), ("clean", 0, 10), ("load", NO_GROUP, 900 + 200),
    ]  # fmt: skip
    load = groups.groups[2]
    assert (load.counts[tt.DONE], load.counts[tt.FAILED], load.ended, load.n_ran) == (1010, 90, 1100, 1100)
    assert len(groups.failed) == sum(table.state[i] == tt.FAILED for i in range(len(table)))
