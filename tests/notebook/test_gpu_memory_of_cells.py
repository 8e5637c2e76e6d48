"""A worker that keeps memory of its GPU ends with its cell; with a file that stands for a GPU's."""

from __future__ import annotations

from pathlib import Path

from kit import Kernel


def test_a_cell_leaves_no_memory_of_its_gpu_behind(fresh_kernel: Kernel, tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.touch()
    kernel = fresh_kernel
    kernel.ok("%load_ext nbray\nimport nbray\nnbray.init(num_cpus=1, num_gpus=1)")
    ask = "%%remote --num-gpus 1\nimport os\nos.getpid()"
    first = kernel.ok(ask).value
    taken = kernel.ok(
        "%%remote --num-gpus 1\nimport os\nfrom nbray.worker import gpu_memory as _gpu\n"
        f"_gpu._FILES, _gpu.opened = ({str(device)!r},), open({str(device)!r})\nprint('last words')\nos.getpid()"
    )
    assert taken.value == first and taken.text() == "last words\n"
    assert kernel.ok(ask).value != first
    pids = kernel.ok(ask.replace("--num-gpus 1", "--num-gpus 1 --each i=range(3)")).value
    assert pids is not None and pids.count(",") == 2
