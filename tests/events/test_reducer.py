"""Events to views: golden files, which the panel's twin of the reducer has to fulfil too."""

import itertools
import json
import random
import struct
from pathlib import Path

import pytest

from nbray.events import records
from nbray.events.reducer import DONE, FAILED, FINISHED, View

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden(path):
    case = json.loads(path.read_text())
    view = View(**case.get("limits", {})).apply_all(case["events"])
    assert json.loads(json.dumps(view.as_json())) == case["view"]


def test_there_are_golden_files():
    assert len(GOLDEN) >= 5


def test_records_of_the_core_become_events():
    submit = records.RECORD.pack(100, 7, 1, 1, 0, 0, 3, records.SUBMIT, 0, 0)
    result = records.RECORD.pack(400, 7, 1, 2, 250, 0, 0, records.RESULT, records.ERROR, 0)
    other = records.RECORD.pack(400, 7, 1, 2, 250, 0, 0, 99, 0, 0)
    lost = [records.RECORD.pack(500 + flags, 7, 1, 1, 0, 2, 3, records.LOST, flags, 0) for flags in range(3)]
    assert list(records.decode(b"".join(lost))) == [
        {"type": "lost", "t": 500 + flags, "owner": 1, "seq": 7, "function": 3, "process": 2, "status": status}
        for flags, status in enumerate(("again", "error", "cancelled"))
    ]
    assert list(records.decode(submit + result, only=(1, 8))) == []
    assert list(records.decode(submit + other + result)) == [
        {"type": "submit", "t": 100, "owner": 1, "seq": 7, "function": 3},
        {"type": "result", "t": 400, "owner": 1, "seq": 7, "process": 2, "duration": 250, "status": "error"},
    ]
    with pytest.raises(struct.error):
        list(records.decode(submit[:-1]))


def test_any_order_of_two_owners_leads_to_the_same_view():
    """Events of one owner are in order; how those of several are mixed does not matter."""
    rng = random.Random(3)

    def story(owner):
        events = [{"type": "define", "owner": owner, "number": 1, "name": f"f{owner}", "kind": "task", "origin": ""}]
        for seq in range(20):
            events.append({"type": "submit", "t": seq * 10, "owner": owner, "seq": seq, "function": 1})
            if rng.random() < 0.8:
                status = rng.choice(["ok", "error", "cancelled"])
                events.append(
                    {
                        "type": "result",
                        "t": seq * 10 + 5,
                        "owner": owner,
                        "seq": seq,
                        "process": 9,
                        "duration": 2,
                        "status": status,
                    }
                )
        return events

    left, right = story(1), story(2)
    expected = View().apply_all(left + right).as_json()
    for _ in range(20):
        a, b, mixed = list(left), list(right), []
        while a or b:
            mixed.append((a if a and (not b or rng.random() < 0.5) else b).pop(0))
        assert View().apply_all(mixed).as_json() == expected
    assert sum(expected["counts"].values()) == 40


def test_what_is_kept_is_bounded():
    view = View(max_tasks=100)
    for seq in range(1000):
        view.apply({"type": "submit", "t": seq, "owner": 1, "seq": seq, "function": 1})
        if seq % 10:
            view.apply(
                {"type": "result", "t": seq, "owner": 1, "seq": seq, "process": 2, "duration": 0, "status": "ok"}
            )
    assert len(view.tasks) <= 100
    assert len(view.tasks) + view.forgotten == 1000
    assert any(row["state"] not in DONE for row in view.tasks.values()), "those that are done go first"


def test_states_are_rays():
    view = View()
    view.apply({"type": "submit", "t": 1, "owner": 1, "seq": 1, "function": 1})
    assert view.counts()["SUBMITTED_TO_WORKER"] == 1
    view.apply({"type": "result", "t": 2, "owner": 1, "seq": 1, "process": 2, "duration": 1, "status": "ok"})
    assert view.tasks[1, 1]["state"] == FINISHED
    view.apply({"type": "result", "t": 2, "owner": 1, "seq": 2, "process": 2, "duration": 1, "status": "cancelled"})
    assert (view.tasks[1, 2]["state"], view.tasks[1, 2]["error_type"]) == (FAILED, "TASK_CANCELLED")


def test_runs_that_are_read_in_one_go_are_counted():
    """The owner's ring is read before those of its workers."""
    view = View()
    for t in (10, 25):
        view.apply({"type": "submit", "t": t, "owner": 1, "seq": 1, "function": 1})
    for t, process, status in ((20, 9, "error"), (40, 8, "ok")):
        view.apply(
            {"type": "result", "t": t, "owner": 1, "seq": 1, "process": process, "duration": 5, "status": status}
        )
    row = view.tasks[1, 1]
    assert (row["state"], row["attempt"], row["process"]) == (FINISHED, 1, 8)
    assert view.runs == {(1, 1): [(9, 15, 20, "TASK_EXECUTION_EXCEPTION")]}


def test_the_last_run_counts_in_whatever_order_the_rings_are_read():
    """A task fails at one worker and then succeeds at another: three processes, each with a ring of its own."""

    def ended(t, process, status):
        return {"type": "result", "t": t, "owner": 1, "seq": 1, "process": process, "duration": 5, "status": status}

    sent, again = ({"type": "submit", "t": t, "owner": 1, "seq": 1, "function": 1} for t in (10, 25))
    failed, done = ended(20, 9, "error"), ended(40, 8, "ok")
    for told in itertools.permutations([sent, again, failed, done]):
        if told.index(sent) < told.index(again):
            view = View().apply_all(told)
            row = view.tasks[1, 1]
            assert (row["state"], row["attempt"], row["process"], row["end"]) == (FINISHED, 1, 8, 40), told
            assert view.runs == {(1, 1): [(9, 15, 20, "TASK_EXECUTION_EXCEPTION")]}, told


def test_what_runs_beside_other_calls_is_told_by_its_worker():
    view = View()
    sent = [{"seq": seq, "state": "RUNNING" if seq == 3 else "SUBMITTED_TO_WORKER", "process": 9} for seq in (1, 2, 3)]
    view.apply({"type": "owned", "owner": 1, "t": 10, "tasks": sent})
    view.apply({"type": "running", "process": 9, "calls": [(1, 1, 5), (1, 2, 6)]})
    states = {seq: (row["state"], row["start"]) for (_, seq), row in view.tasks.items()}
    assert states == {1: ("RUNNING", 5), 2: ("RUNNING", 6), 3: ("SUBMITTED_TO_WORKER", 0)}
    view.apply({"type": "result", "t": 20, "owner": 1, "seq": 1, "process": 9, "duration": 15, "status": "ok"})
    view.apply({"type": "running", "process": 9, "calls": [(1, 1, 5)]})
    assert view.tasks[1, 1]["state"] == FINISHED
