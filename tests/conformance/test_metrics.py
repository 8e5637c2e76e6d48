"""ray.util.metrics: what is accepted, what is refused."""

import importlib

import pytest

from .kit import LIBRARY

metrics = importlib.import_module(f"{LIBRARY}.util.metrics")
CLUSTER = {"num_cpus": 2, "object_store_memory": 100 * 2**20}


@pytest.mark.parametrize("name", ["with-dash", "with space", "1st"])
def test_a_name_that_prometheus_does_not_take(ray, name):
    with pytest.warns(UserWarning, match="Invalid metric name"):
        counter = metrics.Counter(name)
    counter.inc()


def test_no_name(ray):
    with pytest.raises(ValueError):
        metrics.Gauge("")


def test_tags(ray):
    counter = metrics.Counter("test_tags_total", tag_keys=("kind", "place"))
    counter.inc(1, {"kind": "a", "place": "b"})
    counter.inc(1, {"kind": "a", "place": "b", "other": "c"})
    with pytest.raises(ValueError, match="place"):
        counter.inc(1, {"kind": "a"})
    with pytest.raises(TypeError):
        counter.inc(1, {"kind": 1, "place": "b"})
    assert counter.set_default_tags({"place": "b"}) is counter
    counter.inc(1, {"kind": "a"})
    with pytest.raises(ValueError, match="other"):
        counter.set_default_tags({"other": "c"})
    assert counter.info["default_tags"] == {"place": "b"}


def test_true_and_false_are_numbers(ray):
    metrics.Counter("test_true_total").inc(True)
    for value in (True, False):
        metrics.Gauge("test_true").set(value)
        metrics.Histogram("test_true_histogram", boundaries=[1]).observe(value)


@pytest.mark.parametrize("value", [0, -1])
def test_counters_only_rise(ray, value):
    counter = metrics.Counter("test_rise_total")
    with pytest.raises(ValueError):
        counter.inc(value)


@pytest.mark.parametrize("boundaries", [[-1, 2], [0, 2]], ids=str)
def test_boundaries(ray, boundaries):
    with pytest.raises(ValueError):
        metrics.Histogram("test_boundaries", boundaries=boundaries)


def test_in_an_actor(ray):
    @ray.remote
    class Counts:
        def __init__(self):
            self.counter = metrics.Counter("test_actor_total", tag_keys=("kind",)).set_default_tags({"kind": "a"})

        def count(self):
            self.counter.inc()
            return self.counter.info["name"]

    assert ray.get(Counts.remote().count.remote()) == "test_actor_total"
