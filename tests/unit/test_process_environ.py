"""The kernel's environment on a worker: whole, and gone again afterwards."""

import os

import pytest

from nbray.notebook import process_environ


@pytest.fixture(autouse=True)
def same_afterwards():
    before = process_environ.raw()
    yield
    process_environ.restore(before)
    assert process_environ.raw() == before


def test_what_the_kernel_has_and_nothing_else():
    os.environ["ONLY_HERE"] = "a"
    os.environ["OF_BOTH"] = "kernel's, grün"
    packed = process_environ.pack()
    assert process_environ.pack() is packed
    del os.environ["ONLY_HERE"]
    os.environ["OF_BOTH"] = "worker's"
    os.environ["ONLY_THERE"] = "b"
    before = process_environ.raw()
    process_environ.apply(packed, before)
    assert (os.environ["ONLY_HERE"], os.environ["OF_BOTH"]) == ("a", "kernel's, grün")
    assert "ONLY_THERE" not in os.environ
    process_environ.restore(before)
    assert process_environ.raw() == before and os.environ["OF_BOTH"] == "worker's"


def test_a_change_is_packed_anew():
    first = process_environ.pack()
    os.environ["ONE_MORE"] = "1"
    second = process_environ.pack()
    assert second != first
    process_environ.apply(second, process_environ.raw())
    process_environ.apply(second, process_environ.raw())
    process_environ.apply(first, process_environ.raw())
    assert "ONE_MORE" not in os.environ


def test_what_the_runtime_sets_stays(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    packed = process_environ.pack()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    before = process_environ.raw()
    process_environ.apply(packed, before)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"
    process_environ.restore(before)
