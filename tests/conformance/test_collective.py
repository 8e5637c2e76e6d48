"""`ray.util.collective` before a group is there: names, checks, errors.

Not more: the original's only backend for arrays in memory needs torch, which these environments lack. What the
operations compute is held against NumPy in tests/cluster/test_collective.py.
"""

import importlib

import pytest

from .kit import LIBRARY

col = importlib.import_module(f"{LIBRARY}.util.collective")
types = importlib.import_module(f"{LIBRARY}.util.collective.types")


@pytest.fixture(scope="module")
def two(ray):
    @ray.remote(num_cpus=0)
    class Actor:
        def call(self, function):
            return function()

    return [Actor.remote() for _ in range(2)]


def test_names():
    for name in ("allreduce", "reduce", "broadcast", "allgather", "reducescatter", "send", "recv"):
        assert callable(getattr(col, name)) and callable(getattr(col, f"{name}_multigpu"))
    assert callable(col.barrier)
    assert [types.ReduceOp[name].value for name in ("SUM", "PRODUCT", "MIN", "MAX")] == [0, 1, 2, 3]


def test_backends():
    assert types.Backend("nccl") == types.Backend.NCCL == "NCCL"
    assert types.Backend("gloo") == types.Backend("torch_gloo") == types.Backend.GLOO == "GLOO"
    with pytest.raises(ValueError, match="Unrecognized backend"):
        types.Backend("mpi")
    assert not col.nccl_available()


def test_a_process_in_no_group(ray, two):
    def look():
        collective = importlib.import_module(f"{LIBRARY}.util.collective")
        return (
            collective.is_group_initialized("none"),
            collective.get_rank("none"),
            collective.get_collective_group_size("none"),
        )

    assert ray.get(two[0].call.remote(look)) == (False, -1, -1)


def test_an_operation_without_a_group(ray, two):
    def reduce_it():
        import numpy as np

        importlib.import_module(f"{LIBRARY}.util.collective").allreduce(np.ones(3), "none")

    with pytest.raises(RuntimeError, match="not initialized in the process"):
        ray.get(two[0].call.remote(reduce_it))


@pytest.mark.parametrize(
    ("world_size", "ranks", "words"),
    [
        (2, [0], "correspond to one rank"),
        (2, [0, 0], "permutation"),
        (2, [1, 2], "permutation"),
        (0, [0, 1], "greater than zero"),
    ],
)
def test_declarations_that_do_not_fit(ray, two, world_size, ranks, words):
    with pytest.raises(RuntimeError, match=words):
        col.create_collective_group(two, world_size, ranks, "gloo", "bad")


def test_arguments_of_init(ray, two):
    def init(**arguments):
        importlib.import_module(f"{LIBRARY}.util.collective").init_collective_group(**arguments)

    for arguments in (
        {"group_name": ""},
        {"world_size": 0, "rank": 0},
        {"world_size": 2, "rank": 2},
        {"world_size": 2, "rank": -1},
    ):
        given = {"world_size": 2, "rank": 0, "backend": "gloo", **arguments}
        with pytest.raises(Exception) as caught:
            ray.get(two[0].call.remote(lambda given=given: init(**given)))
        assert isinstance(caught.value, (ValueError, AssertionError))
