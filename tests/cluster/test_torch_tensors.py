"""Tensors of PyTorch go through the store without copies, and come back as tensors of one's own that may be written."""

import pickle

import pytest

import nbray
from nbray.core import current
from nbray.serialization import serializer

torch = pytest.importorskip("torch", reason="no PyTorch here (make test-notebooks has it)")
MIB = 1 << 20
LARGE = 4 * MIB  # bytes: mapped; small ones are copied


@pytest.fixture(scope="module", autouse=True)
def cluster():
    nbray.init(num_cpus=2, object_store_memory=256 * MIB)
    yield
    nbray.shutdown()


def same(one, two):
    return one.dtype == two.dtype and one.shape == two.shape and one.stride() == two.stride() and torch.equal(one, two)


DTYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int8,
    torch.uint8,
    torch.int16,
    torch.int64,
]


@pytest.mark.parametrize("dtype", [*DTYPES, torch.bool, torch.complex64])
@pytest.mark.parametrize("n", [0, 1, 1000, LARGE])
def test_all_types_and_sizes(dtype, n):
    tensor = torch.arange(n).to(dtype)
    assert same(nbray.get(nbray.put(tensor)), tensor)


def test_views():
    base = torch.arange(LARGE // 4, dtype=torch.float32).reshape(1024, -1)
    for view in (base.t(), base[3:7], base[:, ::3], base[5, 5], base.expand(2, *base.shape), base.unfold(0, 3, 2)):
        assert same(nbray.get(nbray.put(view)), view)


@pytest.mark.parametrize("n", [100, LARGE])
def test_what_comes_back_is_ones_own(n):
    ref = nbray.put(torch.zeros(n))
    one, two = nbray.get(ref), nbray.get(ref)
    one += 1
    one[3] = 7
    assert one.sum() == n + 6 and two.sum() == 0 and nbray.get(ref).sum() == 0


def test_arguments_and_results():
    @nbray.remote
    def double(tensor):
        tensor *= 2  # its own
        return tensor

    for n in (10, LARGE):
        mine = torch.ones(n)
        ref = nbray.put(mine)
        assert nbray.get(double.remote(mine)).sum() == 2 * n
        assert nbray.get(double.remote(ref)).sum() == 2 * n
        assert nbray.get(double.remote(double.remote(ref))).sum() == 4 * n
        assert mine.sum() == n and nbray.get(ref).sum() == n


def test_a_large_tensor_is_not_copied_into_the_pickle():
    laid_out = serializer.dumps([torch.zeros(LARGE), torch.ones(LARGE)])
    assert len(laid_out.pickled) < 2000 and [buffer.nbytes for buffer in laid_out.buffers] == [4 * LARGE, 4 * LARGE]


def test_models():
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(600, 600), torch.nn.ReLU(), torch.nn.Linear(600, 3))
    model[0].weight.requires_grad_(False)
    again = nbray.get(nbray.put(model))
    assert [p.requires_grad for p in again.parameters()] == [False, True, True, True]
    x = torch.randn(5, 600)
    assert torch.equal(model(x), again(x))
    again(x).sum().backward()
    torch.optim.SGD(again.parameters(), lr=0.1).step()
    assert not torch.equal(model(x), again(x))
    fresh = nbray.get(nbray.put(model.state_dict()))
    assert list(fresh) == list(model.state_dict())
    model.load_state_dict(fresh)


def test_other_kinds():
    dense = torch.eye(2000)
    for tensor in (dense.to_sparse(), dense.to_sparse_csr()):
        assert torch.equal(nbray.get(nbray.put(tensor)).to_dense(), dense)
    quantized = torch.quantize_per_tensor(dense, 0.1, 10, torch.quint8)
    assert torch.equal(nbray.get(nbray.put(quantized)).dequantize(), quantized.dequantize())
    assert nbray.get(nbray.put(torch.empty(5, device="meta"))).device.type == "meta"
    storage = nbray.get(nbray.put(dense.untyped_storage()))
    assert torch.equal(torch.empty(0).set_(storage), dense.flatten())


def test_in_code():
    weights = torch.arange(LARGE)

    @nbray.remote
    def total():
        return int(weights.sum())

    assert nbray.get(total.remote()) == int(weights.sum())


def test_others_pickle_as_ever():
    tensor = torch.arange(10)
    nbray.put(tensor)
    assert b"nbray" not in pickle.dumps(tensor)
    assert torch.equal(pickle.loads(pickle.dumps(tensor, protocol=2)), tensor)


def test_memory_is_kept_as_long_as_it_is_seen_and_no_longer():
    def used():
        return current.core.store.stats().used

    before = used()
    tensor = nbray.get(nbray.put(torch.full((LARGE,), 3.0)))
    view = tensor[7:9]
    del tensor
    for i in range(30):  # more than the store holds
        nbray.put(torch.full((LARGE,), float(i)))
    assert view.tolist() == [3.0, 3.0] and used() >= before + 4 * LARGE
    del view
    assert used() < before + 4 * LARGE


def test_more_tensors_than_the_store_holds():
    @nbray.remote
    def make(i):
        return torch.full((LARGE,), float(i))

    kept = [nbray.get(make.remote(i)) for i in range(40)]  # 640 MiB, in a store of 256
    assert [int(tensor[i]) for i, tensor in enumerate(kept)] == list(range(40))
    kept += [nbray.get(nbray.put([torch.full((LARGE,), float(i))]))[0] for i in range(20)]
    assert [int(tensor.sum()) // LARGE for tensor in kept] == [*range(40), *range(20)]
