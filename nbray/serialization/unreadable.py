"""What is raised when a value cannot be rebuilt from its bytes: Ray's class, and the class of what went wrong."""

from __future__ import annotations

from typing import Any

from nbray.exceptions import RayError, RaySystemError

_classes: dict[type, type] = {}
MAX_CLASSES = 1000


def unreadable(error: Exception) -> Exception:
    """Return the error of a value whose unpickling raised ``error``; also an instance of that error's class.

    An error of the runtime (no memory to restore it, a foreign ref) is returned as it is.
    """
    if isinstance(error, RayError):
        return error
    cls = type(error)
    made_of = _classes.get(cls)
    if made_of is None:
        try:
            made_of = type(
                f"RaySystemError({cls.__name__})",
                (RaySystemError, cls),
                {"__str__": _text, "__init__": _keep, "__reduce__": _reduce, "__module__": RaySystemError.__module__},
            )
        except Exception:  # final classes, conflicting layouts, a class that objects to subclasses
            made_of = RaySystemError
        if len(_classes) < MAX_CLASSES:
            _classes[cls] = made_of
    try:
        made = made_of(*error.args)
        for name in ("name", "path", "obj"):  # of the errors that imports and lookups raise
            if getattr(error, name, None) is not None:
                setattr(made, name, getattr(error, name))
        if made_of is not RaySystemError:
            made.__dict__["_cause"] = error
    except Exception:  # the class wants more than its arguments
        made = RaySystemError(f"{cls.__name__}: {error}")
    return made


def _keep(self: Any, *args: Any, **kwargs: Any) -> None:
    """Do nothing: the error has its arguments from ``__new__``."""


def _text(self: Any) -> str:
    cause = self.__dict__.get("_cause")
    return f"System error: the value could not be rebuilt here: {type(cause).__name__}: {cause}"


def _reduce(self: Any) -> Any:
    return unreadable, (self.__dict__["_cause"],)
