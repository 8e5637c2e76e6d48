"""The global scheduler: pack, spread, impossible requests, spillback, over many nodes."""

import pytest

from nbray.resources import CPU, GPU, UNITS
from nbray.scheduling.cluster_view import ClusterView
from nbray.scheduling.infeasible import explain
from nbray.scheduling.node_selection import GlobalScheduler


def cluster(*nodes):
    """Nodes as (name, cpus, free cpus, gpus, waiting)."""
    view = ClusterView()
    for name, cpus, free, gpus, waiting in nodes:
        totals = {CPU: cpus * UNITS, GPU: gpus * UNITS}
        view.update(name, totals, {CPU: free * UNITS, GPU: gpus * UNITS}, waiting)
    return GlobalScheduler(view)


ONE = {CPU: UNITS}


def test_the_asking_node_takes_it_while_half_empty():
    assert cluster(("a", 4, 4, 0, 0), ("b", 4, 4, 0, 0)).place(ONE, local="b") == "b"
    assert cluster(("a", 4, 4, 0, 0), ("b", 4, 2, 0, 0)).place(ONE, local="b") == "a"


def test_default_packs_below_the_threshold_and_spreads_above():
    scheduler = cluster(("a", 10, 9, 0, 0), ("b", 10, 7, 0, 0), ("c", 10, 1, 0, 0))
    assert scheduler.place(ONE) == "b"
    scheduler = cluster(("a", 10, 4, 0, 0), ("b", 10, 3, 0, 0))
    assert scheduler.place(ONE) == "a"


def test_spread_takes_the_emptiest():
    assert cluster(("a", 10, 9, 0, 0), ("b", 10, 7, 0, 0)).place(ONE, "SPREAD", "b") == "a"


def test_gpu_nodes_are_kept_for_those_who_need_them():
    scheduler = cluster(("a", 8, 8, 2, 0), ("b", 8, 1, 0, 0))
    assert scheduler.place(ONE, local="a") == "b"
    assert scheduler.place({GPU: UNITS}, local="b") == "a"
    assert cluster(("a", 8, 8, 2, 0)).place(ONE) == "a"


def test_full_nodes_queue_where_the_queue_is_shortest():
    assert cluster(("a", 2, 0, 0, 5), ("b", 2, 0, 0, 1)).place(ONE, local="a") == "b"
    assert cluster(("a", 2, 0, 0, 1), ("b", 2, 0, 0, 1)).place(ONE, local="b") == "b"


def test_impossible():
    scheduler = cluster(("a", 2, 2, 0, 0), ("b", 4, 4, 0, 0))
    assert scheduler.place({CPU: 5 * UNITS}) is None
    assert scheduler.place({GPU: UNITS}) is None
    assert scheduler.place({CPU: 3 * UNITS}) == "b"
    scheduler.view.remove("b")
    assert scheduler.place({CPU: 3 * UNITS}) is None


def test_spillback_only_to_a_node_with_room():
    assert cluster(("a", 2, 0, 0, 0), ("b", 2, 1, 0, 0)).spillback(ONE, "a") == "b"
    assert cluster(("a", 2, 0, 0, 0), ("b", 2, 0, 0, 0)).spillback(ONE, "a") is None


@pytest.mark.parametrize("order", [1, -1])
def test_decisions_do_not_depend_on_arrival(order):
    nodes = [("a", 4, 3, 0, 0), ("b", 4, 3, 0, 0), ("c", 4, 3, 0, 0)][::order]
    assert cluster(*nodes).place(ONE) == "a"


def test_explanations():
    nodes = [("a" * 56, {CPU: 2 * UNITS, "turbo": UNITS}), ("b" * 56, {CPU: 4 * UNITS, GPU: UNITS})]
    text = explain("train", {CPU: 8 * UNITS}, nodes)
    assert "train asks for {CPU: 8}" in text and "(bbbbbbbb) has 4 CPU" in text and "wait_for_resources" in text
    assert "'turbo'" in explain("f", {"Turbo": UNITS}, nodes)
    assert "there are: turbo" in explain("f", {"zzz": UNITS}, nodes)
    assert "no single node has all of it" in explain("f", {"turbo": UNITS, GPU: UNITS}, nodes)
    assert "whole number" in explain("f", {GPU: UNITS + UNITS // 2}, [("a", {GPU: 2 * UNITS})])
    assert "there is no node" in explain("f", {CPU: 1}, [])
