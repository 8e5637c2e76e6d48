"""Arrays of NumPy and tensors of PyTorch over the same memory share it in a cell, and afterwards."""

from __future__ import annotations

import pytest
from kit import Kernel

pytest.importorskip("torch", reason="no PyTorch here (make test-notebooks has it)")
LARGE = 1 << 20  # elements: more than is compared whole


@pytest.fixture(scope="module", autouse=True)
def torch_there(kernel: Kernel) -> None:
    kernel.ok("import torch\nimport numpy as np\ndef fill(x, value): x[...] = value")


@pytest.mark.parametrize("n", [5, LARGE])
@pytest.mark.parametrize(
    "pair",
    [
        "a = np.zeros({n}); t = torch.from_numpy(a)",
        "t = torch.zeros({n}); a = t.numpy()",
        "a = np.zeros({n}); t = torch.from_dlpack(a)",
        "t = torch.zeros({n}); a = np.from_dlpack(t); a = a if a.flags.writeable else t.numpy()",
        "a = np.zeros({n}); t = torch.as_tensor(a[1:4]); a = a[:-1]",
        "base = np.zeros(({n}, 2), order='F'); a, t = base[::-1, 1][::-1], torch.from_numpy(base)[:, 1]; del base",
    ],
)
def test_a_store_into_one_is_seen_in_the_other(kernel: Kernel, n: int, pair: str) -> None:
    kernel.ok("a = t = None\n" + pair.format(n=n))
    start = int(kernel.ok("int(len(t) < 4)").value or 0)  # where the tensor begins
    i, j = 2, 2 - start
    cell = kernel.ok(f"%%remote\na[{i}] = 5\nseen = float(t[{j}])\nt[{j}] += 2\nseen, float(a[{i}])")
    assert cell.value == "(5.0, 7.0)" and cell.text("stderr") == ""
    assert kernel.ok(f"float(a[{i}]), float(t[{j}]), float(a.sum())").value == "(7.0, 7.0, 7.0)"
    kernel.ok(f"t[{j}] = 1")
    assert kernel.ok(f"float(a[{i}])").value == "1.0"
    assert kernel.ok(f"%%remote\nt[{j}].fill_(4)\nfloat(a[{i}])").value == "4.0"
    assert kernel.ok(f"float(a[{i}]), float(t[{j}])").value == "(4.0, 4.0)"
    assert kernel.ok(f"%%remote\na[{i}] = 9\nfloat(t[{j}])").value == "9.0"
    assert kernel.ok(f"float(a[{i}]), float(t[{j}])").value == "(9.0, 9.0)"
    kernel.ok("%%remote --quiet\nfill(t, 3)\nNone")
    assert kernel.ok(f"float(a[{i}]), float(t[{j}])").value == "(3.0, 3.0)"


@pytest.mark.parametrize("n", [5, LARGE])
def test_also_where_one_lies_in_an_object(kernel: Kernel, n: int) -> None:
    kernel.ok(f"class Box: pass\nbox = Box(); a = np.zeros({n}); box.items = [torch.from_numpy(a)]")
    assert kernel.ok("%%remote\nbox.items[0][1] = 5\nfloat(a[1])").value == "5.0"
    assert kernel.ok("float(a[1])").value == "5.0"
    assert kernel.ok("%%remote\na[2] = 6\nfloat(box.items[0][2])").value == "6.0"
    assert kernel.ok("float(a[2]), float(box.items[0][2])").value == "(6.0, 6.0)"
    kernel.ok(f"layer = torch.nn.Linear({n}, 1, bias=False); held = {{'w': layer.weight.detach().numpy()}}")
    cell = kernel.ok("%%remote\nwith torch.no_grad():\n    layer.weight.fill_(2)\nfloat(held['w'][0, 3])")
    assert cell.value == "2.0"
    assert kernel.ok("float(held['w'][0, 3]), float(held['w'].min())").value == "(2.0, 2.0)"


@pytest.mark.parametrize("n", [5, LARGE])
def test_what_a_cell_makes_of_the_other_shows_it_here(kernel: Kernel, n: int) -> None:
    kernel.ok(f"a, t = np.zeros({n}), torch.zeros({n})")
    kernel.ok("%%remote --quiet\nof_a, of_t, part = torch.from_numpy(a), t.numpy(), [torch.from_numpy(a[1:3])]\nNone")
    kernel.ok("of_a[1] = 4; t[2] = 6; part[0][1] = 8")
    assert kernel.ok("float(a[1]), float(a[2]), float(of_t[2])").value == "(4.0, 8.0, 6.0)"
    kernel.ok("%%remote --quiet\ntail = a[1:]; shown = t.numpy()[1:]\nNone")
    kernel.ok("tail[0] = 9; shown[0] = 3")
    assert kernel.ok("float(a[1]), float(t[1])").value == "(9.0, 3.0)"
    kernel.ok(f"%%remote --quiet\nx = np.zeros({n}); y = torch.from_numpy(x); z = y[1:].numpy()\nNone")
    kernel.ok("x[1] = 3; y[2] = 5")
    assert kernel.ok("float(y[1]), float(x[2]), z[:2].tolist()").value == "(3.0, 5.0, [3.0, 5.0])"


def test_a_large_array_is_read_only_to_functions_and_no_store_is_lost(kernel: Kernel) -> None:
    kernel.ok(f"a = np.zeros({LARGE}); t = torch.from_numpy(a[1:4])")
    told = kernel.run("%%remote\nfill(a, 3)\nt.sum()")  # nothing says beforehand that it is stored into
    assert "read-only" in told.traceback and "a = a.copy()" in told.traceback


def test_what_is_unchanged_does_not_travel_twice(kernel: Kernel) -> None:
    kernel.ok(f"a = np.zeros({LARGE}); t = torch.from_numpy(a); part = torch.from_numpy(a[7:])")
    kernel.ok("%%remote --quiet\nfloat(a[3] + t[3] + part[3])")
    kernel.ok("from nbray.notebook.large_inputs import LargeInputs\nput, n_put = LargeInputs._put, []")
    kernel.ok("LargeInputs._put = lambda self, buffer: n_put.append(buffer.raw().nbytes) or put(self, buffer)")
    kernel.ok("%%remote --quiet\nfloat(a[3] + t[3] + part[3])")
    assert kernel.ok("LargeInputs._put = put\nn_put").value == "[]"


def test_arrays_that_a_frame_has_stay_apart(kernel: Kernel) -> None:
    kernel.ok(
        "import pandas as pd\na = np.zeros((3, 1)); t = torch.from_numpy(a); frame = pd.DataFrame(a); copy = frame[:]"
    )
    kernel.ok("%%remote --quiet\nframe.iloc[0, 0] = 5\nt[1] = 6\nNone")
    assert kernel.ok("copy[0].tolist(), a[:, 0].tolist(), t[:, 0].tolist()").value == (
        "([0.0, 0.0, 0.0], [0.0, 6.0, 0.0], [0.0, 6.0, 0.0])"
    )
