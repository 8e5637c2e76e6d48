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
    plain = data.get("text/plain", "")
    return f"<pre>{html.escape(plain if isinstance(plain, str) else str(plain), quote=False)}</pre>"


def _picture(mime: str) -> Callable[[str], str]:
    return lambda value: f'<img src="data:{mime};base64,{"".join(value.split())}">'


_FORMS: dict[str, Callable[[str], str]] = {
    "text/html": str,
    "image/svg+xml": str,
    **{mime: _picture(mime) for mime in ("image/png", "image/jpeg", "image/gif", "image/webp")},
}
