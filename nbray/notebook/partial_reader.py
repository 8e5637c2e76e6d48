"""Read a stream of which some objects cannot be rebuilt: each of these is left out alone.

Only for streams that could not be read as usual, since it is the unpickler in Python, which is some fifty times slower.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from .cell_pickle import after_known

_Unpickler: Any = vars(pickle)["_Unpickler"]


class PartialReader(_Unpickler):
    """Reads as ``cell_pickle.StreamReader`` does; what fails is replaced.

    Parameters
    ----------
    stand_in
        Returns what stands for an object that cannot be rebuilt, given the name of its class and the error.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(_Unpickler.dispatch)

    def __init__(
        self,
        data: bytes,
        buffers: Iterable[Any],
        known: Sequence[Any],
        stand_in: Callable[[str, BaseException], Any],
    ) -> None:
        data, buffers = after_known(data, buffers, known)
        super().__init__(io.BytesIO(data), buffers=buffers)
        self._stand_in = stand_in
        self.load()

    def value(self) -> Any:
        """Return the next object of the stream. (``read`` is a name of the unpickler's own.)"""
        value = self.load()
        return self._stand_in(value.__name__, value.error) if isinstance(value, _Missing) else value

    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except Exception as error:
            return _Missing(name, error)

    def guarded(self, load: Callable[[Any], None], n_taken: int) -> None:
        """Run a step that takes ``n_taken`` values from the stack, the lowest of which makes the object, or is it."""
        maker, *given = self.stack[-n_taken:]
        depth = len(self.stack) - n_taken
        try:
            if isinstance(maker, _Missing):
                raise maker.error
            load(self)
        except Exception as error:
            del self.stack[depth:]
            self.stack.append(self._stand_in(_made_by(maker, given), error))


class _Missing:
    """Stands for a class or function that is not here."""

    def __init__(self, name: str, error: Exception) -> None:
        self.__name__ = name
        self.error = error


def _made_by(maker: Any, given: list[Any]) -> str:
    """Return the name of the class whose object a step of a pickle was to make."""
    arguments = given[0] if given and isinstance(given[0], tuple) else ()
    if not isinstance(maker, type) and arguments and isinstance(arguments[0], type | _Missing):
        maker = arguments[0]  # of copyreg.__newobj__ and its like
    try:
        return str(getattr(maker, "__name__", type(maker).__name__))
    except Exception:  # an object that was not made whole, whose attributes come from what it lacks
        return type(maker).__name__


def _guard(opcode: bytes, n_taken: int) -> None:
    load = _Unpickler.dispatch[opcode[0]]
    PartialReader.dispatch[opcode[0]] = lambda reader: reader.guarded(load, n_taken)


for _opcode, _n_taken in ((pickle.REDUCE, 2), (pickle.NEWOBJ, 2), (pickle.NEWOBJ_EX, 3), (pickle.BUILD, 2)):
    _guard(_opcode, _n_taken)
