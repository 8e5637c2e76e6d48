"""Execute a notebook with a real kernel and show what it prints as it comes.

Without a name it is the first one: this is what ``make demo`` runs. ``--save`` writes the outputs into the notebook, which
is how those in the repository are made.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "notebooks" / "01-hyperparameters.ipynb"
CELL_LIMIT_S = 900
END_LIMIT_S = 10
PR_SET_CHILD_SUBREAPER = 36


class ShowingClient(NotebookClient):
    """Executes a notebook and repeats its headings and printed lines in the terminal."""

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] == "stream":
            for line in msg["content"]["text"].splitlines():
                print(f"    {line}", flush=True)
        return super().process_message(msg, cell, cell_index)

    async def async_execute_cell(self, cell: Any, cell_index: int, **options: Any) -> Any:
        if cell.cell_type == "markdown" and cell.source.startswith("#"):
            print(cell.source.splitlines()[0].lstrip("# "), flush=True)
        return await super().async_execute_cell(cell, cell_index, **options)


def main() -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", action="store_true", help="write the outputs into the notebook")
    parser.add_argument("notebook", nargs="?", type=Path, default=DEMO, help="which notebook (default: the first)")
    arguments = parser.parse_args()
    path: Path = arguments.notebook.resolve()
    if importlib.util.find_spec("nbray") is None:  # not installed: take it from here
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    notebook = nbformat.read(path, as_version=4)
    client = ShowingClient(
        notebook,
        timeout=CELL_LIMIT_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],
    )
    adopt_orphans()
    begun = time.monotonic()
    try:
        client.execute()
    except CellExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.save:
        nbformat.write(without_traces(notebook), path)
    left = processes_left()
    print(f"\nThe notebook ran in {time.monotonic() - begun:.0f} s; {left or 'no'} processes are left.")
    print(f"Open it in JupyterLab: {jupyter()} lab {os.path.relpath(path)}")
    return 1 if left else 0


def without_traces(notebook: Any) -> Any:
    """Take out what differs from run to run and says nothing: when each cell ran, which Python it was."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def adopt_orphans() -> None:
    """Become the parent of processes whose parent ends, so that none is overlooked."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def processes_left() -> int:
    """Count the processes below this one that still run, after a moment to end."""
    me = psutil.Process()
    end = time.monotonic() + END_LIMIT_S
    while time.monotonic() < end:
        children = [c for c in me.children(recursive=True) if c.status() != psutil.STATUS_ZOMBIE]
        if not children:
            return 0
        time.sleep(0.05)
    return len(children)


def jupyter() -> str:
    """Return the jupyter command of this Python, as one types it in the repository."""
    command = Path(sys.executable).parent / "jupyter"
    return str(command.relative_to(ROOT)) if command.is_relative_to(ROOT) else str(command)


if __name__ == "__main__":
    sys.exit(main())
