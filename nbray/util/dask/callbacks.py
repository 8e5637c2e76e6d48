"""``RayDaskCallback``: be told what happens to the tasks of a Dask graph."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

from nbray.experimental.tqdm_ray import tqdm

_active: list[Any] = []


class RayDaskCallback:
    """A base class; override what you want to hear of, and use it in ``with``.

    Methods
    -------
    _ray_presubmit(task, key, deps)
        Before a task is submitted; a value other than None is used in its place.
    _ray_postsubmit(task, key, deps, object_ref)
        After it was.
    _ray_pretask(key, object_refs)
        In the worker, before it runs; what it returns goes to ``_ray_posttask``.
    _ray_posttask(key, result, pre_state)
        In the worker, after it ran.
    _ray_postsubmit_all(object_refs, dsk)
        After all tasks were submitted.
    _ray_finish(result)
        When the result is there.
    """

    #: Those that are told now.
    ray_active: ClassVar[list[Any]] = _active
    NAMES = ("presubmit", "postsubmit", "pretask", "posttask", "postsubmit_all", "finish")

    def __init__(self, **functions: Any) -> None:
        for name, function in functions.items():
            if name.removeprefix("ray_") not in self.NAMES:
                raise TypeError(f"RayDaskCallback has no {name!r}; it has ray_{', ray_'.join(self.NAMES)}.")
            setattr(self, f"_ray_{name.removeprefix('ray_')}", function)

    def __enter__(self) -> RayDaskCallback:
        _active.append(self)
        return self

    def __exit__(self, *exc: Any) -> None:
        _active.remove(self)

    def register(self) -> None:
        """Be told from now on."""
        _active.append(self)

    def unregister(self) -> None:
        """Be told no more."""
        _active.remove(self)


class ProgressBarCallback(RayDaskCallback):
    """Shows how many tasks of the graph have run."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None
        self._lock = threading.Lock()

    def _ray_postsubmit(self, task: Any, key: Any, deps: Any, object_ref: Any) -> None:
        with self._lock:
            if self._bar is None:
                self._bar = tqdm(desc="Dask", unit="task", total=0)
            self._bar.total += 1
        object_ref._on_completed(lambda _: self._step())

    def _step(self) -> None:
        with self._lock:
            if self._bar is not None:
                self._bar.update(1)

    def _ray_finish(self, result: Any) -> None:
        with self._lock:
            bar, self._bar = self._bar, None
            if bar is not None:
                bar.update(bar.total - bar.n)  # whose completion is about to be told
                bar.close()


def functions(name: str, given: Any = None) -> list[Any]:
    """Return the active callbacks' functions of one kind, where they have one."""
    found = (getattr(callback, f"_ray_{name}", None) for callback in [*_active, *(given or ())])
    return [function for function in found if function is not None]


def around_tasks(given: Any = None) -> list[tuple[Any, Any]] | None:
    """Return the pairs of functions that are called in the worker before and after a task, None when there are none."""
    pairs = [
        (getattr(callback, "_ray_pretask", None), getattr(callback, "_ray_posttask", None))
        for callback in [*_active, *(given or ())]
    ]
    return [pair for pair in pairs if pair != (None, None)] or None
