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
