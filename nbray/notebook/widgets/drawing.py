"""The parts of the pictures as SVG: shapes, bars, curves, and the graph of the groups. Pure."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from . import layout, words
from .facts import BAR_ORDER, CANCELLED, DONE, FAILED, INPUT, PLACE, RUNNING, Edge, Group
from .style import LIGHT

GPU_COLOUR, MEMORY_COLOUR = 6, 7  # beside those of the states
MAX_EDGES = 100
BOLD = 1.13  # how much wider letters are
_NARROW, _WIDE = set("iljtfrI.,:;|!'()[] "), set("mwMW@%×→…")


@dataclass(slots=True)
class Piece:
    """SVG elements in a box whose left upper corner is 0, 0."""

    width: float
    height: float
    body: str

    def svg(self, label: str = "") -> str:
        """Return it as an element of HTML."""
        about = f' role="img" aria-label="{words.escape(label)}"' if label else ' aria-hidden="true"'
        width, height = number(math.ceil(self.width)), number(math.ceil(self.height))
        return f'<svg width="{width}" height="{height}"{about}>{self.body}</svg>'


def number(value: float) -> str:
    """Return a coordinate as short as it can be."""
    return f"{value:.1f}".removesuffix(".0")


def text_width(text: str, size: float = 11.0) -> float:
    """Return about how wide a text is; fonts differ, so it is a little more than most need."""
    width = 0.0
    for char in text:
        if char in _NARROW:
            width += 0.34
        elif char in _WIDE:
            width += 0.92
        elif ord(char) > 0x2E7F:
            width += 1.1
        else:
            width += 0.72 if char.isupper() else 0.59
    return width * size


def text(x: float, y: float, content: str, kind: str = "") -> str:
    """Return a text; ``kind``: classes of style.py."""
    classes = f' class="{kind}"' if kind else ""
    return f'<text x="{number(x)}" y="{number(y)}"{classes}>{words.escape(content)}</text>'


def shape(state: int, x: float, y: float, r: float = 3.6) -> str:
    """Return the shape of a state around a point."""
    cx, cy = number(x), number(y)
    if state == RUNNING:
        left, right = number(x - 0.8 * r), number(x + r)
        return f'<path class="s{state}" d="M{left} {number(y - r)}L{right} {cy}L{left} {number(y + r)}Z"/>'
    if state == DONE:
        return f'<circle class="s{state}" cx="{cx}" cy="{cy}" r="{number(r)}"/>'
    if state == FAILED:
        d = 0.8 * r
        a, b, c, e = number(x - d), number(x + d), number(y - d), number(y + d)
        return f'<path class="t{state}" style="stroke-width:2" d="M{a} {c}L{b} {e}M{b} {c}L{a} {e}"/>'
    ring = f'<circle class="t{state}" cx="{cx}" cy="{cy}" r="{number(0.86 * r)}"'
    if state == INPUT:
        return ring + ' stroke-dasharray="1.8 1.3"/>'
    if state == CANCELLED:
        d = 0.6 * r
        slash = f"M{number(x - d)} {number(y + d)}L{number(x + d)} {number(y - d)}"
        return f'{ring}/><path class="t{state}" d="{slash}"/>'
    assert state == PLACE
    return ring + "/>"


def sign(state: int) -> str:
    """Return the shape of a state as an element of HTML, as high as a word."""
    return Piece(11, 11, shape(state, 5.5, 5.5, 4.2)).svg()


_VARIABLES = ("--nbray-wait", "--nbray-queue", "--nbray-run", "--nbray-done", "--nbray-fail", "--nbray-cancelled")


def sign_alone(state: int) -> str:
    """Return the shape of a state for HTML that brings no style along; the panel's colours where it is there."""
    colour = f"var({_VARIABLES[state]},{LIGHT[state]})"
    body = shape(state, 5.5, 5.5, 4.2).replace(' style="stroke-width:2"', "")
    body = body.replace(f'class="s{state}"', f'style="fill:{colour}"')
    width = 2 if state == FAILED else 1.5
    body = body.replace(f'class="t{state}"', f'style="fill:none;stroke:{colour};stroke-width:{width}"')
    return f'<svg width="11" height="11" style="flex:none;overflow:visible" aria-hidden="true">{body}</svg>'


def bar(x: float, y: float, width: float, height: float, counts: Sequence[int], waiting: bool = True) -> str:
    """Return a bar of states, what is over at its left; ``waiting``: colour what has not begun, too."""
    parts = [f'<rect class="o" x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"/>']
    total = sum(counts)
    shown = [state for state in BAR_ORDER if counts[state] and (waiting or state not in (PLACE, INPUT))]
    widths = {state: max(width * counts[state] / total, 2.0) for state in shown}
    excess = sum(widths.values()) - width
    if shown and excess > 0:
        widest = max(shown, key=lambda state: widths[state])
        widths[widest] = max(widths[widest] - excess, 1.0)
    at = x
    for state in shown:
        parts.append(
            f'<rect class="s{state}" x="{number(at)}" y="{number(y)}" width="{number(widths[state])}"'
            f' height="{number(height)}"/>'
        )
        at += widths[state]
    return "".join(parts)


def curve(values: Sequence[float], colour: int, width: float = 120.0, height: float = 20.0, most: int = 60) -> Piece:
    """Return how a share went over time, the newest at the right."""
    return _curve(tuple(values[-most:]), colour, width, height, most)


@functools.lru_cache(maxsize=64)  # each is drawn twice, for HTML and as a picture
def _curve(shares: tuple[float, ...], colour: int, width: float, height: float, most: int) -> Piece:
    values = [min(max(value, 0.0), 1.0) for value in shares]
    body = f'<path class="e" d="M0 {number(height - 0.5)}H{number(width)}"/>'
    if len(values) > 1:
        step = width / (most - 1)
        left = width - step * (len(values) - 1)
        line = "L".join(
            f"{number(left + step * i)} {number(height - 1 - value * (height - 2))}" for i, value in enumerate(values)
        )
        area = f"M{number(left)} {number(height)}L{line}L{number(width)} {number(height)}Z"
        body += f'<path class="s{colour} a" d="{area}"/><path class="t{colour}" style="stroke-width:1.2" d="M{line}"/>'
    return Piece(width, height, body)


def meter(share: float, colour: int, width: float = 120.0, height: float = 20.0) -> Piece:
    """Return a share as a bar."""
    filled = width * min(max(share, 0.0), 1.0)
    y = number(height / 2 - 3)
    return Piece(
        width, height,
        f'<rect class="o" y="{y}" width="{number(width)}" height="6"/>'
        f'<rect class="s{colour}" y="{y}" width="{number(filled)}" height="6"/>',
    )  # fmt: skip


def graph(groups: list[Group], edges: list[Edge], most: int, detailed: bool) -> tuple[Piece, str]:
    """Draw the groups and what goes between them; returns what to say of those that are left out, too.

    Parameters
    ----------
    most
        Groups that are drawn.
    detailed
        Whether a card has a line below its name.
    """
    chosen, rest = words.choose(groups, most)
    place_of = {index: place for place, index in enumerate(chosen)}
    drawn = [groups[index] for index in chosen]
    kept = [edge for edge in edges if edge.source in place_of and edge.target in place_of]
    kept = sorted(kept, key=lambda edge: (-edge.count, edge.source, edge.target))[:MAX_EDGES]
    kept.sort(key=lambda edge: (edge.source, edge.target, edge.starts))
    sizes = [_card_size(group, detailed) for group in drawn]
    placed = layout.place(sizes, [(place_of[edge.source], place_of[edge.target]) for edge in kept])
    body, below = [], 0.0
    for edge, route in zip(kept, placed.routes, strict=True):
        if route:
            body.append(_edge(edge, route))
        else:
            below = 16.0
            body.append(_edge_back(edge, place_of, placed.corners, sizes))
    if body:  # where many go the same way they are no darker than one
        body = [f'<g class="w">{"".join(body)}</g>']
    for group, corner, size in zip(drawn, placed.corners, sizes, strict=True):
        body.append(_card(group, corner, size, detailed))
    return Piece(
        placed.width + 2, placed.height + 2 + below, f'<g transform="translate(1 1)">{"".join(body)}</g>'
    ), rest


def _card_size(group: Group, detailed: bool) -> tuple[float, float]:
    label = words.name_of(group) if detailed else words.counted(group)
    width = text_width(label) * (BOLD if detailed else 1.0) + 28
    if detailed:
        width = max(width, text_width(words.about(group)) + 18, 96)
    return max(width, 60.0), 44.0 if detailed else 27.0


def _card(group: Group, corner: tuple[float, float], size: tuple[float, float], detailed: bool) -> str:
    (x, y), (width, height) = corner, size
    state = words.main_state(group.counts)
    border = f' style="stroke:var(--nb{state});stroke-opacity:.9"' if group.own and state in (RUNNING, FAILED) else ""
    label = words.name_of(group) if detailed else words.counted(group)
    parts = [
        "<g>" if group.own else '<g opacity=".75">',
        f"<title>{words.escape(words.sentence(group))}</title>",
        f'<rect class="k" x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}" rx="5"{border}/>',
        shape(state, x + 12, y + (12 if detailed else 10.5)),
        text(x + 20, y + (16 if detailed else 14.5), label, "b" if detailed else ""),
    ]
    if detailed:
        parts.append(text(x + 9, y + 30, words.about(group), "q"))
    parts.append(bar(x + 9, y + height - (9 if detailed else 8), width - 18, 4, group.counts))
    return "".join(parts) + "</g>"


def _line_style(edge: Edge) -> str:
    if edge.starts:
        return ' stroke-dasharray="4 3"'
    return f' stroke-width="{number(1 + min(3.0, math.log10(max(edge.count, 1)) * 1.2))}"'


def _edge(edge: Edge, route: list[tuple[float, float]]) -> str:
    """Return a line that turns only between columns."""
    way = f"M{number(route[0][0])} {number(route[0][1])}"
    for (x1, y1), (x2, y2) in itertools.pairwise(route):
        if abs(y1 - y2) < 0.5:
            way += f"L{number(x2)} {number(y2)}"
        else:
            middle = number((x1 + x2) / 2)
            way += f"C{middle} {number(y1)} {middle} {number(y2)} {number(x2)} {number(y2)}"
    return f'<path class="e" d="{way}"{_line_style(edge)}/>'


def _edge_back(
    edge: Edge, place_of: dict[int, int], corners: list[tuple[float, float]], sizes: list[tuple[float, float]]
) -> str:
    """Return a line below two cards, for what goes back to an earlier one."""
    ends = []
    for index in (edge.source, edge.target):
        (x, y), (width, height) = corners[place_of[index]], sizes[place_of[index]]
        ends.append((x + width / 2, y + height))
    (x1, y1), (x2, y2) = ends
    low = number(max(y1, y2) + 18)
    way = f"M{number(x1)} {number(y1)}C{number(x1)} {low} {number(x2)} {low} {number(x2)} {number(y2)}"
    return f'<path class="e" d="{way}"{_line_style(edge)}/>'
