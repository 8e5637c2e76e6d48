"""The notebook part of nbray: ``%load_ext nbray`` leads here.

Importing this package loads nothing; ``load_ipython_extension`` loads the magics and
starts nothing. The reading order is magics, remote_cell, cell_analysis, cell_job,
cell_runner, cell_result, tracebacks, output_router.
"""

from __future__ import annotations

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """Register ``%%remote`` and the routing of output; starts no cluster."""
    from .extension import load  # noqa: PLC0415  (IPython is loaded now, not at import)

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Undo ``load_ipython_extension``; a running cluster goes on."""
    from .extension import unload  # noqa: PLC0415

    unload(shell)
