"""Engines that hand their plans to Ray: Daft (data frames), Hamilton (functions that name what they need), pipefunc."""

from __future__ import annotations

import sys
import types

import pytest

import nbray


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    import daft
    import numpy as np

    daft.set_runner_ray()
    random = np.random.default_rng(0)
    folder = str(tmp_path_factory.mktemp("frame"))
    data = {"key": random.integers(0, 20, 5_000).tolist(), "value": random.normal(size=5_000).tolist()}
    daft.from_pydict(data).into_partitions(3).write_parquet(folder)
    return data, daft.read_parquet(f"{folder}/*.parquet")


def test_daft_groups_joins_and_sorts(frame):
    from daft import col

    data, table = frame
    sums = table.where(col("key") < 5).groupby("key").agg(col("value").sum(), col("value").count().alias("n"))
    got = sums.sort("key").to_pydict()
    groups = {k: [v for key, v in zip(data["key"], data["value"], strict=True) if key == k] for k in range(5)}
    assert got["key"] == list(groups) and got["n"] == [len(group) for group in groups.values()]
    assert got["value"] == pytest.approx([sum(group) for group in groups.values()])
    joined = table.repartition(4, "key").join(sums.select("key", "n"), on="key").sort(["key", "value"]).limit(3)
    assert joined.to_pydict()["value"] == sorted(groups[0])[:3]


def test_daft_functions_and_actors(frame):
    import daft

    @daft.func(return_dtype=daft.DataType.int64())
    def double(x):
        return 2 * x

    @daft.cls(max_concurrency=2)
    class Add:
        def __init__(self, k):
            self.k = k

        @daft.method(return_dtype=daft.DataType.int64())
        def add(self, x):
            return x + self.k

    table = daft.from_pydict({"x": list(range(100))}).into_partitions(2)
    got = table.with_columns({"twice": double(table["x"]), "more": Add(5).add(table["x"])}).to_pydict()
    assert got["twice"] == [2 * x for x in range(100)]
    assert got["more"] == [x + 5 for x in range(100)]

    @daft.func(return_dtype=daft.DataType.int64())
    def broken(x):
        raise ValueError("no such thing")

    with pytest.raises(Exception, match="no such thing"):
        table.with_column("y", broken(table["x"])).to_pydict()


def test_daft_partitions_are_refs(frame):
    import daft
    import ray

    parts = list(daft.from_pydict({"x": [1, 2, 3]}).into_partitions(3).iter_partitions())
    assert [type(part) for part in parts] == [ray.ObjectRef] * 3
    assert sorted(x for part in ray.get(parts) for x in part.to_pydict()["x"]) == [1, 2, 3]


@pytest.fixture(scope="module")
def graph():
    """A module of functions for Hamilton, which finds inputs by the names of parameters."""
    module = types.ModuleType("graph_of_functions")
    source = """
from hamilton.htypes import Collect, Parallelizable

def first(n: int) -> int:
    return n + 1

def second(first: int) -> int:
    return first * 2

def both(first: int, second: int) -> int:
    return first + second

def item(n: int) -> Parallelizable[int]:
    yield from range(n)

def square(item: int) -> int:
    return item * item

def total(square: Collect[int]) -> int:
    return sum(square)
"""
    exec(source, module.__dict__)
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def test_hamilton_adapter(graph):
    from hamilton import base, driver
    from hamilton.plugins import h_ray

    adapter = h_ray.RayGraphAdapter(result_builder=base.DictResult(), ray_init_config={"ignore_reinit_error": True})
    parallel = driver.Driver({}, graph, adapter=adapter).execute(["both", "second"], inputs={"n": 5})
    assert parallel == {"both": 18, "second": 12}


def test_hamilton_items_side_by_side(graph):
    from hamilton import driver
    from hamilton.plugins import h_ray

    executor = h_ray.RayTaskExecutor(num_cpus=2, ray_init_config={"ignore_reinit_error": True})
    builder = driver.Builder().enable_dynamic_execution(allow_experimental_mode=True).with_modules(graph)
    serial = builder.build().execute(["total"], inputs={"n": 20})
    parallel = builder.with_remote_executor(executor).build().execute(["total"], inputs={"n": 20})
    assert parallel == serial == {"total": sum(i * i for i in range(20))}


def test_pipefunc():
    from pipefunc import Pipeline, pipefunc

    @pipefunc(output_name="y", mapspec="x[i] -> y[i]")
    def double(x):
        return 2 * x

    @pipefunc(output_name="total")
    def add(y):
        return sum(y)

    pipeline = Pipeline([double, add])
    with nbray.Executor() as executor:
        got = pipeline.map({"x": list(range(30))}, executor=executor, parallel=True, storage="dict", chunksizes=5)
    assert got["total"].output == sum(2 * x for x in range(30))
