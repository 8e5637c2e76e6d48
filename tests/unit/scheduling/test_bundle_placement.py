"""Where bundles go: each strategy's promise, and the sentence when there is no place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbray.placement import parse_selector
from nbray.resources import CPU, GPU, UNITS, add, covers
from nbray.scheduling.bundle_placement import PACK, SPREAD, STRICT_PACK, STRICT_SPREAD, explain_impossible, place
from nbray.scheduling.cluster_view import NodeView

STRATEGIES = [PACK, SPREAD, STRICT_PACK, STRICT_SPREAD]


def nodes(*cpus, gpus=0, labels=None):
    totals = [{CPU: n * UNITS, GPU: gpus * UNITS} for n in cpus]
    return [NodeView(f"n{i}", t, t, 0, (labels or {}).get(i)) for i, t in enumerate(totals)]


def bundles(*cpus):
    return [{CPU: round(n * UNITS)} for n in cpus]


@given(
    st.sampled_from(STRATEGIES), st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.lists(st.integers(1, 4), min_size=1, max_size=5),
)  # fmt: skip
def test_what_is_placed_keeps_its_promise(strategy, cpus, wanted):
    view, asked = nodes(*cpus), bundles(*wanted)
    chosen = place(asked, strategy, view)
    if chosen is None:
        explain_impossible("", asked, strategy, view)
        return
    assert set(chosen) == set(range(len(asked)))
    for node in view:
        there = {}
        for index, node_id in chosen.items():
            if node_id == node.node_id:
                add(there, asked[index])
        assert covers(node.free, there), "over-committed"
    used = list(chosen.values())
    if strategy == STRICT_PACK:
        assert len(set(used)) == 1
    if strategy == STRICT_SPREAD:
        assert len(set(used)) == len(used)


def test_pack_takes_few_nodes_and_spread_many():
    view = nodes(4, 4, 4)
    assert len(set(place(bundles(1, 1, 1), PACK, view).values())) == 1
    assert len(set(place(bundles(1, 1, 1), SPREAD, view).values())) == 3
    assert len(set(place(bundles(3, 3, 1), PACK, view).values())) == 2


def test_large_bundles_choose_first():
    assert place(bundles(1, 1, 3), PACK, nodes(3, 2)) == {2: "n0", 0: "n1", 1: "n1"}


def test_spread_uses_a_node_twice_when_it_must():
    assert len(place(bundles(1, 1, 1), SPREAD, nodes(2, 1))) == 3


def test_free_and_idle():
    view = nodes(2)
    view[0].free = {CPU: UNITS}
    assert place(bundles(2), PACK, view) is None
    assert place(bundles(2), PACK, view, idle=True) == {0: "n0"}


def test_labels():
    view = nodes(2, 2, labels={1: {"zone": "b"}})
    rules = [parse_selector("s", {"zone": "b"}), ()]
    assert place(bundles(1, 2), PACK, view, rules) == {0: "n1", 1: "n0"}
    nowhere = [parse_selector("s", {"zone": "c"}), ()]
    assert place(bundles(1, 1), PACK, view, nowhere) is None
    text = explain_impossible("", bundles(1, 1), PACK, view, nowhere)
    assert "Bundle 0" in text and "zone" in text


@pytest.mark.parametrize(
    ("strategy", "wanted", "words"),
    [
        (PACK, (1, 9), ["Bundle 1", "{CPU: 9}", "4"]),
        (STRICT_SPREAD, (1, 1, 1), ["STRICT_SPREAD", "3 bundles", "2 nodes"]),
        (STRICT_PACK, (4, 2), ["Bundle 1", "STRICT_PACK", "{CPU: 2}", "left"]),
        (PACK, (4, 4, 1), ["Bundle 2", "{CPU: 1}", "left"]),
    ],
)
def test_the_sentence_names_the_bundle(strategy, wanted, words):
    view = nodes(4, 4)
    assert place(bundles(*wanted), strategy, view, idle=True) is None
    text = explain_impossible("trio", bundles(*wanted), strategy, view)
    for word in [*words, "'trio'", "wait_for_resources"]:
        assert word in text, text
