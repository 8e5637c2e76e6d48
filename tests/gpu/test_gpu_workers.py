"""A worker that keeps memory of its GPU ends with its task or cell; one that has not touched it stays."""

import os

import pytest

import nbray
from nbray.worker import gpu_memory


def test_device_files_tell_of_a_context(tmp_path):
    (tmp_path / "0").symlink_to("/dev/null")
    (tmp_path / "1").symlink_to("/dev/nvidiactl")  # which NVML opens, too
    (tmp_path / "2").symlink_to("/dev/nvidia0")
    (tmp_path / "3").symlink_to("socket:[1]")
    assert not gpu_memory.is_held(str(tmp_path))
    (tmp_path / "4").symlink_to("/dev/nvidia-uvm")
    assert gpu_memory.is_held(str(tmp_path))
    assert gpu_memory.is_held(str(tmp_path / "none"))
    assert not gpu_memory.is_held()


@pytest.fixture(scope="module", autouse=True)
def cluster():
    nbray.init(num_cpus=1, num_gpus=1, object_store_memory=64 << 20)
    yield
    nbray.shutdown()


@pytest.fixture
def device(tmp_path):
    """A file whose opening stands for that of a GPU."""
    path = tmp_path / "device"
    path.touch()
    return str(path)


def take(device):
    """As a context on the GPU does: a file that stays open."""
    gpu_memory._FILES = (device,)
    gpu_memory.opened = open(device)


def test_a_task_by_options(device):
    @nbray.remote
    def work(device=None):
        if device:
            take(device)
        return os.getpid()

    on_gpu = work.options(num_gpus=1)
    first = nbray.get(on_gpu.remote())
    assert nbray.get(on_gpu.remote()) == nbray.get(on_gpu.remote(device)) == first
    assert nbray.get(on_gpu.remote()) != first


def test_a_task_that_raises(device):
    @nbray.remote
    def work(device=None):
        if device:
            take(device)
            raise ValueError(os.getpid())
        return os.getpid()

    on_gpu = work.options(num_gpus=0.5)
    with pytest.raises(ValueError) as caught:
        nbray.get(on_gpu.remote(device))
    assert nbray.get(on_gpu.remote()) != caught.value.args[0]


def test_a_generator(device):
    @nbray.remote
    def items(device=None):
        yield os.getpid()
        if device:
            take(device)
        yield os.getpid()

    def pids(*args):
        return {nbray.get(ref) for ref in items.options(num_gpus=1).remote(*args)}

    first = pids()
    assert len(first) == 1
    assert pids(device) == first
    assert pids() != first


def test_no_limit_is_no_limit(device):
    @nbray.remote(max_calls=0)
    def work():
        take(device)
        return os.getpid()

    on_gpu = work.options(num_gpus=1)
    assert nbray.get(on_gpu.remote()) == nbray.get(on_gpu.remote())
