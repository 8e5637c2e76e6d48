"""What ``%nbray`` and the rich reprs show: a heading, facts, tables; as text and as HTML. Pure."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nbray.util.state.tables import table

CELL_CHARS = 80
_HEAD = 'style="text-align:left;font-weight:600;white-space:nowrap"'
_CELL = 'style="text-align:left;white-space:nowrap"'
_LONG = 'style="text-align:left;min-width:12em;overflow-wrap:anywhere"'  # which may take several lines
LONG_CHARS = 32
_MUTED = 'style="color:var(--jp-ui-font-color2,#757575)"'


class NotFound(ValueError):
    """What the user named is not there; the text says what would be."""


@dataclass(slots=True)
class Table:
    """Rows under column names."""

    columns: list[str]
    rows: list[list[Any]]
    title: str = ""


@dataclass(slots=True)
class Page:
    """Something to look at; IPython shows it by its MIME bundle."""

    title: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    picture: str = ""  # HTML that says with the tables what the text says without

    def __repr__(self) -> str:
        parts = [self.title] if self.title else []
        width = max((len(name) for name, _ in self.facts), default=0)
        parts += [f"{name:<{width}}  {value}" for name, value in self.facts]
        for one in self.tables:
            parts += [""] if parts else []
            parts += [one.title] if one.title else []
            parts.append(table(one.columns, one.rows))
        parts += self.notes
        return "\n".join(parts)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self.html()}

    def html(self) -> str:
        """Return it as HTML in the colours of the front end."""
        parts = [f"<b>{html.escape(self.title)}</b>"] if self.title else []
        if self.picture:
            parts.append(self.picture)
        if self.facts:
            rows = "".join(
                f"<tr><td {_CELL}><span {_MUTED}>{html.escape(name)}</span></td>"
                f"<td {_CELL}>{html.escape(value)}</td></tr>"
                for name, value in self.facts
            )
            parts.append(f"<table>{rows}</table>")
        for one in self.tables:
            if one.title:
                parts.append(f"<div {_MUTED}>{html.escape(one.title)}</div>")
            parts.append(_html_table(one.columns, one.rows))
        parts += [f"<div {_MUTED}>{html.escape(note)}</div>" for note in self.notes]
        return f'<div class="nbray-page">{"".join(parts)}</div>'


def _html_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th {_HEAD}>{html.escape(name.replace('_', ' '))}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td {_style(value)}>{html.escape(_cell(value))}</td>" for value in row) + "</tr>"
        for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div style="overflow-x:auto">{table}</div>'


def _style(value: Any) -> str:
    return _LONG if len(_cell(value)) > LONG_CHARS else _CELL


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    text = f"{value:g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= CELL_CHARS else text[: CELL_CHARS - 1] + "…"
