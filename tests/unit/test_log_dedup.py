"""Lines that several workers print alike are folded into one."""

import pytest

from nbray.core.log_dedup import Deduplicator


def shown(dedup, *lines, start=0.0):
    return [
        dedup.shows("stdout", f"({source}) ", source, line, start + index) for index, (source, line) in enumerate(lines)
    ]


def test_the_first_is_shown_and_those_of_others_are_held_back():
    dedup = Deduplicator({})
    assert shown(dedup, (1, "step 5 done\n"), (2, "step 6 done\n"), (3, "step 7 done\n")) == [True, False, False]
    assert dedup.holding
    assert dedup.due(4.9) == []
    (held,) = dedup.due(5.0)
    assert (held.stream, held.times) == ("stdout", 2)
    assert held.text.startswith("(3) step 7 done [repeated 2x across cluster]")
    assert "RAY_DEDUP_LOGS=0" in held.text
    assert not dedup.holding


def test_what_one_worker_repeats_is_not_touched():
    assert shown(Deduplicator({}), *[(1, "again\n")] * 5) == [True] * 5


def test_different_lines_are_not_alike():
    assert shown(Deduplicator({}), (1, "a b\n"), (2, "a c\n"), (3, "7\n"), (4, "8\n")) == [True] * 4


def test_one_that_was_held_back_alone_is_shown_as_it_is():
    dedup = Deduplicator({})
    shown(dedup, (1, "x\n"), (2, "x\n"))
    assert [held.text for held in dedup.due(100.0)] == ["(2) x"]
    assert shown(dedup, (3, "x\n"), start=101.0) == [True], "forgotten"


def test_those_that_go_on_stay_folded():
    dedup = Deduplicator({})
    shown(dedup, (1, "x\n"), (2, "x\n"), (1, "x\n"))
    assert dedup.due(100.0)[0].times == 2
    assert shown(dedup, (1, "x\n"), start=101.0) == [False]
    assert dedup.rest()[0].text.startswith("(1) x")
    assert dedup.rest() == []


@pytest.mark.parametrize("off", ["0", "false", "False"])
def test_switched_off(off):
    assert shown(Deduplicator({"RAY_DEDUP_LOGS": off}), (1, "x\n"), (2, "x\n")) == [True, True]


def test_patterns():
    dedup = Deduplicator({"RAY_DEDUP_LOGS_ALLOW_REGEX": "^keep", "RAY_DEDUP_LOGS_SKIP_REGEX": "secret"})
    assert shown(dedup, (1, "keep\n"), (2, "keep\n"), (1, "a secret\n")) == [True, True, False]
    assert dedup.rest() == []
    wrong = Deduplicator({"RAY_DEDUP_LOGS_ALLOW_REGEX": "(", "RAY_DEDUP_LOGS_AGG_WINDOW_S": "x"})
    assert (wrong.window_s, shown(wrong, (1, "x\n"))) == (5.0, [True])
