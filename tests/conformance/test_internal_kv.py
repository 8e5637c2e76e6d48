"""ray.experimental.internal_kv: keys and values that all processes see."""

import importlib

import pytest

from .kit import LIBRARY


@pytest.fixture
def kv(ray):
    module = importlib.import_module(f"{LIBRARY}.experimental.internal_kv")
    yield module
    module._internal_kv_del("test", del_by_prefix=True)
    module._internal_kv_del("test", del_by_prefix=True, namespace="other")


def test_values_come_back_as_bytes(kv):
    assert kv._internal_kv_initialized()
    assert kv._internal_kv_get("test") is None
    assert not kv._internal_kv_exists("test")
    assert kv._internal_kv_put("test", "text") is False
    assert kv._internal_kv_get(b"test") == b"text"
    assert kv._internal_kv_exists("test")
    kv._internal_kv_put(b"test", b"\x00\xff")
    assert kv._internal_kv_get("test") == b"\x00\xff"


def test_what_is_there_may_stay(kv):
    kv._internal_kv_put("test", "first")
    assert kv._internal_kv_put("test", "second", overwrite=False) is True
    assert kv._internal_kv_get("test") == b"first"


def test_namespaces_and_prefixes(kv):
    for name in ("test:a", "test:b", "test"):
        kv._internal_kv_put(name, name)
    kv._internal_kv_put("test:c", "x", namespace="other")
    assert sorted(kv._internal_kv_list("test:")) == [b"test:a", b"test:b"]
    assert kv._internal_kv_list(b"test", namespace=b"other") == [b"test:c"]
    assert kv._internal_kv_get("test:c") is None
    assert kv._internal_kv_del("test:a") == 1
    assert kv._internal_kv_del("test:a") == 0
    assert kv._internal_kv_del("test", del_by_prefix=True) == 2
    assert kv._internal_kv_list("test") == []


def test_tasks_see_the_same(ray, kv):
    name = kv.__name__

    @ray.remote
    def answer():
        module = importlib.import_module(name)
        module._internal_kv_put("test:answer", module._internal_kv_get("test:question") + b"!")

    kv._internal_kv_put("test:question", "42")
    ray.get(answer.remote())
    assert kv._internal_kv_get("test:answer") == b"42!"


def test_what_is_no_key(kv):
    with pytest.raises((AssertionError, TypeError)):
        kv._internal_kv_put(1, b"x")
    with pytest.raises((AssertionError, TypeError)):
        kv._internal_kv_put("test", 1)
