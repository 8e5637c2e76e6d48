"""Which GPUs CUDA_VISIBLE_DEVICES shows.

It lists numbers, or names as ``nvidia-smi -L`` prints them (``GPU-8932f937-...``, ``MIG-...``). nbray counts GPUs by
number, so named ones are numbered from 0 in the order of the list; tasks are shown the names again. As CUDA does, the
list is read up to the first entry that means nothing, and is of one kind.
"""

from __future__ import annotations

from collections.abc import Mapping

VARIABLE = "CUDA_VISIBLE_DEVICES"
_NAMED = ("GPU-", "MIG-")


def numbers(environ: Mapping[str, str]) -> list[int] | None:
    """Return the numbers of the GPUs that are shown; None when the variable is not set."""
    if VARIABLE not in environ:
        return None
    named = names(environ)
    if named:
        return list(named)
    shown = []
    for part in environ[VARIABLE].split(","):
        if not part.strip().isdigit():  # empty, "-1", or a name
            break
        shown.append(int(part))
    return shown


def names(environ: Mapping[str, str]) -> dict[int, str]:
    """Return the names of the GPUs that are shown by name, by number; empty when they are shown by number."""
    found: dict[int, str] = {}
    for part in environ.get(VARIABLE, "").split(","):
        if not part.strip().startswith(_NAMED):
            break
        found[len(found)] = part.strip()
    return found
