"""What PyTorch does not pickle of a tensor: its gradient, and that it was computed from others.

A gradient travels with its tensor, as an object of its own: one that stays the same object here does so on the worker, and
unchanged ones do not travel twice. What a tensor was computed from stays behind. That is told when a gradient would have gone on there.
"""

from __future__ import annotations

import copy
import sys
import warnings
from dataclasses import dataclass
from typing import Any

from .tensors import is_tensor, take_tensor

_NO_GRAPH = (
    "a gradient ends at a tensor of shape {shape}: it was computed in another process (by a remote cell, or here before one), and"
    " what it was computed from gets no gradient. Compute it in the cell that calls backward()."
)


@dataclass(slots=True)
class TensorContents:
    """What a tensor holds, on its way to the notebook's own."""

    data: Any  # None: as it is there
    gradient: Any
    attributes: dict[str, Any]


def contents_of(tensor: Any, written: bool = True) -> TensorContents:
    """Return what a tensor holds; ``written`` says whether it may be something else than it came with."""
    return TensorContents(copy.copy(tensor) if written else None, gradient_of(tensor), dict(vars(tensor)))


def gradient_of(tensor: Any) -> Any:
    """Return the gradient of a tensor; None: it has none. (To ask one that was computed from others makes PyTorch warn.)"""
    try:
        return tensor.grad if tensor.is_leaf or tensor.retains_grad else None
    except RuntimeError:  # of kinds that have none
        return None


def reduce_tensor(obj: Any) -> Any:
    """Return how to write a tensor that has a gradient or was computed from others; None: as PyTorch does."""
    if not is_tensor(obj):
        return None
    gradient, computed = gradient_of(obj), _is_computed(obj)
    if gradient is None and not computed:
        return None
    reduced = obj.__reduce_ex__(5)
    if isinstance(reduced, str) or len(reduced) != 2:
        return None
    return *reduced, (gradient, computed), None, None, _restore


def take_contents(old: Any, new: TensorContents) -> bool:
    """Give a tensor of the notebook the contents and the gradient of another; False: it cannot have them."""
    if new.data is not None and not take_tensor(old, new.data):
        return False
    old.__dict__.update(new.attributes)
    return new.gradient is gradient_of(old) or _give(old, new.gradient)


def as_tensor(new: TensorContents) -> Any:
    """Return a tensor with these contents, for one that cannot have them."""
    _give(new.data, new.gradient)
    return new.data


def _is_computed(tensor: Any) -> bool:
    hooks = tensor._backward_hooks if tensor.is_leaf else None
    return not tensor.is_leaf or any(isinstance(hook, _Ends) for hook in (hooks or {}).values())


def _restore(tensor: Any, state: tuple[Any, bool]) -> None:
    gradient, computed = state
    if gradient is not None:
        _give(tensor, gradient)
    if computed and tensor.requires_grad:
        tensor.register_hook(_Ends(tuple(tensor.shape)))


def _give(tensor: Any, gradient: Any) -> bool:
    try:
        tensor.grad = gradient
    except (RuntimeError, TypeError):  # of another shape or on another device, which PyTorch lets happen in other ways
        return False
    return True


class _Ends:
    """A hook of a tensor that was computed in another process: says that its gradient goes no further."""

    __torch_unserializable__ = True  # PyTorch need not say so

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._told: dict[Any, Any] = {}  # once for each tensor

    def __call__(self, gradient: Any) -> None:
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "torch":
            frame = frame.f_back
        place = frame.f_code.co_filename, frame.f_lineno
        warnings.warn_explicit(_NO_GRAPH.format(shape=self._shape), UserWarning, *place, registry=self._told)
