"""What is kept in the user's cache folder, and said once."""

import os

import pytest

from nbray.api import runtime
from nbray.node import cache_folder


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_once_per_user(cache):
    assert cache_folder.first_time("a")
    assert not cache_folder.first_time("a")
    assert cache_folder.first_time("b")


def test_nothing_is_said_where_nothing_can_be_remembered(cache):
    (cache / "nbray").write_text("no folder")
    assert not cache_folder.first_time("a")


def test_root_is_told_once(cache, monkeypatch):
    told = []
    monkeypatch.setattr(runtime._logger, "warning", told.append)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    runtime._warn_root()
    assert not told
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    runtime._warn_root()
    runtime._warn_root()
    assert len(told) == 1
    assert "root" in told[0]
