"""Which GPUs CUDA_VISIBLE_DEVICES shows.

It lists numbers, or names as ``nvidia-smi -L`` prints them (``GPU-8932f937-...``, ``MIG-...``). nbray counts GPUs by
number, so named ones are numbered from 0 in the order of the list; tasks are shown the names again. As CUDA does, the
list is read up to the first entry that means nothing, and is of one kind.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

VARIABLE = "CUDA_VISIBLE_DEVICES"
LEFT_ALONE = "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"  # 1: no task or actor changes what is shown
NONE_SHOWN = "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"  # 1: those that ask for no GPU are shown none
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


def show(environ: MutableMapping[str, str], gpus: Sequence[Any], before: str | None) -> None:
    """Show the GPUs of a task or actor; one that has none sees what its process saw in the beginning."""
    if _is_set(environ, LEFT_ALONE):
        return
    if gpus or _is_set(environ, NONE_SHOWN):
        environ[VARIABLE] = ",".join(map(str, gpus))
    elif before is None:
        environ.pop(VARIABLE, None)
    else:
        environ[VARIABLE] = before


def _is_set(environ: Mapping[str, str], variable: str) -> bool:
    return environ.get(variable, "").lower() in ("1", "true")
