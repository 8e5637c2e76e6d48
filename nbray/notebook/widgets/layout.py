"""Where the groups of a small graph stand: columns by longest path, rows by neighbours. Pure.

Sugiyama's method in its plainest form: edges that would close a circle are left out, ranks are
longest paths, an edge over several columns gets a dummy in each, and two sweeps order the columns
by the mean height of what a node is connected with. What gets wider than the page goes on in the next row, as text does.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

COLUMN_GAP = 38.0
ROW_GAP = 10.0
PART_GAP = 14.0  # beside what is connected with nothing
DUMMY = 8.0  # height of a lane for an edge that passes
BAND_GAP = 26.0  # between two rows of columns, with room for the way from one to the next
MARGIN = 12.0  # beside rows of columns, for the same
MAX_LONG_EDGES = 60  # beyond these, edges over several columns go straight

Point = tuple[float, float]


@dataclass(slots=True)
class Placed:
    """A layout: left upper corners of the nodes, the points of each edge (empty: it goes back), and the size."""

    corners: list[Point] = field(default_factory=list)
    routes: list[list[Point]] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


class _Node:
    __slots__ = ("after", "before", "height", "rank", "width", "x", "y")

    def __init__(self, width: float, height: float, rank: int) -> None:
        self.width, self.height, self.rank = width, height, rank
        self.x = self.y = 0.0
        self.before: list[int] = []
        self.after: list[int] = []


def place(sizes: list[tuple[float, float]], edges: list[tuple[int, int]], width: float = 780.0) -> Placed:
    """Return where nodes of these sizes stand, and the ways of the edges between them.

    What is not connected stands side by side, in rows of about ``width``; columns of what is wider go on below.
    """
    placed = Placed([(0.0, 0.0)] * len(sizes), [[] for _ in edges])
    left = top = low = 0.0
    for nodes in _components(len(sizes), edges):
        number = {node: index for index, node in enumerate(nodes)}
        mine = [index for index, (source, _) in enumerate(edges) if source in number]
        part = _place(
            [sizes[node] for node in nodes], [(number[edges[i][0]], number[edges[i][1]]) for i in mine], width
        )
        if left and left + part.width > width:
            left, top = 0.0, low + ROW_GAP
        for node, (x, y) in zip(nodes, part.corners, strict=True):
            placed.corners[node] = (left + x, top + y)
        for index, route in zip(mine, part.routes, strict=True):
            placed.routes[index] = [(left + x, top + y) for x, y in route]
        placed.width = max(placed.width, left + part.width)
        low = max(low, top + part.height)
        left += part.width + (COLUMN_GAP if len(nodes) > 1 else PART_GAP)
    placed.height = low
    return placed


def _components(n: int, edges: list[tuple[int, int]]) -> list[list[int]]:
    """Return the nodes that are connected with each other; larger parts first, else in the order of the nodes."""
    found = list(range(n))

    def first(node: int) -> int:
        while found[node] != node:
            found[node] = found[found[node]]
            node = found[node]
        return node

    for source, target in edges:
        one, other = sorted((first(source), first(target)))
        found[other] = one
    parts: dict[int, list[int]] = {}
    for node in range(n):
        parts.setdefault(first(node), []).append(node)
    return sorted(parts.values(), key=lambda part: len(part) == 1)


def _place(sizes: list[tuple[float, float]], edges: list[tuple[int, int]], most: float) -> Placed:
    forward = _without_circles(len(sizes), edges)
    ranks = _ranks(len(sizes), [edge for edge, ok in zip(edges, forward, strict=True) if ok])
    nodes = [_Node(width, height, rank) for (width, height), rank in zip(sizes, ranks, strict=True)]
    ways: list[list[int]] = []  # nodes and dummies along each edge
    n_long = 0
    for (source, target), ok in zip(edges, forward, strict=True):
        way = [source]
        if ok:
            span = range(nodes[source].rank + 1, nodes[target].rank)
            n_long += bool(span)
            for rank in span if n_long <= MAX_LONG_EDGES else ():
                nodes.append(_Node(0.0, DUMMY, rank))
                way.append(len(nodes) - 1)
            way.append(target)
            for one, other in itertools.pairwise(way):
                nodes[one].after.append(other)
                nodes[other].before.append(one)
        ways.append(way)
    columns = _columns(nodes)
    width = _set_x(nodes, columns)
    _set_y(nodes, columns)
    widths = [max((nodes[i].width for i in column), default=0.0) for column in columns]
    bands = _fold(nodes, columns, widths, most)
    if len(bands) > 1:
        width = max(band.right for band in bands) + MARGIN
    placed = Placed(width=width, height=max((node.y + node.height for node in nodes), default=0.0))
    placed.corners = [(node.x, node.y) for node in nodes[: len(sizes)]]
    for way in ways:
        placed.routes.append(_route(nodes, way, widths, bands) if len(way) > 1 else [])
    return placed


@dataclass(slots=True)
class _Band:
    """A row of columns: those from ``first`` to before ``end``, how far it goes to the right and down."""

    first: int
    end: int
    right: float = 0.0
    low: float = 0.0


def _fold(nodes: list[_Node], columns: list[list[int]], widths: list[float], most: float) -> list[_Band]:
    """Put columns into rows of about ``most``, one below the other, from 0, 0."""
    bands = [_Band(0, 0)]
    used = 0.0
    for rank, width in enumerate(widths):
        if used and used + width > most:
            bands.append(_Band(rank, rank))
            used = 0.0
        bands[-1].end = rank + 1
        used += width + COLUMN_GAP
    low = 0.0
    for band in bands:
        mine = [nodes[index] for column in columns[band.first : band.end] for index in column]
        left, top = min((node.x for node in mine), default=0.0), min((node.y for node in mine), default=0.0)
        for node in mine:
            node.x += (MARGIN if len(bands) > 1 else 0.0) - left
            node.y += low - top
            band.right = max(band.right, node.x + node.width)
            band.low = max(band.low, node.y + node.height)
        low = band.low + BAND_GAP
    return bands


def _without_circles(n: int, edges: list[tuple[int, int]]) -> list[bool]:
    """Tell of each edge whether it may count: not when those before it lead back."""
    after: list[list[int]] = [[] for _ in range(n)]

    def reaches(start: int, goal: int) -> bool:
        seen, todo = {start}, [start]
        while todo:
            node = todo.pop()
            if node == goal:
                return True
            for following in after[node]:
                if following not in seen:
                    seen.add(following)
                    todo.append(following)
        return False

    kept = []
    for source, target in edges:
        ok = source != target and not reaches(target, source)
        if ok:
            after[source].append(target)
        kept.append(ok)
    return kept


def _ranks(n: int, edges: list[tuple[int, int]]) -> list[int]:
    ranks = [0] * n
    for _ in range(n):
        again = False
        for source, target in edges:
            if ranks[target] <= ranks[source]:
                ranks[target] = ranks[source] + 1
                again = True
        if not again:
            break
    return ranks


def _columns(nodes: list[_Node]) -> list[list[int]]:
    columns: list[list[int]] = [[] for _ in range(max((node.rank for node in nodes), default=-1) + 1)]
    for index, node in enumerate(nodes):
        columns[node.rank].append(index)
    return columns


def _set_x(nodes: list[_Node], columns: list[list[int]]) -> float:
    left = 0.0
    for column in columns:
        for index in column:
            nodes[index].x = left
        left += max((nodes[index].width for index in column), default=0.0) + COLUMN_GAP
    return max(left - COLUMN_GAP, 0.0)


def _set_y(nodes: list[_Node], columns: list[list[int]]) -> None:
    def middle(index: int) -> float:
        return nodes[index].y + nodes[index].height / 2

    def wish(index: int, neighbours: list[int]) -> float:
        if not neighbours:
            return middle(index)
        return sum(map(middle, neighbours)) / len(neighbours)

    def stack(column: list[int], wishes: dict[int, float]) -> None:
        """Put a column in the order of its wishes, each as near to its own as those above allow; then centre it."""
        column.sort(key=lambda index: (wishes[index], index))
        floor, moved = float("-inf"), 0.0
        for index in column:
            node = nodes[index]
            node.y = max(wishes[index] - node.height / 2, floor)
            floor = node.y + node.height + ROW_GAP
            moved += middle(index) - wishes[index]
        shift = moved / len(column) if column else 0.0
        for index in column:
            nodes[index].y -= shift

    for column in columns:
        floor = 0.0
        for index in column:
            nodes[index].y = floor
            floor += nodes[index].height + ROW_GAP
    for column in columns[1:]:
        stack(column, {index: wish(index, nodes[index].before) for index in column})
    for column in reversed(columns[:-1]):
        stack(column, {index: wish(index, nodes[index].after) for index in column})
    for column in columns[1:]:
        stack(column, {index: wish(index, nodes[index].before) for index in column})


def _route(nodes: list[_Node], way: list[int], widths: list[float], bands: list[_Band]) -> list[Point]:
    """Return the points of an edge: from the right side of a node to the left one of another, past those between."""
    first, last = nodes[way[0]], nodes[way[-1]]
    points = [(first.x + first.width, first.y + first.height / 2)]
    if first.width < widths[first.rank]:
        points.append((first.x + widths[first.rank], points[0][1]))
    band = _band_of(first.rank, bands)
    for index in way[1:]:
        node = nodes[index]
        y = node.y + node.height / 2
        if node.rank >= band.end:  # around the end of the row, and below it back to its begin
            right, below = band.right + MARGIN, band.low + BAND_GAP / 2
            points += [(right, points[-1][1]), (right, below), (MARGIN / 3, below), (MARGIN / 3, y)]
            band = _band_of(node.rank, bands)
        points.append((node.x, y))
        if node is not last:
            points.append((node.x + widths[node.rank], y))
    return points


def _band_of(rank: int, bands: list[_Band]) -> _Band:
    return next(band for band in bands if band.first <= rank < band.end)
