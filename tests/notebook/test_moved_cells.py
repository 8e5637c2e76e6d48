"""A cell that was moved to the cluster leaves the notebook as it would have done here."""

from __future__ import annotations

import pytest
from kit import Kernel

# What stands before the cell, the cell, and what is looked at after it: it has to be True, and the cell has nothing to tell.
CASES = {
    "a hook of subclasses runs once": (
        "class Plug:\n    table = {}\n    def __init_subclass__(cls, /, key, **rest):\n"
        "        super().__init_subclass__(**rest)\n        Plug.table.setdefault(key, []).append(cls)\n"
        "class Old(Plug, key='old'): pass",
        "class New(Old, key='new'):\n    def go(self): return 7\n"
        "assert list(map(len, Plug.table.values())) == [1, 1]; Plug.table['new'][0]().go()",
        "[len(Plug.table['old']), Plug.table['new'] == [New], New().go(), Plug.__subclasses__() == [Old]] == [1, True, 7, True]",
    ),
    "a metaclass makes each class once": (
        "class Meta(type):\n    made = []\n    def __new__(meta, name, bases, names, tag='none'):\n"
        "        made = super().__new__(meta, name, bases, names); made.tag = tag; Meta.made.append(made); return made\n"
        "class First(metaclass=Meta, tag='first'): pass",
        "class Second(First, tag='second'): pass\nassert Meta.made == [First, Second]",
        "Meta.made == [First, Second] and [First.tag, Second.tag] == ['first', 'second'] and type(Second) is Meta",
    ),
    "a class with a single object": (
        "class Once:\n    made = None\n    def __new__(cls):\n        if cls.made is None: cls.made = super().__new__(cls)\n"
        "        return cls.made\nonce = Once(); once.n = 0",
        "Once().n += 1",
        "once.n == 1 and Once() is once",
    ),
    "a slot that is emptied": (
        "class Slots:\n    __slots__ = ('x', 'y')\ntwo, one = Slots(), Slots(); two.x = two.y = one.x = 1",
        "del two.x, one.x; two.y = 5",
        "[hasattr(two, 'x'), hasattr(one, 'x'), two.y] == [False, False, 5]",
    ),
    "functions in functions keep things": (
        "def counted(f):\n    f.n = 0; n = 0\n    def wrapper(*a):\n        nonlocal n\n        n += 1; f.n += 1\n        return f(*a)\n"
        "    wrapper.counts = lambda: (n, f.n)\n    return wrapper\n"
        "class Has:\n    @counted\n    def plain(self): pass\n    @staticmethod\n    @counted\n    def static(): pass\n"
        "    @property\n    @counted\n    def prop(self): pass\n    class Inner:\n        total = 0\n"
        "@counted\ndef job(): pass",
        "h = Has(); h.plain(); h.plain(); h.static(); h.prop; Has.Inner.total += 3; job(); Has.plain.extra = 1",
        "[Has.plain.counts(), Has.static.counts(), vars(Has)['prop'].fget.counts(), Has.Inner.total, job.counts(), Has.plain.extra]"
        " == [(2, 2), (1, 1), (1, 1), 3, (1, 1), 1]",
    ),
    "an array in an object, and a view of it": (
        "import numpy as np, types\nwhole = np.zeros((2, 2)); turned = whole.T; holder = types.SimpleNamespace(array=whole)",
        "holder.array[0, 0] = 4; turned[1, 0] = 7",
        "whole.tolist() == [[4, 7], [0, 0]] == turned.T.tolist() and holder.array is whole",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_as_if_it_had_run_here(kernel: Kernel, case: str) -> None:
    before, cell, after = CASES[case]
    for first in ("", "%%remote\n"):
        kernel.ok(before)
        ran = kernel.ok(first + cell)
        assert not ran.text("stderr")
        assert kernel.ok(after).value == "True", "here" if not first else "there"
