"""What stands in a cell under a name whose value could not go to the worker, and that the cell may never use."""

from __future__ import annotations

from typing import Any

from .cell_result import told


class UnsentInput:
    """An input that stayed in the notebook: to use it fails, and says why.

    The cell may well bind the name before it reads it (``for f in files``, where there may be none).
    """

    def __init__(self, name: str, text: str, reason: str) -> None:
        self._name, self._text, self._reason = name, text, reason

    def __repr__(self) -> str:
        return f"<{self._name} stayed in the notebook: {self._text}>"

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        raise told(TypeError(self._reason))

    def _refuse(self, *args: Any) -> Any:
        raise told(TypeError(self._reason))

    __iter__ = __next__ = __call__ = __len__ = __getitem__ = __enter__ = __exit__ = __await__ = _refuse
