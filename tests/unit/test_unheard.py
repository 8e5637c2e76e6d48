"""``notebook/unheard.py``: one thread is not heard, the others are."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from nbray.notebook.unheard import heard, unheard


def test_one_thread_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)

    def others() -> None:
        print("from another thread", flush=True)
        print("and again", file=sys.stderr)

    with unheard():
        print("not heard", flush=True)
        print("not heard", file=sys.stderr)
        with unheard():
            thread = threading.Thread(target=others)
            thread.start()
            thread.join()
            assert heard(sys.stdout) is out and heard(sys.stderr) is err
        assert sys.stdout.encoding == out.encoding and not sys.stdout.isatty()
    assert (sys.stdout, sys.stderr) == (out, err)
    assert heard(out) is out
    assert (out.getvalue(), err.getvalue()) == ("from another thread\n", "and again\n")
