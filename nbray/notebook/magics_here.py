"""Magics that are about the notebook itself: in a cell that runs elsewhere they would find nothing, or change a worker's shell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from IPython.core.error import UsageError

_ABOUT = {
    "this notebook's history": (
        "history hist recall rep rerun macro save edit ed notebook logstart logon logoff logstate logstop"
    ),
    "errors and the debugger here": "debug pdb tb xmode colors doctest_mode",
    "this notebook's shell": (
        "reset xdel alias unalias alias_magic automagic autocall precision pprint pylab connect_info qtconsole subshell clear autosave"
        " less more man"
    ),
}
_SUBJECTS = {name: subject for subject, names in _ABOUT.items() for name in names.split()}
_IPYTHON = ("IPython.", "ipykernel.")


def refuse(magics: Iterable[tuple[str, str]], known: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ``UsageError`` for a magic that a cell cannot use elsewhere.

    Parameters
    ----------
    magics
        Those of the cell: ("line", "history").
    known
        The shell's, by kind and name.
    """
    for kind, name in magics:
        sign = "%" if kind == "line" else "%%"
        if name == "remote":
            raise UsageError(f"{sign}remote: this cell runs on the cluster already; use it in a cell without %%remote.")
        subject = _SUBJECTS.get(name)
        if subject is None:
            continue
        module = getattr(known[kind].get(name), "__module__", None)
        if module is None or module.startswith(_IPYTHON):  # and not one that the notebook calls so
            raise UsageError(f"{sign}{name} is about {subject}: use it in a cell without %%remote.")
