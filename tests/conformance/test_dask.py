"""``util.dask``: Dask's graphs in tasks of the cluster."""

import importlib
import operator

import pytest

from .kit import LIBRARY

dask = pytest.importorskip("dask")
util_dask = importlib.import_module(f"{LIBRARY}.util.dask")
get = util_dask.ray_dask_get


@dask.delayed
def add(*numbers):
    return sum(numbers)


@pytest.fixture(autouse=True)
def _cluster(ray):
    pass


def test_a_graph():
    graph = add(add(1, 2), add(3, 4), add(add(5), 6))
    assert graph.compute(scheduler=get) == 21
    assert dask.compute(graph, add(1), 5, scheduler=get) == (21, 1, 5)


def test_graphs_of_dictionaries():
    graph = {"a": 1, "b": (operator.add, "a", 10), "c": "b", "d": (sum, ["a", "b", "c"])}
    assert get(graph, "d") == 23
    assert tuple(get(graph, ["a", "b", "d"])) == (1, 11, 23)


def test_containers():
    both = dask.delayed({"x": add(1), "y": [add(2), (add(3), 4)]})
    assert both.compute(scheduler=get) == {"x": 1, "y": [2, (3, 4)]}


def test_arrays():
    pytest.importorskip("numpy")
    import dask.array as da

    array = da.arange(10_000, chunks=1000)
    assert int((array + array[::-1]).sum().compute(scheduler=get)) == 9999 * 10_000
    square = da.ones((300, 300), chunks=100)
    assert float((square @ square).mean().compute(scheduler=get)) == 300


def test_an_error_of_a_node():
    bad = dask.delayed(operator.truediv)(1, 0)
    with pytest.raises(ZeroDivisionError):
        add(bad, 1).compute(scheduler=get)


def test_as_the_default():
    with util_dask.enable_dask_on_ray():
        assert add(1, 2).compute() == 3
        assert dask.config.get("scheduler") is get
    util_dask.enable_dask_on_ray()
    assert add(1, 2).compute() == 3
    util_dask.disable_dask_on_ray()
    assert dask.config.get("scheduler") is None


def test_nodes_run_in_workers_with_options(ray):
    @dask.delayed
    def where():
        context = ray.get_runtime_context()
        return context.get_assigned_resources().get("widget")

    assert where().compute(scheduler=get, ray_remote_args={"resources": {"widget": 1}}) == 1
    with dask.annotate(ray_remote_args={"resources": {"widget": 2}}):
        annotated = where()
    assert annotated.compute(scheduler=get, optimize_graph=False) == 2


def test_persist():
    pytest.importorskip("numpy")
    import dask.array as da

    array = da.arange(1000, chunks=100) * 2
    (kept,) = util_dask.ray_dask_persist(array, scheduler=get)
    assert int(kept.sum().compute(scheduler=get)) == 999_000


def test_persisted_values_stay_in_the_store():
    """In Ray, too, a persisted collection holds refs."""
    np = pytest.importorskip("numpy")
    import dask.array as da

    util_dask.enable_dask_on_ray()
    try:
        array = da.ones(2**20, chunks=2**19)
        for kept in (array.persist(), *dask.persist(array + 0)):
            for part in dict(kept.__dask_graph__()).values():
                assert not isinstance(getattr(part, "value", part), np.ndarray)
            assert int(kept.sum().compute()) == 2**20
        assert dask.delayed(abs)(-3).persist().compute() == 3
    finally:
        util_dask.disable_dask_on_ray()


def test_a_progress_bar(capsys):
    with util_dask.ProgressBarCallback():
        assert dask.delayed(sum)([dask.delayed(abs)(-i) for i in range(10)]).compute(scheduler=get) == 45
    shown = capsys.readouterr()
    assert shown.err + shown.out


def test_callbacks():
    seen = []

    class Callback(util_dask.RayDaskCallback):
        def _ray_presubmit(self, task, key, deps):
            seen.append("presubmit")

        def _ray_postsubmit(self, task, key, deps, object_ref):
            seen.append("postsubmit")

        def _ray_pretask(self, key, object_refs):
            return "state"

        def _ray_posttask(self, key, result, pre_state):
            assert pre_state == "state"

        def _ray_finish(self, result):
            seen.append("finish")

    assert not util_dask.RayDaskCallback.ray_active
    with Callback():
        assert len(util_dask.RayDaskCallback.ray_active) == 1
        assert add(1, 2).compute(scheduler=get) == 3
    assert seen == ["presubmit", "postsubmit", "finish"]
    add(1).compute(scheduler=get)
    assert len(seen) == 3
