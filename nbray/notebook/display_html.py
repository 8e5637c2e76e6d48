"""What a display shows, as HTML for a page on which it stands with others."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any


def as_html(data: dict[str, Any]) -> str:
    """Return what of a display's forms a browser shows best."""
    for mime, make in _FORMS.items():
        if isinstance(value := data.get(mime), str):
            return make(value)
    return _text(next((data[mime] for mime in _SOURCES if isinstance(data.get(mime), str)), ""))


def _text(value: str) -> str:
    return f"<pre>{html.escape(value, quote=False)}</pre>"


def _picture(mime: str) -> Callable[[str], str]:
    return lambda value: f'<img src="data:{mime};base64,{"".join(value.split())}">'


_SOURCES = ("text/markdown", "text/latex", "text/plain")  # as they were written: a page has nothing that draws them
_FORMS: dict[str, Callable[[str], str]] = {
    "text/html": str,
    "image/svg+xml": str,
    **{mime: _picture(mime) for mime in ("image/png", "image/jpeg", "image/gif", "image/webp")},
}
