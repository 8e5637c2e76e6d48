"""Amounts of resources: exact, bounded, and refused with the range when they are not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbray import resources as r


@pytest.mark.parametrize("bad", [-1, -0.0001, math.nan, math.inf, 0.00001, 1.00005, "1", None, True, 2.0**60])
def test_bad_amounts_are_refused(bad):
    with pytest.raises(ValueError, match="CPU"):
        r.to_units("CPU", bad)


def test_gpus_above_one_are_whole():
    assert r.to_units("GPU", 0.25) == 2500
    assert r.to_units("GPU", 3) == 30000
    with pytest.raises(ValueError, match="whole"):
        r.to_units("GPU", 1.5)


@given(st.integers(0, 10**12))
def test_units_survive_the_round_trip(units):
    assert r.to_units("memory", r.from_units(units)) == units


def test_pack_drops_zeros():
    assert r.pack({"CPU": 1, "GPU": 0, "disk": 0.5}) == {"CPU": 10000, "disk": 5000}


def test_covers_ignores_what_is_not_needed():
    assert r.covers({}, {"CPU": 0})
    assert r.covers({"CPU": -5}, {"GPU": 0})
    assert not r.covers({"CPU": 1}, {"CPU": 2})


def test_describe():
    assert r.describe({"memory": 3 * 2**30 * r.UNITS, "CPU": 20000, "GPU": 5000}) == (
        "{CPU: 2, GPU: 0.5, memory: 3.0 GiB}"
    )
