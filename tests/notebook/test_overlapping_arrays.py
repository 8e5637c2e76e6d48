"""Inputs that show the same memory share it in a cell, and afterwards."""

from kit import Kernel


def test_overlapping_views_of_an_array_without_a_name_share_memory(kernel: Kernel) -> None:
    kernel.ok("import numpy as np\nwhole = np.arange(10.0); low, high = whole[:6], whole[3:]; del whole")
    cell = kernel.ok(
        "%%remote\nlow[4] = 100\nseen = float(high[1])\nhigh[0] = 7\nfloat(low[3]), seen, np.shares_memory(low, high)"
    )
    assert cell.value == "(7.0, 100.0, True)"
    assert cell.text("stderr") == ""
    assert kernel.ok("float(low[3]), float(high[1]), float(low[4]), np.shares_memory(low, high)").value == (
        "(7.0, 100.0, 100.0, True)"
    )
    assert kernel.ok("[name for name in globals() if 'nbray_owner' in name]").value == "[]"


def test_what_functions_change_in_overlapping_views_is_changed_in_both(kernel: Kernel) -> None:
    kernel.ok(
        "import numpy as np\ndef fill(array): array.fill(3)\nrows = np.zeros((4, 5)); top, left = rows[:2], rows[:, :2]; del rows"
    )
    cell = kernel.ok("%%remote\nfill(top)\nfloat(left.sum())")
    assert cell.value == "12.0" and cell.text("stderr") == ""
    assert kernel.ok("float(top.sum()), float(left.sum()), np.shares_memory(top, left)").value == "(30.0, 12.0, True)"


def test_large_overlapping_views_are_written_back(kernel: Kernel) -> None:
    kernel.ok(
        "import numpy as np\nwhole = np.zeros(400_000); first, last = whole[:300_000], whole[100_000:]; del whole"
    )
    assert kernel.ok("%%remote\nfirst[150_000] = 5\nfloat(last[50_000])").value == "5.0"
    assert (
        kernel.ok("float(first[150_000]), float(last[50_000]), np.shares_memory(first, last)").value
        == "(5.0, 5.0, True)"
    )
    kernel.ok("def fill(array): array.fill(3)")
    told = kernel.run("%%remote\nfill(first)")  # nothing says beforehand that it is stored into
    assert "read-only" in told.traceback and "first = first.copy()" in told.traceback and "_nbray" not in told.traceback


def test_the_same_in_an_actor_and_of_items(kernel: Kernel) -> None:
    kernel.ok("import numpy as np\nwhole = np.zeros(10); one, other = whole[:6], whole[3:]; del whole")
    assert kernel.ok("%%remote --actor views\none[4] += 1\nfloat(other[1])").value == "1.0"
    assert kernel.ok("%%remote --each i=range(2)\nnp.shares_memory(one, other)").value == "[True, True]"
    told = kernel.ok("%%remote --each i=range(2)\none.fill(i)\nfloat(other[2])")
    assert told.value == "[0.0, 1.0]" and "_nbray" not in told.text("stderr")


def test_views_that_do_not_overlap_do_not_bring_their_owner_along(kernel: Kernel) -> None:
    kernel.ok("import numpy as np\nwhole = np.zeros(10); head, tail = whole[:4], whole[6:]; del whole")
    assert kernel.ok("%%remote\nhead[0] = 1; tail[0] = 2\nhead.base is None or head.base.nbytes <= 32").value == "True"
    assert kernel.ok("float(head[0]), float(tail[0])").value == "(1.0, 2.0)"
