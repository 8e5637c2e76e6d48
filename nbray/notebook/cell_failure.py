"""Send what is known of a cell that has raised, before its task fails: the frames of the error, and the names bound before it."""

from __future__ import annotations

import pickle
import sys
from typing import Any

from .cell_job import IMMUTABLE, SMALL_BYTES
from .cell_pickle import CellPickler, LimitedWriter, StreamReader, receiving
from .cell_result import CellOutcome
from .error_record import PACKAGE_DIR, capture
from .frame_variables import Variables
from .own_classes import own_classes
from .runtime import CARRIED_TYPES, emit

CELL_ENDED = "nbray_cell_ended"
MAX_ERROR_BYTES = 16 * SMALL_BYTES  # of a pickled exception


def send(run: Any, key: str, error: BaseException) -> None:
    """Send the notebook the frames of the error and the names bound before it."""
    namespace = run.namespace

    def dump(obj: Any) -> bytes:
        file = LimitedWriter(MAX_ERROR_BYTES)
        pickler = CellPickler(file, namespace, CARRIED_TYPES, False, run.aliases)
        pickler.tells_story = False  # which is told beside it
        pickler.dump(obj)
        if pickler.carried:
            raise TypeError("refs do not travel inside exceptions")
        with receiving(namespace, (), run.before), own_classes(namespace):
            StreamReader(file.getvalue(), ()).read()
        return file.getvalue()

    named = _named_here(run)

    def dump_variable(value: Any, most: int) -> bytes:
        file = LimitedWriter(most)
        pickler = CellPickler(file, namespace, CARRIED_TYPES, False, named)
        pickler.tells_story = False
        pickler.dump(value)
        if pickler.carried:
            raise TypeError("refs do not travel so")
        return file.getvalue()

    records = capture(error, dump, run.note, Variables(dump_variable, named).of)
    if run.job.return_names is None and run.loaded:
        try:
            run.collect(None, in_band=True)
        except Exception as failure:
            run.outcome = CellOutcome(hints=[f"the names bound before the error are lost: {failure!r}"])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    emit(CELL_ENDED, (key, pickle.dumps((records, run.outcome))))


def _named_here(run: Any) -> dict[int, str]:
    """Return, by id, the names under which the notebook has objects: inputs, and what comes back in spite of the error."""
    job = run.job
    named = dict(run.aliases)
    all_come_back = run.kept is None and not run.item and job.return_names is None
    if run.loaded and all_come_back and job.only_names is None and not job.lazy:
        for name, value in run.namespace.items():
            if name not in run.own and not name.startswith("_") and not isinstance(value, IMMUTABLE):
                named.setdefault(id(value), name)
    return named


def begin_in_cell(error: BaseException, filename: str) -> None:
    """Let the traceback begin in the cell, or at least below the runner."""
    first = tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename != filename:
        tb = tb.tb_next
    if tb is None:  # it never came to the cell: an input could not be read
        tb = first
        while tb is not None and tb.tb_frame.f_code.co_filename.startswith(PACKAGE_DIR):
            tb = tb.tb_next
    if tb is not None:
        error.__traceback__ = tb
