"""What a cell's end does with the objects of its inputs: how often it goes through them, and which it tells by number."""

from __future__ import annotations

import gc
import io
from typing import Any

from nbray.notebook import collector
from nbray.notebook.cell_pickle import CellPickler, StreamReader, receiving
from nbray.notebook.shared_objects import MAX_RECORDS, SharedObjects

N = MAX_RECORDS + 1
n_pickled = 0


class Counted:
    """Says how often it is pickled."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __getstate__(self) -> dict[str, Any]:
        global n_pickled
        n_pickled += 1
        return self.__dict__


def shared_objects_of(value: Any, namespace: dict[str, Any]) -> tuple[SharedObjects, Any]:
    """Return what a worker would have of ``value`` under the name ``x``."""
    file = io.BytesIO()
    pickler = CellPickler(file, namespace)
    pickler.dump(value)
    pickler.dump([])
    with receiving(namespace, (), {}):
        reader = StreamReader(file.getvalue(), ())
        came, mark = reader.read(), reader.read()
    shared = SharedObjects(reader.objects(), {"x": mark}, namespace)
    shared.reader = reader  # type: ignore[attr-defined]  # which holds them too
    return shared, came


def test_many_objects_are_gone_through_once() -> None:
    global n_pickled
    shared, came = shared_objects_of([Counted(n) for n in range(N)], globals())
    n_pickled = 0
    known = shared.known([came], lambda name: True)
    assert n_pickled == N
    assert [record.value for record in known.records] == [came]


def test_what_nobody_holds_is_not_told_by_number() -> None:
    """The dictionaries from which objects took their attributes: there are as many as objects."""
    shared, came = shared_objects_of([Counted(n) for n in range(N)], globals())
    known = shared.known([came], lambda name: True)
    assert len(known.numbers) < 100


def test_what_was_taken_out_of_a_changed_input_is_told_by_number() -> None:
    shared, came = shared_objects_of([[n] for n in range(10)], globals())
    taken = came.pop()
    known = shared.known([came], lambda name: True)
    assert any(obj is taken for obj in known.objects)


def test_the_collector_rests_and_goes_on() -> None:
    with collector.at_rest():
        assert not gc.isenabled()
        with collector.at_rest():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
