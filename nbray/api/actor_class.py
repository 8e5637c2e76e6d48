"""``@remote`` on a class: a class whose instances are actors."""

from __future__ import annotations

import functools
import inspect
from types import GenericAlias
from typing import Any

from nbray import options as option_table
from nbray.api import redefinition
from nbray.api.actor_creation import create
from nbray.api.actor_handle import ActorHandle
from nbray.api.actor_method import methods_of
from nbray.api.ray_attributes import ActorClassMetadata
from nbray.api.remote_function import argument_check, no_graphs
from nbray.core import code_size
from nbray.exceptions import ActorClassInheritanceException
from nbray.worker.calls import is_async, unknown_group


class ActorClass:
    """A class whose instances are actors: processes of their own."""

    def __init__(self, cls: type, options: dict[str, Any]) -> None:
        if inspect.isabstract(cls):
            lacking = ", ".join(sorted(vars(cls)["__abstractmethods__"]))
            raise TypeError(
                f"Can't instantiate abstract class {cls.__name__}: it lacks {lacking}. Decorate a subclass that has them."
            )
        self._set(cls, options)
        _check_groups(cls.__name__, self._methods, options.get("concurrency_groups") or {})

    def _set(self, cls: type, options: dict[str, Any]) -> None:
        self._class = cls
        self._class_name = cls.__name__
        self._options = options
        self.__name__ = cls.__name__
        self.__doc__ = cls.__doc__
        self.__module__ = cls.__module__
        self._core: Any = None
        self._code = b""
        redefinition.note_class(cls)

    # Looked up at the first use: when this comes out of a pickle, the class may still be empty
    # (one whose methods name the class itself is filled after they are there).

    @functools.cached_property
    def _methods(self) -> dict[str, dict[str, Any]]:
        return methods_of(self._class)

    @functools.cached_property
    def _is_async(self) -> bool:
        return is_async(self._class)

    @functools.cached_property
    def _check(self) -> Any:
        return _constructor_check(self._class)

    def __getattr__(self, name: str) -> Any:
        # Code of the class says `Counter.LIMIT`, and that name is the decorated class.
        cls = self.__dict__.get("_class")
        if cls is None or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(name)
        try:
            return getattr(cls, name)
        except AttributeError:
            raise AttributeError(f"The actor class {self._class_name} has no attribute '{name}'.") from None

    @property
    def __ray_metadata__(self) -> ActorClassMetadata:
        return ActorClassMetadata(self._class, dict(self._options), self._methods)

    @property
    def __ray_actor_class__(self) -> type:
        return self._class  # packages take an actor class apart by this

    @property
    def _default_options(self) -> dict[str, Any]:
        return dict(self._options)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._methods]

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        name = self._class_name
        raise TypeError(f"Actors cannot be instantiated directly. Instead of '{name}()', use '{name}.remote()'.")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        raise ActorClassInheritanceException("An actor class cannot be a base class; inherit from the plain class.")

    def __mro_entries__(self, bases: Any) -> Any:
        raise ActorClassInheritanceException(
            f"Attempted to define a subclass of the actor class '{self._class_name}'. Inheriting from actor classes is "
            "not supported. Inherit from the plain class and decorate the subclass."
        )

    def remote(self, /, *args: Any, **kwargs: Any) -> ActorHandle:
        """Make an actor; returns its handle at once."""
        return create(self, args, kwargs, self._options)

    def options(self, **given: Any) -> _ActorClassWithOptions:
        """Return the class with other options."""
        checked = option_table.check("actor", given, in_options_call=True)
        return _ActorClassWithOptions(self, {**self._options, **checked})

    def _remote(self, /, args: Any = (), kwargs: Any = None, **given: Any) -> ActorHandle:
        return self.options(**given).remote(*(args or ()), **(kwargs or {}))

    def _code_for(self, core: Any) -> bytes:
        """Return the pickled class, made once per cluster."""
        if self._core is not core:
            self._code = code_size.serialize(self._class, self._class_name, int(core.store.pressure.limits.code_bytes))
            self._core = core
        return self._code

    bind = no_graphs
    __class_getitem__: Any = classmethod(GenericAlias)  # for annotations

    def __repr__(self) -> str:
        return f"ActorClass({self._class_name})"

    def __reduce__(self) -> Any:
        return _rebuild_class, (self._class, self._options)


class _ActorClassWithOptions:
    """``Cls.options(...)``."""

    def __init__(self, parent: ActorClass, options: dict[str, Any]) -> None:
        self._parent = parent
        self._options = options

    bind = no_graphs

    def remote(self, /, *args: Any, **kwargs: Any) -> ActorHandle:
        return create(self._parent, args, kwargs, self._options)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._parent(*args, **kwargs)  # which says how to do it


def _rebuild_class(cls: type, options: dict[str, Any]) -> ActorClass:
    made = ActorClass.__new__(ActorClass)
    made._set(cls, options)
    return made


def _check_groups(class_name: str, methods: dict[str, dict[str, Any]], groups: dict[str, int]) -> None:
    """Raise ValueError when a method names a concurrency group that the class does not have."""
    for name, options in methods.items():
        group = options.get("concurrency_group")
        if group and group not in groups:
            raise ValueError(unknown_group(f"{class_name}.{name}", group, groups))


def _constructor_check(cls: type) -> Any:
    """Return the check of the constructor's arguments; None when it takes none."""
    constructor = inspect.getattr_static(cls, "__init__")
    return None if constructor is object.__init__ else argument_check(constructor, skip_first=True)
