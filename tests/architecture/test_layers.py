"""Imports go down the table of layers, in no circle, and none is hidden."""

from __future__ import annotations

import ast
import graphlib

from .layers import (
    ENTRY_POINTS,
    LOADED_LATE,
    MAY_IMPORT_ZMQ,
    PURE_MAY_IMPORT,
    SERVER_SIDE,
    SERVER_SIDE_MAY_IMPORT,
    depth,
    is_pure,
    layer_of,
)
from .source_tree import foreign, imports, internal, modules, tree


def is_late_start(found) -> bool:
    """Whether this is an entry point that starts what it was asked to start."""
    return found.place == "function" and found.by in ENTRY_POINTS


def listed(findings) -> str:
    return "\n" + "\n".join(f"  {finding}" for finding in findings)


def test_the_sources_are_there():
    assert len(modules()) > 20
    assert len(imports()) > 50


def test_every_module_has_a_layer():
    homeless = [name for name in modules() if not name.startswith(SERVER_SIDE) and layer_of(name) is None]
    assert not homeless, f"name their layer in tests/architecture/layers.py: {homeless}"


def test_imports_go_down():
    upward = [
        found
        for found in internal()
        if not found.by.startswith(SERVER_SIDE)
        and found.of != "nbray"  # has a test of its own
        and not is_late_start(found)
        and depth(layer_of(found.by)) > depth(layer_of(found.of))
    ]
    assert not upward, listed(f"{found}: {layer_of(found.by)} -> {layer_of(found.of)}" for found in upward)


def test_nobody_inside_imports_the_root():
    # With the root in it, every circle is one of all modules. `nbray.notebook` is outside: it is a user of the API.
    found = [one for one in internal() if one.of == "nbray" and not one.by.startswith(("nbray.notebook", "nbray.cli"))]
    assert not found, listed(found)


def test_there_is_no_circle():
    graph: dict[str, set[str]] = {}
    for found in internal():
        if found.place != "type checking" and not is_late_start(found):
            graph.setdefault(found.by, set()).add(found.of)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        raise AssertionError("a circle: " + " -> ".join(error.args[1])) from None


def test_no_import_of_ours_is_hidden_in_a_function():
    hidden = [
        found
        for found in internal()
        if found.place == "function" and not is_late_start(found) and found.of not in LOADED_LATE
    ]
    assert not hidden, listed(hidden)


def test_types_are_not_imported_upwards_either():
    upward = [
        found
        for found in internal()
        if found.place == "type checking"
        and not found.by.startswith(SERVER_SIDE)
        and depth(layer_of(found.by)) > depth(layer_of(found.of))
    ]
    assert not upward, listed(upward)


def test_decisions_do_no_io():
    guilty = [found for found in foreign() if is_pure(found.by) and found.of.split(".")[0] not in PURE_MAY_IMPORT]
    assert not guilty, listed(guilty)


IO_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}


def test_decisions_open_no_files():
    guilty = [
        f"{name}:{node.lineno} calls {node.func.id}()"
        for name in modules()
        if is_pure(name)
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IO_CALLS
    ]
    assert not guilty, listed(guilty)


def test_only_the_wire_knows_zeromq():
    guilty = [
        found for found in foreign() if found.of.split(".")[0] == "zmq" and not found.by.startswith(MAY_IMPORT_ZMQ)
    ]
    assert not guilty, listed(guilty)


def test_no_process_imports_another():
    homes = ("nbray.worker", "nbray.node", "nbray.control.service")

    def home(name: str) -> str | None:
        return next((one for one in homes if name == one or name.startswith(one + ".")), None)

    guilty = [
        found
        for found in internal()
        if home(found.by) and home(found.of) and {home(found.by), home(found.of)} == {"nbray.worker", "nbray.node"}
    ]
    assert not guilty, listed(guilty)


def test_the_server_side_knows_little_of_nbray():
    guilty = [
        found
        for found in internal()
        if found.by.startswith(SERVER_SIDE)
        and not found.of.startswith(SERVER_SIDE)
        and layer_of(found.of) not in SERVER_SIDE_MAY_IMPORT
    ]
    assert not guilty, listed(guilty)
