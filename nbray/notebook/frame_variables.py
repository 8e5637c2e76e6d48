"""The variables of the functions that an error came through, which a debugger asks for: what of them travels, and what they are here.

What is small travels, and what the notebook has under a name is told by that; of the rest, its text.
"""

from __future__ import annotations

import io
import pickle
import reprlib
import sys
from collections.abc import Callable, Collection
from types import FrameType, ModuleType
from typing import Any

from .cell_job import SMALL_BYTES, is_larger
from .unheard import unheard

MAX_BYTES = 4 * SMALL_BYTES  # of all variables of one error, those that turned out too large included
MAX_NAMES = 100  # of one frame
MAX_TEXT = 500
Sent = bytes | str  # pickled, or its text

_PLAIN = (type(None), bool, int, float, complex)


class Variables:
    """Writes down the variables of frames, in the worker.

    Parameters
    ----------
    dump
        Pickles a value, to a number of bytes at most. May raise anything.
    named
        Ids of the objects that the notebook has: these are told by name, however large they are.
    """

    def __init__(self, dump: Callable[[Any, int], bytes], named: Collection[int] = ()) -> None:
        self._dump, self._named = dump, named
        self._known: dict[int, tuple[Any, Sent]] = {}  # the values are kept, so that no other gets the id of one
        self._left = MAX_BYTES

    def of(self, frame: FrameType) -> dict[str, Sent]:
        """Return what is sent of each variable of a function."""
        if frame.f_code.co_name == "<module>":
            return {}  # these are names of the notebook, or of a module
        names = [name for name in list(frame.f_locals)[:MAX_NAMES] if name.isidentifier()]
        values = frame.f_locals
        return {name: self._sent(values[name]) for name in names}

    def _sent(self, value: Any) -> Sent:
        if type(value) in _PLAIN:
            return pickle.dumps(value)
        found = self._known.get(id(value))
        if found is None:
            found = self._known[id(value)] = value, self._written(value)
        return found[1]

    def _written(self, value: Any) -> Sent:
        most = min(self._left, SMALL_BYTES)
        large = isinstance(value, ModuleType) or (id(value) not in self._named and is_larger(value, most))
        if most > 0 and not large:
            try:
                with unheard():
                    data = self._dump(value, most)
            except Exception:
                self._left -= most // 4  # for how much of it was written before is not known
            else:
                self._left -= len(data)
                return data
        return _text(value)


def _text(value: Any) -> str:
    try:
        with unheard():
            text = reprlib.repr(value) if isinstance(value, list | dict | set | tuple | str | bytes) else repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text[:MAX_TEXT]


class OnWorker:
    """Stands for a variable that stayed on the worker."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        raise AttributeError(f"the value has stayed on the worker; here is its text: {self._text}")


class Scopes:
    """Knows here what the frames of an error see.

    Parameters
    ----------
    namespace
        The notebook's.
    receiving
        Is entered while values are read.
    """

    def __init__(self, namespace: dict[str, Any], receiving: Callable[[], Any]) -> None:
        self._namespace = namespace
        self._receiving = receiving
        self._read: dict[bytes, Any] = {}  # one object for all frames that have it

    def variables(self, sent: dict[str, Sent]) -> dict[str, Any]:
        """Return the variables of a frame."""
        return {name: self._value(each) for name, each in sent.items()}

    def globals_of(self, module: str) -> dict[str, Any] | None:
        """Return the names that the functions of a module see; None: it is not loaded here."""
        if module == "__main__":
            return self._namespace
        found = sys.modules.get(module)
        return vars(found) if isinstance(found, ModuleType) else None

    def _value(self, sent: Sent) -> Any:
        if isinstance(sent, str):
            return OnWorker(sent)
        if sent not in self._read:
            try:
                with self._receiving(), unheard():
                    self._read[sent] = _OfWhatIsLoaded(io.BytesIO(sent)).load()
            except Exception as error:
                self._read[sent] = OnWorker(f"<it cannot be had here: {error}>")
        return self._read[sent]


class _OfWhatIsLoaded(pickle.Unpickler):
    """Loads no module: a look at an error is not to take seconds."""

    def find_class(self, module: str, name: str) -> Any:
        if module not in sys.modules:
            raise pickle.UnpicklingError(f"{module} is not loaded")
        return super().find_class(module, name)
