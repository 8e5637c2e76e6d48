"""Cells that work on tensors and models of PyTorch, as they would here."""

from __future__ import annotations

import pytest
from kit import Kernel

pytest.importorskip("torch", reason="no PyTorch here (make test-notebooks has it)")
LARGE = 1 << 20  # elements: more than is compared whole


@pytest.fixture(scope="module", autouse=True)
def torch_there(kernel: Kernel) -> None:
    kernel.ok("import torch\nfrom torch import nn\nimport numpy as np")


@pytest.mark.parametrize("n", [5, LARGE])
@pytest.mark.parametrize(
    "change",
    [
        "t.add_(1)",
        "t += 1",
        "t[:] = 1",
        "change(t)",
        "t.data.add_(1)",
        "change(t.data)",
        "t.numpy()[...] = 1",
        "with torch.no_grad():\n    torch.ones(t.shape, out=t)",
    ],
)
def test_what_is_changed_in_place_is_changed_here(kernel: Kernel, n: int, change: str) -> None:
    kernel.ok(f"def change(x):\n    x.add_(1)\nt = torch.zeros({n})\nsame, view = t, t[1:3]")
    kernel.ok(f"%%remote --quiet\n{change}\nNone")
    assert kernel.ok("float(t.sum()), same is t, view.tolist()").value == f"({float(n)}, True, [1.0, 1.0])"


@pytest.mark.parametrize("width", [3, 800])
def test_a_model_that_a_function_trains(kernel: Kernel, width: int) -> None:
    """The optimizer stays that of the model, and goes on here as it would have there; but for rounding, with other threads."""
    kernel.ok(
        f"""
def make():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear({width}, {width}), nn.ReLU(), nn.Linear({width}, 1))
    return model, torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

def train(model, optimizer, steps):
    torch.manual_seed(2)
    for _ in range(steps):
        x = torch.randn(8, {width})
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

model, optimizer = make()
parameters = list(model.parameters())
expected, its = make()
train(expected, its, 3)
train(expected, its, 2)"""
    )
    kernel.ok("%%remote --quiet\ntrain(model, optimizer, 3)\nNone")
    assert kernel.ok("[p is q for p, q in zip(model.parameters(), parameters)]").value == "[True, True, True, True]"
    assert (
        kernel.ok("[p is q for p, q in zip(optimizer.param_groups[0]['params'], parameters)].count(True)").value == "4"
    )
    kernel.ok("train(model, optimizer, 2)")
    assert (
        kernel.ok(
            "all(torch.allclose(p, q, rtol=1e-4) for p, q in zip(model.parameters(), expected.parameters()))"
        ).value
        == "True"
    )


TRAINING = """
def make():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear({width}, {width}), nn.ReLU(), nn.Linear({width}, 1))
    return model, torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)

def backward(model):
    torch.manual_seed(2)
    x = torch.randn(8, {width})
    (model(x) - x.sum(1, keepdim=True)).square().mean().backward()

def zero(optimizer, set_to_none): optimizer.zero_grad(set_to_none=set_to_none)

def close(p, q): return p is q or torch.allclose(p, q, rtol=1e-4, atol=1e-6)

model, optimizer = make()
parameters = list(model.parameters())
expected, its = make()
"""


@pytest.mark.parametrize("width", [3, 800])
def test_gradients_go_both_ways(kernel: Kernel, width: int) -> None:
    """A step of training whose parts are in cells here and there is the step that it would be here."""
    kernel.ok(TRAINING.format(width=width))
    same = "all(close(p, q) and close(p.grad, q.grad) for p, q in zip(model.parameters(), expected.parameters()))"
    kernel.ok("%%remote --quiet\nbackward(model)\nNone")
    kernel.ok("backward(expected)")
    assert kernel.ok(same).value == "True"
    kernel.ok("optimizer.step(); its.step()\ngradients = [p.grad for p in parameters]")
    assert kernel.ok(same).value == "True"
    kernel.ok("%%remote --quiet\nbackward(model)\nNone")  # one more on top of it
    kernel.ok("backward(expected)")
    assert kernel.ok(f"{same}, [p.grad is g for p, g in zip(parameters, gradients)].count(True)").value == "(True, 4)"
    kernel.ok("%%remote --quiet\noptimizer.step()\nNone")
    kernel.ok("its.step()")
    assert (
        kernel.ok(f"{same}, [p is q for p, q in zip(model.parameters(), parameters)].count(True)").value == "(True, 4)"
    )
    kernel.ok("%%remote --quiet\nzero(optimizer, False)\nNone")
    assert kernel.ok("[float(p.grad.abs().sum()) for p in parameters]").value == "[0.0, 0.0, 0.0, 0.0]"
    assert kernel.ok("[p.grad is g for p, g in zip(parameters, gradients)].count(True)").value == "4"
    kernel.ok("%%remote --quiet\nzero(optimizer, True)\nNone")
    assert kernel.ok("[p.grad for p in parameters]").value == "[None, None, None, None]"


def test_what_is_unchanged_of_weights_and_gradients_does_not_travel_again(kernel: Kernel) -> None:
    kernel.ok(TRAINING.format(width=1500) + "backward(model)\nweight = model[0].weight")
    versions = "[(p._version, p.grad._version) for p in parameters]"
    kernel.ok("%%remote --quiet\nmodel.eval()\nNone\n")
    before = kernel.ok(f"before = {versions}\nbefore").value
    kernel.ok("from nbray.notebook.large_inputs import LargeInputs\nput, n_put = LargeInputs._put, []")
    kernel.ok("LargeInputs._put = lambda self, buffer: n_put.append(buffer.raw().nbytes) or put(self, buffer)")
    assert (
        kernel.ok(
            "%%remote --quiet\nmodel.train()\nfloat(weight.grad[0, 0]) == float(model[0].weight.grad[0, 0])"
        ).value
        == "True"
    )
    assert kernel.ok(f"{versions} == before, model.training, n_put").value == "(True, True, [])", before
    kernel.ok("%%remote --quiet\nbackward(model)\nNone")
    assert kernel.ok("[p._version for p in parameters] == [version for version, _ in before]").value == "True"
    kernel.ok("%%remote --quiet\noptimizer.step()\nNone")
    assert (
        kernel.ok("[p.grad._version == version + 1 for p, (_, version) in zip(parameters, before)].count(True)").value
        == "4"
    )
    kernel.ok("LargeInputs._put = put")


def test_gradients_of_tensors_by_themselves(kernel: Kernel) -> None:
    kernel.ok("x = torch.ones(3, requires_grad=True)\nx.grad = torch.ones(3)\nheld = {'x': x}")
    cell = kernel.ok(
        "%%remote\ny = x * 2\ny.retain_grad()\ny.sum().backward()\nz = torch.zeros(2, requires_grad=True)\nz.grad = torch.ones(2)"
    )
    assert not cell.text("stderr")
    assert (
        kernel.ok("x.grad.tolist(), y.grad.tolist(), z.grad.tolist()").value
        == "([3.0, 3.0, 3.0], [1.0, 1.0, 1.0], [1.0, 1.0])"
    )
    kernel.ok("%%remote --quiet\nheld['x'].grad = None\nx.requires_grad_(False)\nNone")
    assert kernel.ok("x.grad, x.requires_grad").value == "(None, False)"
    kernel.ok("%%remote --quiet\nx.requires_grad_()\n(x * 3).sum().backward()\nx.mark = 'seen'\nNone")
    assert kernel.ok("x.grad.tolist(), x.requires_grad, x.mark").value == "([3.0, 3.0, 3.0], True, 'seen')"
    kernel.ok("%%remote --quiet --each n=range(2)\nw = torch.ones(2, requires_grad=True)\n(w * n).sum().backward()")
    assert kernel.ok("[each.grad.tolist() for each in w]").value == "[[0.0, 0.0], [1.0, 1.0]]"


def test_a_gradient_that_ends_at_what_another_process_computed_is_told(kernel: Kernel) -> None:
    kernel.ok("x = torch.ones(3, requires_grad=True)\nlocal = (x * 2).sum()")
    cell = kernel.ok("%%remote\nlocal.backward()\nloss = (x * 2).sum()\nlossy = loss")
    assert "computed in another process" in cell.text("stderr")
    assert "computed in another process" in kernel.ok("loss.backward()").text("stderr")
    assert "computed in another process" in kernel.ok("%%remote\nloss.backward()").text("stderr")
    assert not kernel.ok("local.backward()\nx.grad.tolist()").text("stderr")
    assert not kernel.ok("%%remote\nloss.detach() + 1, local.item()").text("stderr")


def test_what_is_not_changed_stays_as_it_is(kernel: Kernel) -> None:
    kernel.ok(f"weights = nn.Linear({LARGE}, 2)\nversions = [p._version for p in weights.parameters()]")
    cell = kernel.ok(f"%%remote\nwith torch.no_grad():\n    result = weights(torch.ones({LARGE}))\nresult.shape")
    assert cell.value == "torch.Size([2])" and not cell.text("stderr")
    assert kernel.ok("[p._version for p in weights.parameters()] == versions").value == "True"
    assert kernel.ok("result += 1\nfloat(result[0]) != 0").value == "True"


def test_other_shapes_and_types(kernel: Kernel) -> None:
    kernel.ok(f"a = torch.zeros({LARGE})\nb = torch.zeros(3)\nwhole = [a, b]\nlinear = nn.Linear(900, 900)")
    kernel.ok(
        "%%remote --quiet\na.resize_(4, 5).fill_(2)\nb.data = torch.ones(2, 2, dtype=torch.int64)\nlinear.half().requires_grad_(False)\nNone"
    )
    assert kernel.ok("a.shape, float(a.sum()), whole[0] is a").value == "(torch.Size([4, 5]), 40.0, True)"
    assert kernel.ok("b.tolist(), whole[1] is b").value == "([[1, 1], [1, 1]], True)"
    assert kernel.ok("linear.weight.dtype, linear.weight.requires_grad").value == "(torch.float16, False)"


def test_what_comes_back_is_kept_in_the_store(kernel: Kernel) -> None:
    kernel.ok(f"%%remote\nmade = torch.arange({LARGE}.0)\nNone")
    kernel.ok("made[0] = 5")
    assert kernel.ok(f"%%remote\nfloat(made[0]), float(made[{LARGE - 1}])").value == f"(5.0, {LARGE - 1}.0)"
    kernel.ok("del made")


def test_in_containers_and_attributes(kernel: Kernel) -> None:
    kernel.ok(f"class Box: pass\nbox = Box()\nbox.items = {{'big': torch.zeros({LARGE}), 'small': torch.zeros(2)}}")
    kernel.ok("big, small = box.items.values()")
    kernel.ok("def fill(box):\n    for t in box.items.values(): t.fill_(4)")
    kernel.ok("%%remote --quiet\nfill(box)\nNone")
    assert kernel.ok("float(big[7]), small.tolist(), box.items['big'] is big").value == "(4.0, [4.0, 4.0], True)"


@pytest.mark.parametrize("n", [5, LARGE])
def test_tensors_that_share_their_memory_share_it_there_and_afterwards(kernel: Kernel, n: int) -> None:
    kernel.ok(
        f"def change(x): x.add_(1)\nt = torch.zeros({n}); view, one, held = t[1:3], t[2], {{'t': t}}\n"
        f"rows = torch.zeros(3, {n}); column, flat = rows[:, 1], rows.view(-1)"
    )
    cell = kernel.ok("%%remote --quiet\nview[0] = 5\nseen = float(t[1])\nt[2] = 7\nseen, float(one), view.tolist()")
    assert cell.value == "(5.0, 7.0, [5.0, 7.0])" and not cell.text("stderr")
    assert kernel.ok("t[:4].tolist(), view.tolist(), float(one)").value == "([0.0, 5.0, 7.0, 0.0], [5.0, 7.0], 7.0)"
    assert kernel.ok("%%remote --quiet\nchange(view)\nfloat(t[2])").value == "8.0"
    assert kernel.ok("t[:4].tolist(), float(one), held['t'] is t").value == "([0.0, 6.0, 8.0, 0.0], 8.0, True)"
    assert kernel.ok("%%remote --quiet\nchange(t)\nfloat(one)").value == "9.0"
    assert kernel.ok("t[:4].tolist(), view.tolist()").value == "([1.0, 7.0, 9.0, 1.0], [7.0, 9.0])"
    kernel.ok("%%remote --quiet\nchange(column)\nflat[0] = 4\nNone")  # rows itself goes along without its name
    assert kernel.ok("float(rows.sum()), float(rows[0, 0]), column.tolist()").value == "(7.0, 4.0, [1.0, 1.0, 1.0])"


@pytest.mark.parametrize("n", [5, LARGE])
def test_a_view_that_a_cell_makes_is_one_here(kernel: Kernel, n: int) -> None:
    kernel.ok(f"t = torch.zeros({n})")
    kernel.ok("%%remote --quiet\nhead, bits = t[:2], t.view(torch.int32)\nNone")
    assert kernel.ok("head[0] = 3\nfloat(t[0]), int(bits[0]) != 0, bits[1:3].tolist()").value == "(3.0, True, [0, 0])"
    kernel.ok("%%remote --quiet\npair = [torch.ones(3)]\npair.append(pair[0][1:])\nNone")
    assert kernel.ok("pair[1][0] = 8\npair[0].tolist()").value == "[1.0, 8.0, 1.0]"


def test_weights_that_are_tied_and_a_graph_that_was_made_before_a_cell(kernel: Kernel) -> None:
    kernel.ok(
        "encoder, decoder = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)\n"
        "decoder.weight.data = encoder.weight.data.t()\nbefore = encoder.weight.detach().clone()\n"
        "loss = (encoder.weight * encoder.weight).sum()"
    )
    kernel.ok("%%remote --quiet\nwith torch.no_grad():\n    encoder.weight += 1\nNone")
    assert kernel.ok("torch.equal(decoder.weight.t(), before + 1), torch.equal(encoder.weight, before + 1)").value == (
        "(True, True)"
    )
    # What the gradient is computed from is no longer there, as if the cell had run here.
    assert "modified by an inplace operation" in kernel.run("loss.backward()").error["evalue"]


def test_tensors_of_one_value_of_a_task_share_their_memory(kernel: Kernel) -> None:
    kernel.ok(
        f"@nbray.remote\ndef make(n):\n    t = torch.zeros(n)\n    return t, t[1:3]\n"
        f"shared = []\nfor n in (5, {LARGE}):\n    t, v = nbray.get(make.remote(n))\n    v[0] = 2\n    shared.append(float(t[1]))"
    )
    assert kernel.ok("shared").value == "[2.0, 2.0]"
