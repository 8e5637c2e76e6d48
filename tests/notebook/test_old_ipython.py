"""What is done where IPython is 7, as on Colab: its ways are put in the place of those of the version that is here."""

from __future__ import annotations

import linecache
import types

import IPython
import pytest

from nbray.notebook import old_ipython


def test_cells_are_numbered_and_their_text_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = types.SimpleNamespace(get_code_name=lambda raw, code, number: f"<{raw} {number}>")
    shell = types.SimpleNamespace(compile=compiler, execution_count=3)
    old_ipython.note_cell(shell, "new")
    assert not hasattr(compiler, "_filename_map")
    monkeypatch.setattr(IPython, "version_info", (7, 34, 0, ""))
    old_ipython.note_cell(shell, "old")
    assert old_ipython.cell_numbers(compiler) == {"<old 3>": 3}
    monkeypatch.setattr(linecache, "_ipython_cache", {"<old 3>": "what IPython made of it"}, raising=False)
    monkeypatch.setitem(linecache.cache, "<old 3>", (3, None, ["old"], "<old 3>"))
    old_ipython.keep_text("<old 3>")
    assert linecache._ipython_cache["<old 3>"][2] == ["old"]  # type: ignore[attr-defined]


def test_notes_are_told_where_ipython_shows_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ValueError("x")
    error.__notes__ = ["why"]  # type: ignore[attr-defined]
    old_ipython.tell_notes(error)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(IPython, "version_info", (8, 14, 0, ""))
    old_ipython.tell_notes(error)
    assert capsys.readouterr().err == "why\n"
