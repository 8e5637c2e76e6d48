"""What nbray says of a GPU is true of a real one. On a machine without an NVIDIA GPU there is nothing to test here."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import cloudpickle
import pytest

import nbray
from nbray.core import live
from nbray.node import machine
from nbray.node.gpu import open_gpus

from . import cuda

GPUS = open_gpus() if machine.gpu_ids() else None
if GPUS is None:
    pytest.skip("needs an NVIDIA GPU with a working driver", allow_module_level=True)

cloudpickle.register_pickle_by_value(cuda)  # workers do not find the tests on their path
GIB = 1 << 30
WAIT_S = 60


def wait_for(what, *arguments):
    """Return the first true answer of ``what``."""
    deadline = time.monotonic() + WAIT_S
    while not (answer := what(*arguments)):
        assert time.monotonic() < deadline, f"{what.__name__} stays {answer!r}"
        time.sleep(0.05)
    return answer


def memory_used():
    return GPUS.read()[0].used


def given_back(before):
    """The memory is back at what it was, but for what strangers do."""
    return memory_used() < before + GIB // 2


@pytest.fixture(scope="module", autouse=True)
def cluster():
    nbray.init(num_cpus=4, object_store_memory=256 << 20)
    yield
    nbray.shutdown()


@nbray.remote(num_gpus=1)
def seen():
    gpu = cuda.Gpu(1 << 20)
    return os.environ["CUDA_VISIBLE_DEVICES"], nbray.get_gpu_ids(), gpu.count(), os.getpid()


def test_a_task_sees_the_gpu_that_it_was_given():
    total = nbray.cluster_resources()["GPU"]
    assert total == len(machine.gpu_ids())
    visible, ids, count, _ = nbray.get(seen.remote())
    assert count == 1 and len(ids) == 1
    assert visible == str(ids[0])
    kind = machine.gpu_kind()
    if kind:
        assert nbray.cluster_resources()[f"accelerator_type:{kind}"] > 0


def run(program):
    """Run a driver of its own: CUDA keeps descriptors of its devices for as long as a process lives."""
    start = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    line = [sys.executable, "-c", start + textwrap.dedent(program)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_driver_may_use_the_gpu_itself():
    program = """
        import cloudpickle, cuda, nbray
        cloudpickle.register_pickle_by_value(cuda)
        gpu = cuda.Gpu(64 << 20)  # before the cluster starts
        gpu.fill(7)
        nbray.init(num_cpus=1, object_store_memory=64 << 20)

        @nbray.remote(num_gpus=1)
        def work():
            mine = cuda.Gpu(64 << 20)
            mine.fill(8)
            return mine.word(11)

        print(nbray.get(work.remote()), gpu.word(11))
    """
    assert run(program) == ["8", "7"]


def test_who_uses_the_gpu_and_how_much():
    before = memory_used()

    @nbray.remote(num_gpus=1)
    def burn(go_on):
        gpu = cuda.Gpu(2 * GIB)
        rounds = 0
        while not os.path.exists(go_on):
            rounds += gpu.burn(0.1)
        return os.getpid(), rounds, gpu.word(5)

    go_on = f"/tmp/nbray-test-{os.getpid()}-burn"
    ref = burn.remote(go_on)

    def seen_at_work():
        for sample in reversed(live.usage()):
            gpu = sample["gpus"][0]
            if gpu["used"] > before + GIB and gpu["utilization"] not in (None, 0.0):
                return gpu
        return None

    gpu = wait_for(seen_at_work)
    Path(go_on).touch()
    try:
        pid, rounds, word = nbray.get(ref)
    finally:
        os.unlink(go_on)
    assert rounds > 0 and isinstance(word, int)
    if gpu["processes"]:  # the driver shows pids, and they are of our namespace
        of_burn = [process for process in gpu["processes"] if process["name"] == "burn"]
        assert [process["pid"] for process in of_burn] == [pid], gpu
        assert of_burn[0]["used"] == -1 or of_burn[0]["used"] > 2 * GIB
    wait_for(given_back, before)  # the worker that has used it ends with the task


def test_a_killed_worker_leaves_no_memory_behind(tmp_path):
    before = memory_used()
    marker = tmp_path / "once"

    @nbray.remote(num_gpus=1, max_retries=1)
    def fragile(marker):
        gpu = cuda.Gpu(2 * GIB)
        gpu.fill(3)
        if not os.path.exists(marker):
            open(marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return gpu.word(1)

    assert nbray.get(fragile.remote(str(marker))) == 3
    wait_for(given_back, before)


def test_an_actor_keeps_its_memory_until_it_goes():
    before = memory_used()

    @nbray.remote(num_gpus=1)
    class Holder:
        def __init__(self):
            self.gpu = cuda.Gpu(2 * GIB)

        def fill(self, value):
            self.gpu.fill(value)
            return self.gpu.word(9)

    holder = Holder.remote()
    assert [nbray.get(holder.fill.remote(value)) for value in (1, 2, 3)] == [1, 2, 3]
    assert memory_used() > before + GIB
    del holder
    wait_for(given_back, before)


def test_fractions_share_a_gpu():
    share = 0.5 if nbray.cluster_resources()["GPU"] == 1 else 1

    @nbray.remote(num_gpus=share)
    class Half:
        def where(self):
            self.gpu = cuda.Gpu(256 << 20)
            self.gpu.fill(1)
            return nbray.get_gpu_ids(), os.getpid()

    both = [Half.remote(), Half.remote()]
    (one, first), (two, second) = nbray.get([half.where.remote() for half in both])
    assert first != second
    if share == 0.5:
        assert one == two

        @nbray.remote(num_gpus=0.5)
        def third():
            return "ran"

        waits = third.remote()
        done, _ = nbray.wait([waits], timeout=0.5)
        assert not done
        assert "GPU" in nbray.why(waits)
        del both
        assert nbray.get(waits) == "ran"


def test_torch():
    torch = pytest.importorskip("torch", reason="needs a GPU framework: PyTorch")
    before = memory_used()

    @nbray.remote(num_gpus=1)
    def multiply(n, seed):
        import torch

        generator = torch.Generator(device="cuda").manual_seed(seed)
        a = torch.randn(n, n, device="cuda", generator=generator)
        b = torch.randn(n, n, device="cuda", generator=generator)
        return float((a @ b).abs().mean()), torch.cuda.device_count(), (a[:2, :2] @ b[:2, :2]).cpu()

    mean, count, corner = nbray.get(multiply.remote(2048, 1))
    assert 20 < mean < 60 and count == 1 and tuple(corner.shape) == (2, 2)
    assert nbray.get(multiply.remote(2048, 1))[0] == mean
    wait_for(given_back, before)

    @nbray.remote(num_gpus=1)
    def too_much():
        import torch

        return torch.empty(1 << 50, device="cuda")

    with pytest.raises(torch.cuda.OutOfMemoryError) as caught:
        nbray.get(too_much.remote())
    assert isinstance(caught.value, nbray.exceptions.RayTaskError)
    assert sys.getsizeof(str(caught.value)) > 0


def test_a_tensor_on_the_gpu_comes_back_to_one():
    pytest.importorskip("torch", reason="needs a GPU framework: PyTorch")
    program = """
        import nbray, torch
        nbray.init(num_cpus=1, object_store_memory=64 << 20)

        @nbray.remote(num_gpus=1)
        def make():
            return torch.arange(1000, device="cuda")

        tensor = nbray.get(make.remote())
        print(tensor.is_cuda, int(tensor.sum()), torch.equal(tensor.cpu(), torch.arange(1000)))
    """
    assert run(program) == ["True", "499500", "True"]
