"""The files that take what of a cell's output is too much for the front end.

Text goes to a file of text; displays that did not find their turn, and the text between
them, to a page for the browser.
"""

from __future__ import annotations

import html
import os
import tempfile
from typing import IO, Any

from .display_html import as_html

MAX_FILE_BYTES = 1 << 30  # of both together
TAIL_CHARS = 2_000

_HEAD = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 14px/1.4 sans-serif; margin: 2em }} body > * {{ margin: 0 0 1em }}
pre {{ font-size: 13px }} pre.stderr {{ background: #fdd }}
table {{ border-collapse: collapse }} th, td {{ border: 0; padding: 3px 8px; text-align: right }}
tr:nth-child(even) {{ background: #f5f5f5 }}
</style>
</head><body>
"""

_folder = ""  # of this process; it stays, for what it holds was promised to the user


class Overflow:
    """One cell's files, each made when it is first needed.

    Attributes
    ----------
    path : str
        The file of text.
    page : str
        The page of displays.
    size : int
        Bytes of output in them, or dropped behind their end.
    tail : str
        The last lines that were written.
    error : OSError or None
        Why output is dropped.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self.error: OSError | None = None
        try:
            folder = _make_folder()
        except OSError as error:
            self.error, folder = error, ""
        self.path = os.path.join(folder, f"{label}.txt")
        self.page = os.path.join(folder, f"{label}.html")
        self.size = 0
        self.tail = ""
        self.tail_name = "stdout"
        self._files: dict[str, IO[bytes]] = {}

    def write(self, name: str, text: str) -> None:
        """Add text of stream ``name`` to the file of text."""
        self._write(self.path, text)
        self.tail, self.tail_name = (self.tail + text)[-TAIL_CHARS:], name

    def write_on_page(self, name: str, text: str) -> None:
        """Add text of stream ``name`` that belongs between displays."""
        self._write(self.page, f'<pre class="{name}">{html.escape(text, quote=False)}</pre>\n')
        self.tail, self.tail_name = (self.tail + text)[-TAIL_CHARS:], name

    def show_on_page(self, content: dict[str, Any]) -> None:
        """Add a display, given as the content of its message (pictures in base64)."""
        self._write(self.page, f"<div>{as_html(content.get('data', {}))}</div>\n")

    def _write(self, path: str, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        if self.error is None and self.size < MAX_FILE_BYTES:
            try:
                if path not in self._files:
                    self._files[path] = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by close()
                    if path == self.page and not os.path.getsize(path):
                        self._files[path].write(_HEAD.format(title=f"Output of {self._label}").encode())
                self._files[path].write(data)
            except OSError as error:  # the disk is full: the front end still gets the last lines
                self.error = error
        self.size += len(data)

    def last_lines(self) -> str:
        """Return whole lines of the end, and forget them."""
        tail, self.tail = self.tail, ""
        cut = tail.find("\n", 0, -1)
        return tail[cut + 1 :] if len(tail) == TAIL_CHARS and cut >= 0 else tail

    def paths(self) -> list[str]:
        """Return where output was written."""
        return list(self._files)

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def _make_folder() -> str:
    global _folder
    if not _folder or not os.path.isdir(_folder):
        _folder = tempfile.mkdtemp(prefix="nbray-output-")
    return _folder
