"""What is taken from a frame of pandas shows its memory, where pandas lets it, in a cell and afterwards."""

from __future__ import annotations

import pytest
from kit import Kernel

pandas = pytest.importorskip("pandas")
#: Since version 3 pandas copies before it writes; before, only where an option says so.
SHARES = int(pandas.__version__.partition(".")[0]) < 3


@pytest.mark.parametrize("n", [3, 300_000])
def test_a_column_and_its_frame(kernel: Kernel, n: int) -> None:
    kernel.ok(
        "import numpy as np, pandas as pd, warnings\nwarnings.simplefilter('ignore')\n"
        f"frame = pd.DataFrame({{'a': np.zeros({n}), 'b': np.ones({n}), 'when': pd.Timestamp(0)}}); column = frame['a']; top = frame.iloc[:2]\n"
        "when = frame['when']; held = [frame, {'b': frame['b']}]"
    )
    same = "column.iloc[0], frame['a'].iloc[0], frame['a'].iloc[1], top['a'].iloc[1], held[1]['b'].iloc[0], frame['when'].dt.year.iloc[0]"
    kernel.ok(
        "def change(frame, column, top, when, held):\n"
        "    column.iloc[0] = 5; frame.iloc[1, 0] = 7; held[1]['b'].iloc[0] = 3; when.iloc[0] = pd.Timestamp('2001')"
    )
    inline = "column.iloc[0] = 5; frame.iloc[1, 0] = 7; held[1]['b'].iloc[0] = 3; when.iloc[0] = pd.Timestamp('2001')"
    cell = kernel.ok(f"%%remote --quiet\n{inline}\n[float(each) for each in ({same})]")
    expected = "[5.0, 5.0, 7.0, 7.0, 3.0, 2001.0]" if SHARES else "[5.0, 0.0, 7.0, 0.0, 3.0, 1970.0]"
    assert cell.value == expected
    assert kernel.ok(f"[float(each) for each in ({same})]").value == expected
    assert kernel.ok("held[0] is frame, frame.shape[1]").value == "(True, 3)"
    kernel.ok("column.iloc[1] = 9")
    assert kernel.ok("float(frame['a'].iloc[1])").value == ("9.0" if SHARES else "7.0")


def test_with_copy_on_write_nothing_is_shared(kernel: Kernel) -> None:
    kernel.ok(
        "import pandas as pd\npd.options.mode.copy_on_write = True\nframe = pd.DataFrame({'a': [1, 2]}); column = frame['a']"
    )
    kernel.ok("%%remote\ncolumn.iloc[0] = 5\nNone")
    assert kernel.ok("frame['a'].tolist(), column.tolist()").value == "([1, 2], [5, 2])"
    if SHARES:
        kernel.ok("pd.options.mode.copy_on_write = False")


def test_what_each_of_several_frames_over_one_memory_gets(kernel: Kernel) -> None:
    kernel.ok("import pandas as pd\nframe = pd.DataFrame({'a': [1, 2]}); column, top = frame['a'], frame.iloc[:1]")
    kernel.ok("%%remote\ncolumn.iloc[0] = 9; top.iloc[0, 0] = 8; frame.loc[1, 'a'] = 7\nNone")
    expected = "([8, 7], [8, 7], [8])" if SHARES else "([1, 7], [9, 2], [8])"
    assert kernel.ok("frame['a'].tolist(), column.tolist(), top['a'].tolist()").value == expected
