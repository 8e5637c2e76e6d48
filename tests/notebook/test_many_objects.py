"""Inputs of very many objects are changed as those of a few are: in the objects that the notebook has."""

import pytest
from kit import Kernel

N = 30_000


@pytest.fixture(scope="module", autouse=True)
def many(kernel: Kernel) -> None:
    kernel.ok(
        f"""
class Row:
    def __init__(self, n): self.n, self.more = n, [n]
def touch(rows, place): rows[place]["touched"] = place
def touch_all(rows):
    for row in rows: row["seen"] = True
def count_up(objects):
    for each in objects: each.n += 1; each.more.append(each.n)
rows = [{{"n": n, "text": f"this is row {{n}} of many"}} for n in range({N})]
small = [[n] for n in range({N})]
objects = [Row(n) for n in range({N})]
row, its, index, part = rows[7], objects[7].more, {{"seven": rows[7], "eight": rows[8]}}, small[7]"""
    )


def test_one_of_many_is_changed(kernel: Kernel) -> None:
    kernel.ok("%%remote\ntouch(rows, 7)\nNone")
    assert kernel.ok("row['touched'], row is rows[7], index['eight'] is rows[8]").value == "(7, True, True)"
    kernel.ok("%%remote\nrows[7]['touched'] = 8; rows.append(rows[8])\nNone")
    assert kernel.ok("row['touched'], row is rows[7], rows.pop() is index['eight']").value == "(8, True, True)"


def test_all_of_many_are_changed(kernel: Kernel) -> None:
    cell = kernel.ok("%%remote\ntouch_all(rows)\ncount_up(objects)\nNone")
    assert cell.text("stderr") == ""
    assert kernel.ok("row['seen'], row is rows[7], index['eight'] is rows[8], all(r['seen'] for r in rows)").value == (
        "(True, True, True, True)"
    )
    assert kernel.ok("its, its is objects[7].more, sum(each.n for each in objects)").value == (
        f"([7, 8], True, {N * (N + 1) // 2})"
    )


def test_many_in_less_than_a_megabyte(kernel: Kernel) -> None:
    kernel.ok("%%remote\nfor each in small: each.append(-each[0])\nnew = small[7]\nNone")
    assert kernel.ok("part, part is small[7] is new, small[-1]").value == f"([7, -7], True, [{N - 1}, {1 - N}])"


def test_that_not_all_of_a_million_are_compared_is_told_once(kernel: Kernel) -> None:
    kernel.ok("million = [[] for _ in range(1_000_001)]")
    assert kernel.ok("%%remote\nlen(million)").text("stderr").count("million holds more than 1,000,000 objects") == 1
    assert "million" not in kernel.ok("%%remote\nlen(million)").text("stderr")
