"""Values that are lost with their spill file: made again where that is possible, told where it is not."""

import contextlib
import os
import time

import cluster_kit as kit
import numpy as np
import pytest

from nbray.core import current
from nbray.session_layout import SPILLED

MIB = 2**20
FULL = os.environ.get("NBRAY_FAULTS_FULL") == "1"
CAPACITY = 48 * MIB
CLUSTER = {"num_cpus": 2, "object_store_memory": CAPACITY}


def spill_files():
    folder = os.path.join(current.core.session_dir, SPILLED)
    return [os.path.join(folder, name) for name in os.listdir(folder)] if os.path.isdir(folder) else []


def is_spilled(ref):
    return bool(current.core.store.info((ref._hold or ref._data.hold).obj).meta & 4)


def force_out(ray, refs):
    """Press on the store until all of ``refs`` are on disk; what pressed is gone after."""
    filler = []
    while not all(is_spilled(ref) for ref in refs):
        filler.append(ray.put(np.zeros(8 * MIB, np.uint8)))
        assert len(filler) < 100
        time.sleep(0.01)


def damage(refs):
    """Change one bit of each object on disk."""
    places = on_disk()
    for ref in refs:
        path, at = places[ref.binary()]
        at += 64 + 28 * 31
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 16]))


def on_disk():
    """Return where the records of objects begin: id -> (file, offset)."""
    places = {}
    for path in spill_files():
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            data = file.read()
            at = data.find(b"NBSPILL1")
            while at >= 0:
                places[data[at + 8 : at + 36]] = path, at
                at = data.find(b"NBSPILL1", at + 64 + int.from_bytes(data[at + 36 : at + 44], "little"))
    return places


def lose(ray, *refs):
    force_out(ray, refs)
    damage(refs)


@pytest.fixture
def work(ray, ledger):
    """A function whose runs are counted; its result lies in the store."""

    @ray.remote
    def double(x, size=MIB // 8):
        ledger.add("run")
        return np.full(size, np.asarray(x).flat[0] * 2 + 1)

    return double


def test_a_result_is_made_again(ray, work, ledger):
    ref = work.remote(3)
    assert ray.get(ref)[0] == 7
    lose(ray, ref)
    assert ray.wait([ref], timeout=0)[0] == [ref]
    assert ray.get(ref)[-1] == 7
    assert len(ledger.lines()) == 2
    lose(ray, ref)
    assert ray.get([ref])[0][-1] == 7
    assert len(ledger.lines()) == 3


def test_a_lost_argument_is_made_again(ray, work, ledger):
    first = work.remote(3)
    ray.wait([first])
    lose(ray, first)
    assert ray.get(work.remote(first))[0] == 15
    assert len(ledger.lines()) == 3

    @ray.remote
    class Keeper:
        def first(self, array):
            return float(array[0])

    keeper = Keeper.remote()
    lose(ray, first)
    assert ray.get(keeper.first.remote(first)) == 7.0
    assert len(ledger.lines()) == 4


def test_a_lost_value_of_another_owner(ray, work, ledger):
    """The reader is a task; the owner, here, makes the value again."""
    ref = work.remote(3)
    ray.wait([ref])
    reader = ray.remote(lambda box: float(ray.get(box[0])[0]))
    assert ray.get(reader.remote([ref])) == 7.0
    lose(ray, ref)
    with kit.no_hang():
        assert ray.get(reader.remote([ref])) == 7.0
    assert len(ledger.lines()) == 2
    put = ray.put(np.zeros(MIB))
    lose(ray, put)
    with kit.no_hang(), pytest.raises(ray.exceptions.RayTaskError) as caught:
        ray.get(reader.remote([put]))
    assert isinstance(caught.value.cause, ray.exceptions.ObjectLostError)


def test_values_in_between_are_made_again(ray, work, ledger):
    """Only the last ref is left; the chain is run again from the first."""
    length = 1000 if FULL else 200
    ref = work.remote(0, 5000)
    for _ in range(length - 1):
        ref = work.remote(ref, 5000)
    expected = ray.get(ref).copy()
    assert len(ledger.lines()) == length
    lose(ray, ref)
    with kit.no_hang():
        assert (ray.get(ref) == expected).all()
    assert len(ledger.lines()) == 2 * length  # each once


def test_a_fan_in(ray, ledger):
    @ray.remote
    def part(i):
        ledger.add(i)
        return np.full(5000, i)

    @ray.remote
    def total(*parts):
        ledger.add("total")
        return np.full(5000, sum(int(p[0]) for p in parts))

    parts = [part.remote(i) for i in range(50)]
    ref = total.remote(*parts)
    assert ray.get(ref)[0] == 1225
    kept = parts[:25]  # they are there still
    del parts
    lose(ray, ref)
    assert ray.get(ref)[0] == 1225
    assert sorted(ledger.lines(), key=str) == sorted(
        [str(i) for i in range(50)] + [str(i) for i in range(25, 50)] + ["total"] * 2
    )
    del kept


def test_of_several_returns_one_is_lost(ray, ledger):
    @ray.remote(num_returns=3)
    def three():
        ledger.add("run")
        return [np.full(5000, i) for i in range(3)]

    refs = three.remote()
    view = ray.get(refs[0])
    lose(ray, refs[1])
    assert [ray.get(ref)[0] for ref in refs] == [0, 1, 2]
    assert view[0] == 0
    assert len(ledger.lines()) == 2


def test_arguments_by_value_are_kept(ray, work, ledger):
    ref = work.remote(np.full(9000, 4.0))
    ray.wait([ref])
    lose(ray, ref)
    assert ray.get(ref)[0] == 9.0


def test_retries_are_used_up(ray, ledger):
    @ray.remote(max_retries=1)
    def f():
        return np.zeros(MIB)

    ref = f.remote()
    ray.wait([ref])
    lose(ray, ref)
    assert ray.get(ref)[0] == 0
    lose(ray, ref)
    with pytest.raises(ray.exceptions.ObjectLostError):
        ray.get(ref)
    with pytest.raises(ray.exceptions.ObjectLostError):
        ray.get(ref)


def test_what_was_put_is_lost(ray):
    ref = ray.put(np.zeros(MIB))
    lose(ray, ref)
    with pytest.raises(ray.exceptions.ObjectLostError, match="cannot be read"):
        ray.get(ref)
    with pytest.raises(ray.exceptions.ObjectLostError):
        ray.get(ray.remote(lambda x: 1).remote(ref))


def test_an_argument_that_was_put_is_gone(ray, work):
    value = ray.put(np.full(9000, 4.0))
    ref = work.remote(value)
    ray.wait([ref])
    del value
    lose(ray, ref)
    with pytest.raises(ray.exceptions.ObjectReconstructionFailedError, match="an argument that was put"):
        ray.get(ref)


def test_the_spill_folder_is_gone(ray, work):
    ref = work.remote(3)
    ray.wait([ref])
    force_out(ray, [ref])
    for path in spill_files():
        with contextlib.suppress(FileNotFoundError):  # what pressed on the store is freed, and its files with it
            os.unlink(path)
    assert ray.get(ref)[0] == 7


def test_every_bit_counts(ray):
    """Flips anywhere in a spilled object, its head included, are found."""
    size = 40_000
    rounds = 400 if FULL else 40
    rng = np.random.default_rng(3)
    refs = [ray.put(rng.integers(0, 256, size, dtype=np.uint8)) for _ in range(rounds)]
    good = ray.put(rng.integers(0, 256, size, dtype=np.uint8))
    force_out(ray, [*refs, good])
    places = on_disk()
    for ref in refs:
        path, at = places[ref.binary()]
        bit = int(rng.integers(0, (48 + size) * 8))
        at += bit // 8 + (16 if bit // 8 >= 48 else 0)  # the last 16 bytes of the head mean nothing
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1 << bit % 8]))
    for ref in refs:
        with pytest.raises(ray.exceptions.ObjectLostError):
            ray.get(ref)
    assert len(ray.get(good)) == size


def test_lineage_is_bounded(ray, monkeypatch):
    core = current.core
    from nbray.config import Limits

    monkeypatch.setattr(core.store.pressure, "limits", Limits({"lineage_bytes": 100_000}))
    refs = [ray.remote(lambda: np.zeros(5000)).remote() for _ in range(300)]
    ray.get(refs)
    alive = [lineage for lineage in core._lineages if not lineage.gone]
    assert 20 < len(alive) <= 110
    given_up = next(ref for ref in refs if ref._data.lineage.gone)  # often the first, unless its result came late
    lose(ray, given_up)
    with pytest.raises(ray.exceptions.ObjectReconstructionFailedError, match="given up"):
        ray.get(given_up)
    before = len(core._lineages)
    del refs, alive, given_up
    kit.eventually(lambda: len(core._lineages) < before / 10, "lineages go with their refs")


def test_small_results_cost_nothing(ray):
    kit.eventually(lambda: not current.core._lineages, "those of the tests before are gone")
    refs = [ray.remote(lambda: 1).remote() for _ in range(50)]
    ray.get(refs)
    before = len(current.core._lineages)
    ref = ray.remote(lambda x: x).remote(1)
    for _ in range(100):
        ref = ray.remote(lambda x: x + 1).remote(ref)
    assert ray.get(ref) == 101
    assert len(current.core._lineages) == before
