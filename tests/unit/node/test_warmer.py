"""The store's free memory is backed ahead of demand, in the background."""

import os
import time

import pytest
from nbray._cstore import lib

from nbray.config import Limits
from nbray.node.segment import Segment as NodeSegment
from nbray.node.segment import make_segment
from nbray.node.warmer import Warmer
from nbray.store.segment import Segment

MIB = 1 << 20
AHEAD = 16 * MIB


@pytest.fixture
def segment():
    descriptor = make_segment(64 * MIB)
    node = NodeSegment(descriptor)
    with Segment(descriptor) as store:
        yield store, node
    lib.nbs_detach(node._seg)
    os.close(descriptor)


def await_reserved(store, least):
    deadline = time.monotonic() + 60
    while store.stats()["reserved"] < least:
        assert time.monotonic() < deadline, store.stats()
        time.sleep(0.005)


def test_so_much_is_free_and_warm_after_each_poke(segment):
    store, node = segment
    warmer = Warmer(node, Limits({"warm_ahead_bytes": AHEAD, "warm_step_bytes": 4 * MIB}))
    warmer.poke()
    await_reserved(store, AHEAD)
    assert store.stats()["reserved"] == AHEAD  # and no more
    store.put(b"%028d" % 1, bytes(10 * MIB))  # takes of what is there
    used = store.stats()["used"]
    assert store.stats()["reserved"] == AHEAD
    warmer.poke()
    await_reserved(store, used + AHEAD)
    warmer.stop()


def test_none_is_backed_where_none_is_wanted(segment):
    store, node = segment
    warmer = Warmer(node, Limits({"warm_ahead_bytes": 0}))
    warmer.poke()
    warmer.stop()
    assert store.stats()["reserved"] == 0
