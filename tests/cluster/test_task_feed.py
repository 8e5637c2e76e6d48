"""The table of tasks behind panel and widgets, fed by a real cluster."""

import collections

import cluster_kit as kit
import pytest

from nbray.core import current, output
from nbray.core.task_feed import TaskFeed
from nbray.events import task_table as tt


def names(feed):
    return [feed.table.functions[f]["name"] if f != 0xFFFFFFFF else "?" for f in feed.table.function]


def test_a_graph_from_beginning_to_end(ray, gate):
    """States, edges and parents, also of tasks that wait and of nested ones."""

    @ray.remote
    def load(i):
        gate.wait()
        return i

    @ray.remote
    def clean(x):
        return x

    @ray.remote
    def both(*values):
        return ray.get([clean.remote(v) for v in values])

    feed = TaskFeed(current.core)
    feed.poll(kit.PATIENCE_S)
    table = feed.table
    before = len(table)
    loads = [load.remote(i) for i in range(20)]
    last = both.remote(*[clean.remote(ref) for ref in loads])

    def started():
        feed.poll(kit.PATIENCE_S)
        mine = list(table.state)[before:]
        return mine.count(tt.RUNNING) == 2 and len(mine) == 41

    kit.eventually(started, "two tasks run")
    states = {name: set() for name in ("load", "clean", "both")}
    for name, state in list(zip(names(feed), table.state, strict=True))[before:]:
        states[name].add(state)
    assert states["clean"] == states["both"] == {tt.WAITS_FOR_INPUT}, states
    assert states["load"] <= {tt.RUNNING, tt.WAITS_FOR_PLACE, tt.SENT}, states
    gate.open()
    assert ray.get(last, timeout=60) == list(range(20))

    def over():
        feed.poll(kit.PATIENCE_S)
        return list(table.state)[before:].count(tt.DONE) == 61

    kit.eventually(over, "all tasks are done")
    table.validate()
    titles = names(feed)
    edges = {(titles[a], titles[b]) for a, b in zip(table.edges[::2], table.edges[1::2], strict=True)}
    assert {("load", "clean"), ("clean", "both")} <= edges
    (parent,) = {table.parent[i] for i in range(before, len(table)) if table.parent[i] >= 0}
    assert titles[parent] == "both"
    assert sum(p == parent for p in table.parent) == 20
    assert feed.dropped == 0


def test_what_runs_now_is_listed_for_the_whole_node(ray, gate, ledger):
    @ray.remote
    class Actor:
        def work(self):
            ledger.add("runs")
            gate.wait()

    actor = Actor.remote()
    ref = actor.work.remote()
    ledger.await_lines(1)
    feed = TaskFeed(current.core)
    feed.poll(kit.PATIENCE_S)
    running = [i for i, state in enumerate(feed.table.state) if state == tt.RUNNING]
    assert [names(feed)[i] for i in running] == ["Actor.work"]
    assert feed.table.start[running[0]] > 0
    gate.open()
    ray.get(ref, timeout=60)


def test_tasks_that_end_before_anybody_looks_have_rows(ray, gate):
    """Cancelled before they were sent: with their names, in their places, and not as tasks that still wait."""

    @ray.remote
    def held(x):
        gate.wait()

    @ray.remote
    def never(x):
        pass

    feed = TaskFeed(current.core)
    feed.poll(kit.PATIENCE_S)
    before = len(feed.table)
    value = ray.put(1)  # what takes it leaves a record of that
    holders = [held.remote(value) for _ in range(4)]
    doomed = never.remote(value)
    later = [held.remote(value) for _ in range(2)]
    ray.cancel(doomed)

    def numbers():
        feed.poll(kit.PATIENCE_S)
        return [feed.table.key(index)[1] for index in range(before, len(feed.table))]

    kit.eventually(lambda: len(numbers()) == 7, "all are heard of")
    place = before + 4
    assert numbers() == [ref._number for ref in [*holders, doomed, *later]]
    assert names(feed)[place] == "never" and feed.table.state[place] == tt.CANCELLED
    gate.open()
    ray.get(holders + later, timeout=60)
    feed.poll(kit.PATIENCE_S)
    assert feed.table.state[place] == tt.CANCELLED and len(numbers()) == 7


@pytest.mark.parametrize("submitted", ["before the log is read", "after the log is read"])
def test_tasks_have_the_order_in_which_they_were_submitted(ray, gate, ledger, monkeypatch, submitted):
    """Also those that are submitted, and sent in part, while the feed looks at one source after the other."""

    @ray.remote
    def held(x):
        ledger.add("runs")
        gate.wait()

    core, refs = current.core, []
    feed = TaskFeed(core)
    feed.poll(kit.PATIENCE_S)
    request = core.request

    def submit():
        if not refs:
            ordered = held.options(name=submitted)
            refs.append(ordered.remote(held.remote(0)))  # waits longer than those after it
            refs.extend(ordered.remote(i) for i in range(6))
            ledger.await_lines(2)  # two of them were sent

    def asks(message, **options):
        if submitted.startswith("before"):
            submit()
        replies = request(message, **options)
        submit()
        return replies

    monkeypatch.setattr(core, "request", asks)

    def order():
        feed.poll(kit.PATIENCE_S)
        table = feed.table
        return [table.key(i)[1] for i, name in enumerate(names(feed)) if name == submitted]

    kit.eventually(lambda: len(order()) == 7, "all are heard of")
    assert order() == [ref._number for ref in refs]
    gate.open()
    ray.get(refs, timeout=60)


def test_a_task_whose_inputs_have_come_waits_for_a_place(ray, gate, tmp_path):
    """Also one that is older than what stands in the queue already."""

    @ray.remote
    def held():
        gate.wait()

    @ray.remote
    def source():
        kit.eventually((tmp_path / "made").exists, "the input may be made")
        return 1

    @ray.remote
    def takes(x):
        return x

    made = source.remote()
    late = takes.remote(made)
    holders = [held.remote() for _ in range(4)]
    feed = TaskFeed(current.core)
    index = None

    def state_of(ref):
        nonlocal index
        feed.poll(kit.PATIENCE_S)
        index = feed.table.find(current.core.peer, ref._number)
        return None if index is None else feed.table.state[index]

    kit.eventually(lambda: state_of(late) == tt.WAITS_FOR_INPUT, "it waits for its input")
    (tmp_path / "made").touch()
    kit.eventually(lambda: state_of(late) in (tt.WAITS_FOR_PLACE, tt.SENT), "it waits for a place")
    gate.open()
    assert ray.get([late, *holders], timeout=60)[0] == 1


def test_tasks_belong_to_the_origin_that_submitted_them(ray):
    """And not to the one that defined their function, or called it first; also methods, and what tasks submit."""

    @ray.remote
    def inner():
        return 1

    @ray.remote(num_cpus=0)
    def outer():
        return ray.get(inner.remote())

    @ray.remote(num_cpus=0)
    class Actor:
        def method(self):
            return 1

    @ray.remote(num_cpus=0)
    class Asking:
        async def method(self):
            return await inner.remote()

    feed = TaskFeed(current.core)
    actor, asking, renamed = Actor.remote(), Asking.remote(), inner.options(name="renamed")
    try:
        for origin in ("cell 1", "cell 2", "cell 2", "cell 1"):
            output.set_origin(origin)
            ray.get([inner.remote(), outer.remote(), renamed.remote(), actor.method.remote(), asking.method.remote()])
    finally:
        output.set_origin("")
    wanted = {
        (name, origin): count
        for origin in ("cell 1", "cell 2")
        for name, count in {"inner": 6, "outer": 2, "renamed": 2, "Actor.method": 2, "Asking.method": 2}.items()
    }

    def found():
        feed.poll(kit.PATIENCE_S)
        functions = [feed.table.functions[f] for f in feed.table.function if f != 0xFFFFFFFF]
        return collections.Counter((f["name"], f["origin"]) for f in functions if f["origin"])

    kit.eventually(lambda: found() == wanted, lambda: f"{wanted} in {found()}")
