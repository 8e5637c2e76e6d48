"""Arrays that are views of another input stay views of it, and those that show a file show it everywhere.

NumPy pickles both as arrays of their own. Where the array that owns the memory goes along anyway, its views among the inputs
are written as what they show of it; and where two inputs overlap, it does go along. A ``numpy.memmap`` is written as what it maps: so it costs nothing to send, and what a cell
stores into it is in the file.
"""

from __future__ import annotations

import itertools
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

_UNNAMED = "_nbray_owner_"  # private: under which what has no name goes over


def owners(values: Iterable[Any]) -> dict[int, Any]:
    """Return, by the id of what holds the memory, the arrays among these values that are all of it."""
    numpy = sys.modules.get("numpy")
    arrays = [value for value in values if type(value) is numpy.ndarray] if numpy is not None else []
    found: dict[int, Any] = {}
    for array in arrays:
        root = _root(array)
        flags = array.flags
        whole = array.nbytes == root.nbytes and _address(array) == _address(root)
        if whole and (flags.c_contiguous or flags.f_contiguous) and not array.dtype.hasobject:
            found.setdefault(id(root), array)
    return found


def unnamed_owners(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return, under private names, the arrays that are not among these values and of which several of these show the same part."""
    numpy = sys.modules.get("numpy")
    arrays = [value for value in values.values() if type(value) is numpy.ndarray] if numpy is not None else []
    if numpy is None or len(arrays) < 2:
        return {}
    named = owners(arrays)
    views: dict[int, list[Any]] = {}
    for array in arrays:
        root = _root(array)
        if root is not array and id(root) not in named and id(root) in owners([root]):
            views.setdefault(id(root), []).append(array)
    found: dict[str, Any] = {}
    for group in views.values():
        pairs = itertools.combinations({id(array): array for array in group}.values(), 2)
        if any(numpy.may_share_memory(one, other) for one, other in pairs):
            found[f"{_UNNAMED}{len(found)}"] = _root(group[0])
    return found


def scattered(values: Mapping[str, Any]) -> list[str]:
    """Return the names of arrays whose memory has gaps, or another order; where they are copied to, it has not."""
    return [
        name
        for name, value in values.items()
        if type(value).__name__ == "ndarray" and not (value.flags.c_contiguous or value.flags.f_contiguous)
    ]


def owner_of(value: Any, known: dict[int, Any]) -> Any:
    """Return the array of ``owners`` that a value is a view of; None: it is none, or none that can be made so."""
    if type(value).__name__ != "ndarray" or value.dtype.hasobject:
        return None
    owner = known.get(id(_root(value)))  # of an array that has its own memory, a view of all of it may go along instead
    return None if owner is value else owner


def reduce_view(array: Any, known: dict[int, Any]) -> Any:
    """Return how to make a view; None: see ``owner_of``."""
    owner = owner_of(array, known)
    if owner is None or (
        array.flags.writeable and not owner.flags.writeable
    ):  # such as pandas gives out of its columns
        return None
    offset = _address(array) - _address(owner)
    # What is read-only because its owner is, as large inputs are on a worker, is as its owner there.
    writable = bool(array.flags.writeable or not owner.flags.writeable)
    return view_of, (owner, array.shape, array.dtype, offset, array.strides, writable)


def view_of(owner: Any, shape: tuple[int, ...], dtype: Any, offset: int, strides: Any, writable: bool) -> Any:
    """Make a view."""
    import numpy  # noqa: PLC0415 - loaded by whoever has an array

    # As bytes: times and other types of an array have no buffer of their own.
    memory = (owner if owner.flags.c_contiguous else owner.T).reshape(-1).view(numpy.uint8)
    view = numpy.ndarray(shape, dtype, memory, offset, strides)
    if not writable:
        view.flags.writeable = False
    return view


def reduce_mapped(array: Any) -> Any:
    """Return how to map the file of a ``numpy.memmap`` again, or which part of one it is; None: it is a private copy, or the file is gone."""
    filename, mode = getattr(array, "filename", None), getattr(array, "mode", "c")
    if filename is None or mode == "c":
        return None
    if array.base is not array._mmap:
        root = _root(array)
        if root is array or type(root) is not type(array) or reduce_mapped(root) is None:
            return None
        offset = _address(array) - _address(root)
        return part_of_mapped, (root, array.shape, array.dtype, offset, array.strides, array.flags.writeable)
    if not os.path.exists(filename):
        return None
    order = "C" if array.flags.c_contiguous else "F"
    mode = "r" if mode == "r" else "r+"
    return type(array), (os.path.abspath(filename), array.dtype, mode, array.offset, array.shape, order)


def reduce_with_attributes(array: Any) -> Any:
    """Return how to make an array of a subclass of the notebook's with its attributes, of which NumPy says nothing; None: as NumPy does."""
    kind = type(array)
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or kind.__module__ != "__main__" or not isinstance(array, numpy.ndarray):
        return None
    says = (kind.__reduce__, kind.__reduce_ex__, kind.__setstate__)
    if says != (numpy.ndarray.__reduce__, numpy.ndarray.__reduce_ex__, numpy.ndarray.__setstate__):
        return None
    attributes = getattr(array, "__dict__", None)
    if not attributes:
        return None
    function, arguments, state = array.__reduce__()
    return function, arguments, (state, attributes), None, None, _restore_attributes


def _restore_attributes(array: Any, state: tuple[Any, dict[str, Any]]) -> None:
    array.__setstate__(state[0])
    array.__dict__.update(state[1])


def part_of_mapped(whole: Any, shape: tuple[int, ...], dtype: Any, offset: int, strides: Any, writable: bool) -> Any:
    """Make what indexing makes of a ``numpy.memmap``."""
    numpy: Any = sys.modules["numpy"]
    memory = (whole if whole.flags.c_contiguous else whole.T).reshape(-1).view(numpy.uint8)
    part = numpy.ndarray.__new__(type(whole), shape, dtype, memory, offset, strides)
    part._mmap, part.filename, part.offset, part.mode = whole._mmap, whole.filename, whole.offset, whole.mode
    if not writable:
        part.flags.writeable = False
    return part


def show_same_file(one: Any, other: Any) -> bool:
    """Whether two arrays are the same part of a file, so that what is stored into one is in the other."""
    if type(one).__name__ != "memmap" or type(other) is not type(one):
        return False
    mine, its = reduce_mapped(one), reduce_mapped(other)
    if mine is None or its is None or mine[0] is not its[0]:
        return False
    if mine[0] is part_of_mapped:
        return mine[1][0] is its[1][0] and mine[1][1:] == its[1][1:]
    return bool(mine[1][0] == its[1][0] and mine[1][3:] == its[1][3:])


def take_shape(array: Any, other: Any) -> bool:
    """Give an array the shape and type of another that is as large; False: it cannot be."""
    if array.nbytes != other.nbytes or not array.flags.c_contiguous or array.dtype.hasobject or other.dtype.hasobject:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a cell has done that need not warn once more here
        before = array.shape
        try:
            array.shape = (-1,)
            array.dtype = other.dtype
            array.shape = other.shape
        except (TypeError, ValueError, AttributeError):  # a view whose type cannot be another
            array.shape = before
            return False
    return True


def _root(array: Any) -> Any:
    kind = type(array)
    while type(array.base) is kind:
        array = array.base
    return array


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])
