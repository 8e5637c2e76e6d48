"""Collectives: every operation, type and size against NumPy, groups that come and go, bad input."""

import functools
import itertools
import threading
import time

import cluster_kit as kit
import numpy as np
import pytest

from nbray import collective as col
from nbray.exceptions import CollectiveError, CollectiveMismatchError, CollectiveTimeoutError

CLUSTER = {"num_cpus": 4, "object_store_memory": 128 * 2**20}
OPS = {
    col.ReduceOp.SUM: np.add,
    col.ReduceOp.PRODUCT: np.multiply,
    col.ReduceOp.MIN: np.minimum,
    col.ReduceOp.MAX: np.maximum,
}
TYPES = [
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip
SIZES = [0, 1, 1001, 40_007]  # the last is large: it travels in chunks


@functools.lru_cache(maxsize=100)
def data(dtype, size, rank, place=0, product=False):
    """What rank ``rank`` has at place ``place``: small whole numbers, so that every order gives the same bits."""
    dice = np.random.default_rng([size, rank, place])
    if np.dtype(dtype).kind == "c":
        values = dice.integers(-2, 3, size) + 1j * dice.integers(-2, 3, size)
    elif product:
        values = dice.integers(1, 3, size)
    else:
        values = dice.integers(0, 2 if dtype == "bool" else 9, size)
    return values.astype(dtype)


def reduced(op, arrays):
    """What NumPy makes of it."""
    result = arrays[0].copy()
    for array in arrays[1:]:
        result = OPS[op](result, array)
    return result


class Member:
    """An actor that is a rank."""

    world = rank = None

    def join(self, world, rank, name="g", **options):
        self.world, self.rank = world, rank
        col.init_collective_group(world, rank, "gloo", name, **options)

    def leave(self, name="g"):
        col.destroy_collective_group(name)

    def do(self, function, *arguments):
        """Run a function here; it gets the rank and the size of the group first."""
        return function(self.rank, self.world, *arguments)


@pytest.fixture
def members(ray):
    """Four actors, ended after the test."""
    actors = [ray.remote(Member).remote() for _ in range(4)]
    yield actors
    while actors:
        ray.kill(actors.pop())


@pytest.fixture
def group(ray, members):
    """Join some of the members into a group; left after the test."""
    joined = []

    def join(world, name="g", **options):
        joined.append((world, name))
        ray.get([m.join.remote(world, r, name, **options) for r, m in enumerate(members[:world])])
        return members[:world]

    yield join
    for world, name in joined:
        ray.get([m.leave.remote(name) for m in members[:world]])


def everywhere(ray, actors, function, *arguments):
    with kit.no_hang(what=function.__name__):
        return ray.get([actor.do.remote(function, *arguments) for actor in actors])


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_everything_against_numpy(ray, group, world):
    types = TYPES if world == 3 else TYPES[::3]

    def sweep(me, world):
        for dtype, size in itertools.product(types, SIZES):
            ops = [col.ReduceOp.SUM, col.ReduceOp.PRODUCT]
            if np.dtype(dtype).kind != "c":
                ops += [col.ReduceOp.MIN, col.ReduceOp.MAX]
            for op in ops:
                product = op is col.ReduceOp.PRODUCT
                all_ranks = [data(dtype, size, r, 0, product) for r in range(world)]
                where = f"{op} of {size} x {dtype}"
                mine = all_ranks[me].copy()
                col.allreduce(mine, "g", op)
                np.testing.assert_array_equal(mine, reduced(op, all_ranks), f"allreduce, {where}")
                root = size % world
                mine = all_ranks[me].copy()
                col.reduce(mine, root, "g", op)
                wanted = reduced(op, all_ranks) if me == root else all_ranks[me]
                np.testing.assert_array_equal(mine, wanted, f"reduce, {where}")
                lists = [[data(dtype, size, r, p, product) for p in range(world)] for r in range(world)]
                got = np.empty(size, dtype)
                col.reducescatter(got, lists[me], "g", op)
                np.testing.assert_array_equal(got, reduced(op, [one[me] for one in lists]), f"reducescatter, {where}")
            where = f"{size} x {dtype}"
            mine = data(dtype, size, me).copy()
            col.broadcast(mine, size % world, "g")
            np.testing.assert_array_equal(mine, data(dtype, size, size % world), f"broadcast, {where}")
            gathered = [np.empty(size, dtype) for _ in range(world)]
            col.allgather(gathered, data(dtype, size, me), "g")
            for r in range(world):
                np.testing.assert_array_equal(gathered[r], data(dtype, size, r), f"allgather, {where}")
            col.alltoall(gathered, [data(dtype, size, me, p) for p in range(world)], "g")
            for r in range(world):
                np.testing.assert_array_equal(gathered[r], data(dtype, size, r, me), f"alltoall, {where}")
            if world > 1:  # round the ring
                got = np.empty(size, dtype)
                if me == 0:
                    col.send(data(dtype, size, me), 1, "g")
                col.recv(got, (me - 1) % world, "g")
                if me != 0:
                    col.send(data(dtype, size, me), (me + 1) % world, "g")
                np.testing.assert_array_equal(got, data(dtype, size, (me - 1) % world), f"ring, {where}")
            col.barrier("g")
        return True

    assert all(everywhere(ray, group(world), sweep))


def test_averages_are_the_same_bits_everywhere(ray, group):
    def body(me, world):
        found = []
        for dtype, size in itertools.product(["float16", "float32", "float64", "complex64"], [7, 50_001]):
            ranks = [np.random.default_rng(r).standard_normal(size).astype(dtype) for r in range(world)]
            mine = ranks[me].copy()
            col.allreduce(mine, "g", col.ReduceOp.AVERAGE)
            tolerance = {"float16": 5e-3, "float32": 1e-5, "float64": 1e-12, "complex64": 1e-5}[dtype]
            wanted = np.mean(ranks, axis=0, dtype="complex128" if dtype == "complex64" else "float64")
            np.testing.assert_allclose(mine, wanted, atol=tolerance, rtol=tolerance)
            found.append(mine.tobytes())
        return found

    first, second, third = everywhere(ray, group(3), body)
    assert first == second == third


def test_every_half_precision_number(ray, group):
    """All 65,536 of them, with NaN, infinities and those below the normal ones, as NumPy computes them."""

    def body(me, world):
        every = np.arange(65536, dtype=np.uint16).view(np.float16)
        other = np.roll(every, 12345)
        for op, ufunc in OPS.items():
            mine = [every, other][me].copy()
            col.allreduce(mine, "g", op)
            with np.errstate(all="ignore"):
                np.testing.assert_array_equal(mine, ufunc(every, other))  # NaN equals NaN here
        return True

    assert all(everywhere(ray, group(2), body))


def test_bfloat16(ray, group):
    """All numbers of it, as the package ml_dtypes, which brings the type to NumPy, computes them."""

    def body(me, world):
        import ml_dtypes

        every = np.arange(65536, dtype=np.uint16).view(ml_dtypes.bfloat16)
        other = np.roll(every, 12345)
        for op, ufunc in OPS.items():
            mine = [every, other][me].copy()
            col.allreduce(mine, "g", op)
            with np.errstate(all="ignore"):
                np.testing.assert_array_equal(mine.astype("f4"), ufunc(every, other).astype("f4"), str(op))
        gathered = [np.empty_like(every) for _ in range(world)]
        col.allgather(gathered, [every, other][me], "g")
        assert gathered[1].tobytes() == other.tobytes()
        return True

    assert all(everywhere(ray, group(2), body))


def test_arrays_that_lie_otherwise(ray, group):
    """Strided, Fortran-ordered, byte-swapped and unaligned arrays, and arrays with no dimension."""

    def body(me, world):
        for size in (6, 60_000):
            strided = np.arange(2 * size, dtype=np.float64)[::2]
            col.allreduce(strided, "g")
            assert np.array_equal(strided, np.arange(0, 2 * size, 2) * world)
            fortran = np.asfortranarray(np.arange(size).reshape(-1, 3))
            col.allreduce(fortran, "g")
            assert np.array_equal(fortran, np.arange(size).reshape(-1, 3) * world)
            swapped = np.arange(size, dtype=">i4")
            col.allreduce(swapped, "g")
            assert np.array_equal(swapped, np.arange(size) * world)
            odd = np.zeros(8 * size + 1, np.uint8)[1:].view(np.int64)
            odd[:] = me
            col.allreduce(odd, "g", col.ReduceOp.MAX)
            assert (odd == world - 1).all()
        scalar = np.array(2.5)
        col.allreduce(scalar, "g")
        assert scalar == 2.5 * world
        return True

    assert all(everywhere(ray, group(2), body))


def test_arrays_in_the_store_are_sources(ray, group):
    """What get returned may be sent and broadcast without a copy; it is never written to."""
    stored = ray.put(np.arange(300_000, dtype=np.int32))

    def body(me, world, refs):
        mine = ray.get(refs[0])
        gathered = [np.empty_like(mine) for _ in range(world)]
        col.allgather(gathered, mine, "g")
        assert all(np.array_equal(one, mine) for one in gathered)
        if me == 0:
            col.broadcast(mine, 0, "g")
            col.send(mine, 1, "g")
        else:
            got = np.zeros_like(mine)
            col.broadcast(got, 0, "g")
            assert np.array_equal(got, mine)
            got[:] = 0
            if me == 1:
                col.recv(got, 0, "g")
                assert np.array_equal(got, mine)
        assert np.array_equal(mine, np.arange(300_000))
        with pytest.raises(ValueError, match="read-only"):
            col.allreduce(mine, "g")
        return True

    assert all(everywhere(ray, group(3), body, [stored]))


def test_the_driver_can_be_a_rank(ray, members):
    waiting = [m.join.remote(3, r) for r, m in enumerate(members[:2])]
    col.init_collective_group(3, 2, group_name="g")
    assert (col.get_rank("g"), col.get_collective_group_size("g")) == (2, 3)
    ray.get(waiting)

    def body(me, world):
        array = np.ones(5)
        col.allreduce(array, "g")
        return array.sum()

    refs = [m.do.remote(body) for m in members[:2]]
    assert body(2, 3) == 15
    assert ray.get(refs) == [15, 15]
    col.destroy_collective_group("g")
    ray.get([m.leave.remote() for m in members[:2]])
    assert not col.is_group_initialized("g")
    assert (col.get_rank("g"), col.get_collective_group_size("g")) == (-1, -1)


def test_tasks_lend_their_cpus_while_they_wait(ray):
    """Six tasks, four CPUs: those that wait for the others make room for them."""

    @ray.remote
    def rank(me):
        col.init_collective_group(6, me, group_name="tasks")
        array = np.array([me])
        col.allreduce(array, "tasks")
        col.destroy_collective_group("tasks")
        return array[0]

    with kit.no_hang():
        assert ray.get([rank.remote(i) for i in range(6)]) == [15] * 6


def test_declared_group(ray, members):
    """create_collective_group: the actors join by themselves."""
    for _ in range(2):
        col.create_collective_group(members[:3], 3, [2, 0, 1], "gloo", "declared")
        with pytest.raises(RuntimeError, match="twice"):
            col.create_collective_group(members[:3], 3, [2, 0, 1], "gloo", "declared")

        def body(me, world):
            array = np.arange(3)
            col.broadcast(array, 0, "declared")
            return col.get_rank("declared")

        refs = [m.do.remote(body) for m in members[:3]]
        assert ray.get(refs) == [2, 0, 1]
        with pytest.raises(RuntimeError, match="not initialized"):
            ray.get(members[3].do.remote(body))
        ray.get([m.leave.remote("declared") for m in members[:3]])
    with pytest.raises(RuntimeError, match="correspond"):
        col.create_collective_group(members[:2], 2, [0], "gloo", "wrong")
    with pytest.raises(RuntimeError, match="permutation"):
        col.create_collective_group(members[:2], 2, [0, 2], "gloo", "wrong")
    col.destroy_collective_group("declared")


@pytest.mark.limit(60)
def test_two_hundred_groups_leave_nothing(ray, members):
    before = kit.objects()

    def body(me, world):
        for turn in range(200):
            name = f"group {turn % 3}"
            col.init_collective_group(world, me, group_name=name)
            array = np.ones(turn)
            col.allreduce(array, name)
            assert (array == world).all()
            col.destroy_collective_group(name)

    ray.get([m.join.remote(3, r) for r, m in enumerate(members[:3])])
    everywhere(ray, members[:3], body)
    ray.get([m.leave.remote() for m in members[:3]])
    kit.eventually(lambda: kit.objects() == before, "no object is left")


def test_two_groups_at_once(ray, group, members):
    """In turn in one thread, and side by side in two."""

    def body(me, world):
        a, b = np.full(10, 1.0), np.full(70_000, 2.0)
        for _ in range(20):
            col.allreduce(a, "g", col.ReduceOp.AVERAGE)
            col.allreduce(b, "other", col.ReduceOp.AVERAGE)

        def loop(name):
            array = np.ones(9_999)
            for _ in range(50):
                col.allreduce(array, name, col.ReduceOp.MAX)

        threads = [threading.Thread(target=loop, args=(name,)) for name in ("g", "other")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return a[0], b[-1]

    group(2)
    assert everywhere(ray, group(2, "other"), body) == [(1, 2)] * 2


# ----------------------------------------------------------------------------- bad input


def test_disagreement_is_told_to_all_and_the_group_goes_on(ray, group):
    def body(me, world):
        calls = [
            (lambda: col.allreduce(np.zeros(3 + me), "g"), "3 x float64"),
            (lambda: col.allreduce(np.zeros(3, "f4" if me else "f8"), "g"), "3 x float32"),
            (lambda: col.allreduce(np.zeros(3), "g", col.ReduceOp.MIN if me else col.ReduceOp.MAX), "MAX"),
            (lambda: col.broadcast(np.zeros(3), me, "g"), "root 1"),
            (lambda: col.barrier("g") if me else col.allreduce(np.zeros(100_000), "g"), "barrier"),
            (
                lambda: col.allreduce(np.zeros((2, 3) if me else (3, 2)), "g"),
                r"rank 1: .*6 x float64 of shape \(2, 3\)",
            ),
            (lambda: col.allreduce(np.zeros((1,) * 9 if me else (1, 1)), "g"), r"rank 0: .*of shape \(1, 1\)"),
        ]
        for call, words in calls:
            with pytest.raises(CollectiveMismatchError, match=words) as caught:
                call()
            assert "'g'" in str(caught.value) and isinstance(caught.value, ValueError)
        array = np.ones(3)
        col.allreduce(array, "g")
        return array[0]

    assert everywhere(ray, group(2), body) == [2, 2]


def test_the_rank_that_differs_from_most_is_named_to_all(ray, group):
    def body(me, world):
        named = []
        for odd in range(world):
            with pytest.raises(CollectiveMismatchError, match=f"rank {odd}: allreduce.*; rank") as caught:
                col.allreduce(np.zeros((1, 4) if me == odd else 4), "g")
            named.append(caught.value.rank)
        return named

    assert everywhere(ray, group(3), body) == [[0, 1, 2]] * 3


def test_a_message_is_taken_in_the_shape_that_was_sent(ray, group):
    def body(me, world):
        array = np.full((2, 2), 7.0)
        if me:
            col.send(array, 0, "g")
            return True
        with pytest.raises(CollectiveMismatchError, match=r"rank 1: send\(4 x float64 of shape \(2, 2\)\)"):
            col.recv(np.zeros(4), 1, "g")
        return True

    assert everywhere(ray, group(2), body) == [True, True]


def test_bad_arguments(ray, group):
    def body(me, world):
        ones = np.ones(3)
        bad = [
            (RuntimeError, "not initialized", lambda: col.allreduce(ones, "unknown")),
            (RuntimeError, "second time", lambda: col.init_collective_group(2, me, group_name="g")),
            (RuntimeError, "Unrecognized tensor type", lambda: col.allreduce([1, 2], "g")),
            (CollectiveMismatchError, "object", lambda: col.allreduce(np.array([None]), "g")),
            (CollectiveMismatchError, "datetime64", lambda: col.allreduce(np.zeros(3, "M8[s]"), "g")),
            (CollectiveMismatchError, "not defined", lambda: col.allreduce(np.ones(3, "c8"), "g", col.ReduceOp.MIN)),
            (
                CollectiveMismatchError,
                "not defined",
                lambda: col.allreduce(np.ones(3, "i4"), "g", col.ReduceOp.AVERAGE),
            ),
            (ValueError, "not a ReduceOp", lambda: col.allreduce(ones, "g", "SUM")),
            (ValueError, "less than world size", lambda: col.broadcast(ones, 2, "g")),
            (ValueError, "negative", lambda: col.reduce(ones, -1, "g")),
            (RuntimeError, "is self", lambda: col.send(ones, me, "g")),
            (ValueError, "less than world size", lambda: col.recv(ones, 7, "g")),
            (RuntimeError, "list of tensors", lambda: col.allgather(ones, ones, "g")),
            (RuntimeError, "equal to world_size", lambda: col.allgather([ones], ones, "g")),
            (CollectiveMismatchError, "one type and size", lambda: col.allgather([ones, np.ones(4)], ones, "g")),
            (ValueError, "above 0", lambda: col.barrier("g", timeout=0)),
            (RuntimeError, "several GPUs", lambda: col.allreduce_multigpu([ones], "g")),
            (ValueError, "Unrecognized backend", lambda: col.init_collective_group(2, 0, "mpi", "new")),
            (ValueError, "world_size=0", lambda: col.init_collective_group(0, 0, group_name="new")),
            (ValueError, "less than world size", lambda: col.init_collective_group(2, 2, group_name="new")),
            (ValueError, "group_name", lambda: col.init_collective_group(2, 0, group_name="")),
        ]
        for error, words, call in bad:
            with pytest.raises(error, match=words):
                call()
        array = np.ones(3)
        col.allreduce(array, "g")  # none of that disturbed the group
        return array[0]

    assert everywhere(ray, group(2), body) == [2, 2]


def test_a_rank_that_refuses_alone_leaves_nobody_waiting(ray, group):
    def body(me, world):
        ones, lists = np.ones(3), [np.ones(3) for _ in range(world)]
        calls = [  # of rank 1, and of the others
            (RuntimeError, lambda: col.allreduce([1, 2], "g"), lambda: col.allreduce(ones.copy(), "g")),
            (CollectiveMismatchError, lambda: col.allreduce(np.array([None]), "g"), lambda: col.barrier("g")),
            (ValueError, lambda: col.allreduce(ones, "g", "SUM"), lambda: col.allreduce(np.ones(50_000), "g")),
            (CollectiveMismatchError, lambda: col.allreduce(np.ones(1, "c8"), "g", col.ReduceOp.MIN), lambda: col.barrier("g")),
            (ValueError, lambda: col.broadcast(ones, 7, "g"), lambda: col.broadcast(ones, 0, "g")),
            (ValueError, lambda: col.reduce(ones, -1, "g"), lambda: col.reduce(ones.copy(), 0, "g")),
            (RuntimeError, lambda: col.allgather([ones], ones, "g"), lambda: col.allgather(lists, ones, "g")),
            (RuntimeError, lambda: col.reducescatter(ones, ones, "g"), lambda: col.reducescatter(ones.copy(), lists, "g")),
            (CollectiveMismatchError, lambda: col.alltoall(lists, [ones[:1], *lists[1:]], "g"), lambda: col.alltoall(lists, lists, "g")),
            (ValueError, lambda: col.barrier("g", timeout=0), lambda: col.barrier("g")),
        ]  # fmt: skip
        for error, refused, fine in calls:
            if me == 1:
                with pytest.raises(error):
                    refused()
                continue
            with pytest.raises(CollectiveMismatchError, match=r"rank 1: refused what it was given; rank") as caught:
                fine()
            assert caught.value.rank == 1
        if me == 0:
            with pytest.raises(CollectiveMismatchError, match="rank 1: refused"):
                col.recv(np.ones(3), 1, "g")
            got = np.zeros(3)
            col.recv(got, 1, "g")
            assert got[0] == 1
        if me == 1:
            with pytest.raises(RuntimeError, match="Unrecognized"):
                col.send([1], 0, "g")
            col.send(ones, 0, "g")
        array = np.ones(3)
        col.allreduce(array, "g")  # the group goes on
        if me == 1:
            with pytest.raises(ValueError, match="read-only"):
                col.recv(np.frombuffer(bytes(800_000)), 0, "g")
        elif me == 0:
            with pytest.raises(CollectiveError, match="gave up"):
                col.send(np.ones(100_000), 1, "g")
        return array[0]

    assert everywhere(ray, group(3), body) == [3, 3, 3]


def test_a_refusal_waits_for_nobody(ray, group):
    """Nor does it count for more than one operation of the others."""

    def body(me, world):
        if me == 0:
            with pytest.raises(RuntimeError, match="Unrecognized"):
                col.allreduce("no array", "g")
        return True

    actors = group(2)
    with kit.no_hang(what="a refusal"):
        assert ray.get(actors[0].do.remote(body))

    def later(me, world):
        if me == 1:
            with pytest.raises(CollectiveMismatchError, match="rank 0: refused"):
                col.barrier("g")
        col.barrier("g")
        return True

    assert everywhere(ray, actors, later) == [True, True]


def test_a_rank_that_is_taken_or_never_comes(ray, group):
    group(1, "g")
    with pytest.raises(CollectiveError, match="rank 0 is taken by the process with pid"):
        col.init_collective_group(1, 0, group_name="g")
    with pytest.raises(CollectiveError, match="made for 1 ranks, not for 2"):
        col.init_collective_group(2, 1, group_name="g")
    col.init_collective_group(2, 0, group_name="lonely", gloo_timeout=200)
    before = time.monotonic()
    with pytest.raises(
        CollectiveTimeoutError, match=r"rank 1, which has not joined.*create_collective_group\(\)"
    ) as caught:
        col.barrier("lonely")
    assert isinstance(caught.value, TimeoutError) and time.monotonic() - before < 20
    with pytest.raises(CollectiveTimeoutError):
        col.barrier("lonely")  # it is broken for good
    col.destroy_collective_group("lonely")


def test_all_ranks_that_never_came_are_named(ray, group):
    group(1, "g")
    col.init_collective_group(9, 3, group_name="hardly anybody", gloo_timeout=200)
    with pytest.raises(CollectiveTimeoutError, match=r"ranks 0 to 2, 4 to 8 have not joined"):
        col.barrier("hardly anybody")
    col.destroy_collective_group("hardly anybody")


def test_timeout_of_one_operation(ray, group):
    def body(me, world):
        if me == 0:
            with pytest.raises(CollectiveTimeoutError, match="rank 0 waited in vain for rank 1"):
                col.recv(np.zeros(1), 1, "g", timeout=0.1)
            return True
        with pytest.raises(CollectiveTimeoutError, match="rank 0"):
            col.barrier("g", timeout=20)
        return True

    assert all(everywhere(ray, group(2), body))


def test_ray_util_names():
    from nbray.util import collective
    from nbray.util.collective import types

    assert collective.allreduce is col.allreduce
    assert types.ReduceOp.PRODUCT is col.ReduceOp.PRODUCT and types.Backend("nccl") == "NCCL"
    assert collective.gloo_available() and not collective.nccl_available()
    assert set(col.__all__) <= set(dir(collective))
