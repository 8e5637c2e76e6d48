"""Why a cell has not begun."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from nbray.notebook import wait_reason
from nbray.options import UNIT


@pytest.mark.parametrize("begins", [True, False])
def test_a_cell_that_begins_meanwhile_does_not_wait_for_itself(monkeypatch: pytest.MonkeyPatch, begins: bool) -> None:
    pool = SimpleNamespace(shape={"CPU": UNIT})
    record = SimpleNamespace(lane=None, number=7, n_missing=0, pool=pool, name="cell 3", origin="")
    other = SimpleNamespace(lane=None, number=6, n_missing=0, pool=pool, name="long", origin="")
    core = SimpleNamespace(lock=threading.Lock(), lanes={})

    def answer(core: SimpleNamespace) -> SimpleNamespace:
        holder = record if begins else other
        holder.lane = core.lanes["a"] = SimpleNamespace(tasks={holder.number: holder}, pool=pool, pid=1)
        return SimpleNamespace(total={"CPU": UNIT}, free={"CPU": 0}, holders=[])

    monkeypatch.setattr(wait_reason, "_facts", answer)
    said = wait_reason.waiting_reason(SimpleNamespace(_cluster=core, _task=record), lambda origin: 0)
    assert said == ("" if begins else "waiting for 1 CPU: 0 of 1 free, held by long")
