"""What a cell's end does with the objects of its inputs: how often it goes through them, and which it tells by number."""

from __future__ import annotations

import gc
import io
from typing import Any

import numpy as np

from nbray.notebook import collector
from nbray.notebook.cell_pickle import CellPickler, StreamReader, receiving
from nbray.notebook.outlines import Outline
from nbray.notebook.shared_objects import SharedObjects, unheld

N = 20_000
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
    alone = unheld(reader.objects())
    shared = SharedObjects(reader.objects(), {"x": mark}, namespace, alone)
    shared.reader = reader  # type: ignore[attr-defined]  # which holds them too
    return shared, came


def test_many_objects_are_gone_through_once() -> None:
    global n_pickled
    shared, came = shared_objects_of([Counted(n) for n in range(N)], globals())
    n_pickled = 0
    known = shared.known([came], lambda name: True)
    assert n_pickled == N
    assert {id(record.value) for record in known.records} == set(map(id, [came, *came]))


def test_what_is_known_to_be_unchanged_does_not_go_back() -> None:
    shared, came = shared_objects_of([[n] for n in range(N)], globals())
    outline = Outline(came)
    came[7].append("more")
    known = shared.known([came], lambda name: True, unchanged=outline.unchanged())
    assert [record.value for record in known.records] == [came[7]]


def test_what_is_around_an_object_that_may_be_replaced_goes_back() -> None:
    """An array that cannot be changed here is another one here, which its list is to hold."""
    shared, came = shared_objects_of([[n] for n in range(10)] + [[np.zeros(3)]], globals())
    outline = Outline(came)
    came[-1][0][1] = 5
    known = shared.known([came], lambda name: True, unchanged=outline.unchanged())
    assert len(known.records) == 13 and [record.sure for record in known.records] == [False] + [True] * 12


def test_room_for_more_than_attributes_is_not_taken_for_unchanged() -> None:
    class Plain:
        pass

    class Slots:
        __slots__ = ("x",)

    class Array(np.ndarray):
        pass

    values = [Plain(), Slots(), np.zeros(3).view(Array), [1]]
    values[1].x = 1  # type: ignore[attr-defined]
    unchanged = Outline(values).unchanged()
    assert [id(value) in unchanged for value in values] == [True, True, False, True]


def test_what_nobody_holds_is_not_told_by_number() -> None:
    """The dictionaries from which objects took their attributes: there are as many as objects."""
    shared, came = shared_objects_of([Counted(n) for n in range(N)], globals())
    known = shared.known([came], lambda name: True)
    assert len(known.numbers) == N + 2  # the objects, their list and their class


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


def test_what_was_taken_out_goes_back_as_well() -> None:
    shared, came = shared_objects_of([[1], [2]], globals())
    first = came.pop(0)
    first.append("more")
    assert [record.value for record in shared.known([came], lambda name: True).records] == [came, came[0]]
    records = shared.known([came], lambda name: True, of_changed={"x"}).records
    assert {id(record.value) for record in records} == set(map(id, [came, came[0], first]))
