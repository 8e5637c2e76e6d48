"""What packages import from ``ray.dag`` to derive from it, or to ask whether something is a node: nbray has no graphs."""

from __future__ import annotations

from typing import Any

from nbray.api.remote_function import no_graphs


class DAGNode:
    """For ``isinstance``, annotations and derived classes: nothing is one.

    Raises
    ------
    NotImplementedError
        When one is made.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        no_graphs(self)


class FunctionNode(DAGNode):
    """A call of a function."""


class ClassNode(DAGNode):
    """An actor."""


class ClassMethodNode(DAGNode):
    """A call of an actor."""


class InputNode(DAGNode):
    """What a graph is run with."""


class InputAttributeNode(DAGNode):
    """A part of that."""


class MultiOutputNode(DAGNode):
    """Several results."""


__all__ = [
    "ClassMethodNode",
    "ClassNode",
    "DAGNode",
    "FunctionNode",
    "InputAttributeNode",
    "InputNode",
    "MultiOutputNode",
]
