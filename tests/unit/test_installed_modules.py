"""Which modules are the user's own: by their path, and by what installers record."""

import os
import sys

import numpy

import nbray.api.objects
from nbray.notebook import installed_modules
from nbray.notebook.installed_modules import is_installed


def test_by_path(tmp_path):
    assert is_installed("json.decoder", sys.modules["json.decoder"].__file__)
    assert is_installed("numpy", numpy.__file__)
    assert is_installed("nbray.api.objects", nbray.api.objects.__file__)
    link = tmp_path / "mine.py"
    link.symlink_to(os.__file__)
    assert is_installed("mine", str(link))
    assert not is_installed("mine", str(tmp_path / "other.py"))


def test_by_record(tmp_path):
    """As `pip install --target` leaves it, with a module of the user beside."""
    info = tmp_path / "thing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    (info / "RECORD").write_text(
        'thing/__init__.py,sha256=x,1\nalone.py,,\n"spaces/a, b.py",,\nthing-1.0.dist-info/RECORD,,\n'
    )
    for name, path in [
        ("thing", "thing/__init__.py"),
        ("thing.part", "thing/part.py"),
        ("thing.sub", "thing/sub/__init__.py"),
        ("thing.sub.leaf", "thing/sub/leaf.py"),
        ("alone", "alone.py"),
        ("spaces.odd", "spaces/odd.py"),
    ]:
        assert is_installed(name, str(tmp_path / path)), name
    for name, path in [("mine", "mine.py"), ("mine.thing", "mine/thing.py"), ("thing2", "thing2.py")]:
        assert not is_installed(name, str(tmp_path / path)), name


def test_a_record_that_cannot_be_read(tmp_path, monkeypatch):
    (tmp_path / "broken-1.0.dist-info").mkdir()
    (tmp_path / "broken-1.0.dist-info" / "RECORD").write_bytes(b"\xff\xfe")
    assert not is_installed("broken", str(tmp_path / "broken.py"))
    monkeypatch.setattr(installed_modules, "distributions", lambda path: 1 / 0)
    assert not is_installed("other", str(tmp_path / "sub" / "other.py"))
