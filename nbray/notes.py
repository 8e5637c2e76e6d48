"""Notes on exceptions (PEP 678), also on Python 3.10, whose exceptions do not know them: IPython shows them there too."""

from __future__ import annotations

_GO_ON = "The tasks go on; nbray.cancel(ref) stops one."


def add_note(error: BaseException, note: str) -> None:
    """Add a note to ``error``, below whose text tracebacks show it; a second time it is left out."""
    notes = getattr(error, "__notes__", ())
    if not isinstance(notes, (list, tuple)) or note in notes:
        return
    # No method is called: the user's class may have one of that name.
    vars(error)["__notes__"] = [*notes, note]


def tell_that_tasks_go_on(interrupt: KeyboardInterrupt) -> None:
    """Say that what was waited for goes on."""
    if hasattr(interrupt, "add_note"):
        interrupt.add_note(_GO_ON)
    elif not interrupt.args:  # Python 3.10
        interrupt.args = (_GO_ON,)


def tell_nothing_of_tasks(interrupt: KeyboardInterrupt) -> None:
    """Take that away again, for who says it in better words."""
    if interrupt.args == (_GO_ON,):
        interrupt.args = ()
    notes = getattr(interrupt, "__notes__", [])
    if _GO_ON in notes:
        notes.remove(_GO_ON)
