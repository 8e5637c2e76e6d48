"""The panel's table is a twin of the reducer: the same event logs lead to the same tasks.

Each golden log goes through the table and becomes frames, which lie in `golden_frames/`; the panel's unit tests read those
and compare what they have then with the same golden view. To write them anew: `python tests/events/test_frames.py`.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from nbray.core.task_columns import ColumnTable
from nbray.events import task_table as tt
from nbray.events.task_table import TaskTable

HERE = Path(__file__).parent
ALL = {path.stem: json.loads(path.read_text()) for path in sorted((HERE / "golden").glob("*.json"))}
# What records tell of; processes and what owners say come to the panel in other ways, and it forgets in larger steps.
OF_RECORDS = {"define", "submit", "result", "lost"}
CASES = {
    name: case
    for name, case in ALL.items()
    if {event["type"] for event in case["events"]} <= OF_RECORDS and "limits" not in case
}
FLAGS = {"ok": 0, "again": 0, "error": tt.ERROR, "cancelled": tt.CANCELLED_FLAG}


def feed(table: TaskTable, event: dict[str, Any]) -> None:
    """Tell the table of an event, as the core records it."""
    if event["type"] == "define":
        table.define(event["owner"], event["number"], event["name"], event["kind"], event["origin"])
    elif event["type"] == "submit":
        record = (event["t"], event["seq"], event["owner"], event["owner"], 0, 0, event["function"], tt.SUBMIT, 0, 0)
        table.apply_block(tt.RECORD.pack(*record))
    elif event["type"] == "lost":
        record = (
            event["t"],
            event["seq"],
            event["owner"],
            event["owner"],
            0,
            event["process"],
            event["function"],
            tt.LOST,
        )
        table.apply_block(tt.RECORD.pack(*record, FLAGS[event["status"]], 0))
    else:
        flags = FLAGS[event["status"]]
        record = (
            event["t"],
            event["seq"],
            event["owner"],
            event["process"],
            event["duration"],
            0,
            0,
            tt.RESULT,
            flags,
            0,
        )
        table.apply_block(tt.RECORD.pack(*record))


def frames_of(case: dict[str, Any], table: TaskTable) -> list[dict[str, Any]]:
    """The frames that a page gets, one after each event that changes anything."""
    found = []

    def take(kind: str, part: dict[str, Any]) -> None:
        found.append(
            {
                "kind": kind, "generation": table.generation, "forget": part.get("forget", []),
                "functions": part["functions"], "workers": part["workers"], "counts": list(table.counts),
                "forgotten": table.forgotten, "dropped": 0, "now": len(found), "wall": 0,
                "rows": base64.b64encode(part["rows"]).decode(), "edges": base64.b64encode(part["edges"]).decode(),
            }
        )  # fmt: skip

    take("snapshot", table.snapshot())
    for event in case["events"]:
        feed(table, event)
        if (part := table.delta()) is not None:
            take("delta", part)
    table.apply_block(b"")  # what was told of tasks that nobody knew
    if (part := table.delta()) is not None:
        take("delta", part)
    return found


def code(row: dict[str, Any]) -> int:
    """The state of a golden row, as the table has it."""
    if row["error_type"] == "TASK_CANCELLED":
        return tt.CANCELLED
    return tt.STATE_NAMES.index(row["state"])


@pytest.mark.parametrize("kind", [TaskTable, ColumnTable])
@pytest.mark.parametrize("name", CASES)
def test_the_table_has_the_tasks_of_the_golden_view(name, kind):
    table = kind()
    frames = frames_of(CASES[name], table)
    for row in CASES[name]["view"]["tasks"]:
        at = table.find(row["owner"], row["seq"])
        told = {
            "state": code(row), "attempt": row["attempt"], "submitted": row["submitted"], "start": row["start"],
            "end": row["end"], "process": row["process"],
        }  # fmt: skip
        assert told == {
            "state": table.state[at], "attempt": table.attempt[at], "submitted": table.submitted[at],
            "start": table.start[at], "end": table.end[at],
            "process": table.workers[table.worker[at]] if table.worker[at] != tt.NONE else 0,
        }  # fmt: skip
        if row["name"]:  # a name that comes after its task is told to the panel alone
            function = table.functions[table.function[at]]
            assert (function["name"], function["origin"]) == (row["name"], row["origin"])
    assert len(table) == len(CASES[name]["view"]["tasks"])
    assert json.loads((HERE / "golden_frames" / f"{name}.json").read_text()) == {"frames": frames}


def test_there_is_a_file_for_each_log_that_the_panel_can_be_told():
    assert len(CASES) >= 7
    assert {path.stem for path in (HERE / "golden_frames").glob("*.json")} == set(CASES)


if __name__ == "__main__":
    (HERE / "golden_frames").mkdir(exist_ok=True)
    for name, case in CASES.items():
        text = json.dumps({"frames": frames_of(case, TaskTable())}, indent=1) + "\n"
        (HERE / "golden_frames" / f"{name}.json").write_text(text)
