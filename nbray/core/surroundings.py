"""What a worker takes over from an owner before it unpickles anything else of it."""

from __future__ import annotations

from typing import Any

from nbray.core import current


class Surroundings(dict[str, Any]):
    """An owner's context (sys.path, working directory ...) that takes effect while it is unpickled.

    A worker that makes an actor reads one pickle with the class, its arguments and the
    context; what stands after the context may need it.
    """

    def __reduce__(self) -> Any:
        return _arrive, (dict(self),)


def _arrive(context: dict[str, Any]) -> dict[str, Any]:
    executor = getattr(current.core, "executor", None)
    if executor is not None:
        executor.take_over(context)
    return context
