"""Notes on exceptions (PEP 678), also on Python 3.10, whose exceptions do not know them: IPython shows them there too."""

from __future__ import annotations


def add_note(error: BaseException, note: str) -> None:
    """Add a note to ``error``, below whose text tracebacks show it; a second time it is left out."""
    notes = getattr(error, "__notes__", ())
    if not isinstance(notes, (list, tuple)) or note in notes:
        return
    # No method is called: the user's class may have one of that name.
    vars(error)["__notes__"] = [*notes, note]
