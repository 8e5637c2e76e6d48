"""Code reaches workers: modules on a path that the driver adds later, modules made by hand, dataclasses."""

import dataclasses
import os
import sys
import types
import typing

import pytest

CLUSTER = {"num_cpus": 1, "object_store_memory": 64 * 2**20}


@pytest.fixture
def found_late(ray, tmp_path, monkeypatch):
    """Name a module in a folder that comes onto the path when the cluster, its worker and its channel are there."""

    @ray.remote
    def warm():
        return 1

    assert ray.get(warm.remote()) == 1
    name = f"found_late_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text("VALUE = 7\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_a_path_that_is_added_later(ray, found_late):
    @ray.remote
    def value():
        return __import__(found_late).VALUE

    assert ray.get(value.remote()) == 7


def test_a_path_that_is_added_before_an_actor_is_made(ray, found_late):
    @ray.remote(num_cpus=0)
    class Reader:
        def value(self):
            return __import__(found_late).VALUE

    assert ray.get(Reader.remote().value.remote()) == 7


class Told:
    """Tells where it is unpickled."""

    def __init__(self, ledger):
        self.ledger = ledger

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.ledger.add(os.getpid())


def test_code_is_unpickled_once_per_worker_however_often_it_is_defined(ray, ledger):
    told = Told(ledger)

    def define():
        @ray.remote
        def where(i):
            return told.ledger and os.getpid()

        return where

    first, again = define(), define()
    calls = [first.remote(i) for i in range(50)] + [again.remote(i) for i in range(50)]
    calls += [first.options(name="other").remote(1), first.options(num_cpus=0.5).remote(1)]
    workers = set(ray.get(calls))
    assert sorted(map(int, ledger.lines())) == sorted(workers)


def test_a_module_made_by_hand(ray, monkeypatch):
    module = types.ModuleType("made_by_hand")
    exec("K = 5\ndef add(x): return x + K\nclass Box:\n    def __init__(self): self.k = K\n", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)

    @ray.remote
    def use():
        return module.add(1), module.Box()

    total, box = ray.get(use.remote())
    assert total == 6 and type(box) is module.Box and box.k == 5


def test_a_dataclass_is_inherited_from_there(ray):
    made = types.ModuleType("made_for_a_dataclass")
    made.dataclasses = dataclasses
    exec(
        "@dataclasses.dataclass\nclass Base:\n    a: int = 1\n    b: list = dataclasses.field(default_factory=list)",
        made.__dict__,
    )
    base = made.Base  # of no module that can be imported: it goes by value

    @ray.remote
    def inherit():
        @dataclasses.dataclass
        class Derived(base):
            c: int = 3

        value = Derived()
        return value.a, value.b, value.c

    assert ray.get(inherit.remote()) == (1, [], 3)


def test_a_typed_dict(ray):
    made = types.ModuleType("made_for_a_typed_dict")
    made.typing = typing
    exec(
        "class Base(typing.TypedDict):\n    name: str\nclass Row(Base, total=False):\n    'A row.'\n    age: int",
        made.__dict__,
    )
    row = made.Row

    @ray.remote
    def look():
        return row(name="a"), row.__annotations__ == made.Row.__annotations__, row.__doc__, row.__total__, row

    value, same, text, total, again = ray.get(look.remote())
    assert (value, same, text, total) == ({"name": "a"}, True, "A row.", False)
    assert again.__required_keys__ == row.__required_keys__ and again.__optional_keys__ == row.__optional_keys__
