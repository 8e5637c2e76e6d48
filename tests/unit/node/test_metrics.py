"""Values of applications in the daemon: added up, bounded, and never trusted."""

import math

import pytest

from nbray.config import Limits
from nbray.node.metrics import Application
from nbray.wire.messages import MetricRow


def counter(value, name="requests", tags=("a",)):
    return MetricRow("counter", name, "", ["kind"], list(tags), value, [], [0])


def histogram(buckets, value=1.0, boundaries=(1.0, 2.0)):
    return MetricRow("histogram", "latency", "", [], [], value, list(boundaries), list(buckets))


def test_counters_of_processes_are_added_and_outlive_them():
    metrics = Application(Limits())
    metrics.take(1, [counter(2.0)])
    metrics.take(2, [counter(3.0)])
    metrics.take(1, [counter(4.0)])
    assert [row.value for row, _ in metrics.picture()] == [7.0]
    metrics.process_gone(1)
    metrics.process_gone(2)
    metrics.process_gone(3)
    assert [row.value for row, _ in metrics.picture()] == [7.0]


def test_gauges_go_with_their_process():
    metrics = Application(Limits())
    for peer in (1, 2):
        metrics.take(peer, [MetricRow("gauge", "depth", "", [], [], float(peer), [], [0])])
    assert sorted(row.value for row, _ in metrics.picture()) == [1.0, 2.0]
    metrics.process_gone(1)
    assert [row.value for row, _ in metrics.picture()] == [2.0]
    metrics.process_gone(2)
    assert metrics.picture() == []


def test_histograms_are_added_bucket_by_bucket():
    metrics = Application(Limits())
    metrics.take(1, [histogram([1, 0, 2])])
    metrics.take(2, [histogram([0, 5, 1])])
    ((row, _),) = metrics.picture()
    assert (row.buckets, row.value) == ([1, 5, 3], 2.0)


@pytest.mark.parametrize(
    "row",
    [
        MetricRow("unknown", "x", "", [], [], 1.0, [], [0]),
        MetricRow("counter", "x", "", ["a"], [], 1.0, [], [0]),
        MetricRow("counter", "a b", "", [], [], 1.0, [], [0]),
        MetricRow("counter", "x", "", ["a b"], ["c"], 1.0, [], [0]),
        MetricRow("counter", "x" * 2000, "", [], [], 1.0, [], [0]),
        MetricRow("histogram", "x", "", [], [], 1.0, [1.0], [0]),
    ],
)
def test_what_cannot_be_exported_is_refused(row):
    metrics = Application(Limits())
    metrics.take(1, [row, counter(math.nan)])
    assert metrics.refused == 1
    assert len(metrics.picture()) == 1


def test_another_kind_under_the_same_name_is_refused():
    metrics = Application(Limits())
    metrics.take(1, [histogram([1, 0, 0])])
    metrics.take(2, [histogram([1, 0], boundaries=(1.0,))])
    assert metrics.refused == 1
    assert metrics.picture()[0][0].buckets == [1, 0, 0]


def test_there_is_a_limit():
    metrics = Application(Limits({"metric_series": 3}))
    metrics.take(1, [counter(1.0, tags=(str(index),)) for index in range(5)])
    assert (len(metrics.picture()), metrics.refused) == (3, 2)
