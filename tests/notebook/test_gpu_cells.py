"""`%%remote --num-gpus` on a real GPU. On a machine without one there is nothing to test here."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit import Kernel

from nbray.node import machine
from nbray.node.gpu import open_gpus

if not machine.gpu_ids() or open_gpus() is None:
    pytest.skip("needs an NVIDIA GPU with a working driver", allow_module_level=True)
pytest.importorskip("torch", reason="needs a GPU framework: PyTorch")


def test_a_cell_computes_on_the_gpu(kernel: Kernel) -> None:
    kernel.ok("import numpy as np\nweights = np.eye(512, dtype=np.float32) * 2")
    cell = kernel.ok(
        "%%remote --num-gpus 1\nimport torch\non_gpu = torch.from_numpy(weights.copy()).cuda()\n"
        "product = (on_gpu @ on_gpu).cpu().numpy()\ndel on_gpu\nprint(torch.cuda.device_count())"
    )
    assert cell.text() == "1\n"
    assert kernel.ok("float(product.trace()), product.shape").value == "(2048.0, (512, 512))"


def test_a_cell_that_waits_for_the_gpu_says_so(kernel: Kernel) -> None:
    first = kernel.ok(
        "%%remote --async --num-gpus 1 --name train\nimport os, time\nwhile not os.path.exists('let-go'): time.sleep(0.01)"
    )
    number = first.of("execute_input")[0]["execution_count"]
    total = int(kernel.ok("int(nbray.cluster_resources()['GPU'])").value or 0)
    cell = kernel.start(f"%%remote --num-gpus {total}\n7")
    kernel.until(lambda: bool(cell.of("display_data")))
    line = cell.of("display_data")[0]["data"]["text/plain"]
    assert f"waiting for {total} GPU" in line and f"held by train (cell {number})" in line
    Path(f"/proc/{kernel.pid}/cwd/let-go").touch()
    assert kernel.finish(cell).value == "7"


def test_an_actor_keeps_a_model_on_the_gpu(kernel: Kernel) -> None:
    kernel.ok("%%remote --actor model --num-gpus 1\nimport torch\nlayer = torch.nn.Linear(64, 8).cuda()\ncalls = 0")
    for n in (1, 2, 3):
        cell = kernel.ok("%%remote --actor model\ncalls += 1\n(calls, tuple(layer(torch.ones(4, 64).cuda()).shape))")
        assert cell.value == f"({n}, (4, 8))"


def test_a_model_that_a_cell_moves_to_the_gpu_and_trains(kernel: Kernel) -> None:
    """As it would be here: its parameters are the same objects, and are on the GPU."""
    kernel.ok(
        "import torch\nmodel = torch.nn.Linear(900, 900)\noptimizer = torch.optim.SGD(model.parameters(), lr=1e-3)\n"
        "weight = model.weight\nbefore = weight.detach().clone()\n"
        "def step():\n    loss = model(torch.ones(4, 900, device=weight.device)).square().mean()\n"
        "    optimizer.zero_grad()\n    loss.backward()\n    optimizer.step()"
    )
    kernel.ok("%%remote --num-gpus 1 --quiet\nmodel.cuda()\nstep()\nmodel.cpu()\nNone")
    assert (
        kernel.ok("weight is model.weight, weight.device.type, torch.equal(weight, before)").value
        == "(True, 'cpu', False)"
    )
    kernel.ok("after = weight.detach().clone()\nstep()")
    assert kernel.ok("torch.equal(weight, after)").value == "False"
    kernel.ok("%%remote --num-gpus 1 --quiet\nmodel.cuda()\nNone")
    assert kernel.ok("weight is model.weight, weight.device.type").value == "(True, 'cuda')"
    kernel.ok("%%remote --num-gpus 1 --quiet\nstep()\nNone")
    assert kernel.ok("weight is model.weight, torch.equal(weight.cpu(), after)").value == "(True, False)"


def test_gradients_on_the_gpu_go_both_ways(kernel: Kernel) -> None:
    kernel.ok(
        "import torch\nmodel = torch.nn.Linear(900, 900).cuda()\nweight, bias = model.weight, model.bias\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=1.0)\nbefore = weight.detach().clone()\n"
        "def backward(): model(torch.ones(4, 900, device=weight.device)).sum().backward()"
    )
    kernel.ok("%%remote --num-gpus 1 --quiet\nbackward()\nNone")
    assert kernel.ok("weight.grad.device.type, float(bias.grad[0])").value == "('cuda', 4.0)"
    kernel.ok("optimizer.step()\ngradient = weight.grad")
    assert kernel.ok("torch.allclose(weight, before - gradient)").value == "True"
    kernel.ok("%%remote --num-gpus 1 --quiet\noptimizer.step()\nmodel.cpu()\nNone")
    assert (
        kernel.ok("weight.device.type, weight.grad.device.type, weight is model.weight").value == "('cpu', 'cpu', True)"
    )
    assert kernel.ok("torch.allclose(weight, before.cpu() - 2 * gradient.cpu())").value == "True"
    kernel.ok("%%remote --num-gpus 1 --quiet\nmodel.cuda()\noptimizer.zero_grad()\nNone")
    assert kernel.ok("weight.device.type, weight.grad").value == "('cuda', None)"


def test_a_cell_leaves_nothing_on_the_gpu(kernel: Kernel) -> None:
    kernel.ok("%%remote --num-gpus 1\nimport torch\nfloat(torch.ones(1 << 28, device='cuda').sum())")
    kernel.ok("from nbray.node.gpu import open_gpus\nimport time\ngpus = open_gpus()\nend = time.monotonic() + 60")
    kernel.ok(
        "while any(p.used > 1 << 30 for p in gpus.read()[0].processes) and time.monotonic() < end: time.sleep(0.05)"
    )
    assert kernel.ok("[p.used for p in gpus.read()[0].processes if p.used > 1 << 30]").value == "[]"
