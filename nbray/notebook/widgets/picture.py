"""The facts as HTML with pictures in it, and as one picture that stands alone. Pure.

The same facts always make the same text, all names are escaped, and what there is too much of is
counted instead of drawn: a dashboard stays under 60 KB.
"""

from __future__ import annotations

from collections.abc import Callable

from . import amounts, drawing, words
from .drawing import GPU_COLOUR, MEMORY_COLOUR, Piece
from .facts import CANCELLED, DONE, FAILED, N_STATES, RUNNING, Facts, Group, Usage
from .style import CLASS, HTML_STYLE, SVG_STYLE

LINE_GROUPS = 12  # drawn under a cell
DASHBOARD_GROUPS = 40
MAX_CHARS = 55_000  # of a dashboard; with less of a graph when names and edges are many
LISTED = 10  # functions in the list of the dashboard
BAR_PX = 220.0
NAME_PX, FIGURE_PX = 150.0, 190.0
ROW_PX = 22.0


def line(facts: Facts, beside_button: bool = False) -> str:
    """Return what stands under a cell; ``beside_button``: with room at the end of its first row, and without the hint."""
    hint = "" if beside_button or facts.over else facts.hint
    return wrap(_line_head(facts, hint) + _line_body(facts), "nb-stop" if beside_button else "")


def wrap(inner: str, more: str = "") -> str:
    """Return a whole piece of HTML; ``more``: classes."""
    return f'{HTML_STYLE}<div class="{CLASS}{more and " " + more}">{inner}</div>'


def _line_head(facts: Facts, hint: str) -> str:
    """Return its first row: the bar, what goes on, how the machine is used, what to do."""
    said = [_bold_number(facts.lead), *(words.escape(phrase) for phrase in facts.phrases)]
    parts = [f"<span>{' · '.join(filter(None, said))}</span>"]
    if facts.progress is not None and not facts.over:
        body = drawing.bar(0, 0, BAR_PX, 8, facts.progress, waiting=False)
        parts.insert(0, Piece(BAR_PX, 8, body).svg())
    else:
        parts = [f'<span class="nb-i">{drawing.sign(facts.state)}{parts[0]}</span>']
    if facts.usage is not None and not facts.over:
        parts += [
            f'<span><span class="nb-q">{name}</span> {_bold_number(figure)}</span>'
            for name, figure in words.short_usage(facts.usage)
        ]
    if hint:
        parts.append(f'<span class="nb-q">{words.escape(hint)}</span>')
    if facts.at and not facts.over:
        parts.append(f'<span class="nb-q nb-old">{words.as_of(facts)}</span>')
    return f'<div class="nb-row">{"".join(parts)}</div>'


def _line_body(facts: Facts) -> str:
    """Return the rest: what failed, and the graph when there is more than one group."""
    parts = [] if facts.over else [_problems(facts)]
    if len(facts.groups) > 1:
        parts.append(_graph(facts, LINE_GROUPS, detailed=False))
    return "".join(parts)


def _bounded(draw: Callable[[Facts, int], str], facts: Facts) -> str:
    """Draw with as many groups as fit."""
    for most in (DASHBOARD_GROUPS, 24, 12, 4):
        made = draw(facts, most)
        if len(made) <= MAX_CHARS:
            break
    return made


def dashboard(facts: Facts) -> str:
    """Return the whole cluster."""
    return _bounded(_dashboard, facts)


def dashboard_svg(facts: Facts) -> str:
    """Return the whole cluster as a picture of its own."""
    return _bounded(_dashboard_svg, facts)


def _dashboard(facts: Facts, most: int) -> str:
    head = f'<div class="nb-row nb-head"><span><b>{words.escape(facts.lead)}</b></span>'
    if facts.resources:
        head += f'<span class="nb-q">{words.escape(words.resources(facts))}</span>'
    head += "".join(
        f'<span class="nb-i">{drawing.sign(state)}<span>{figure} <span class="nb-q">{word}</span></span></span>'
        for state, figure, word in _legend(facts)
    )
    parts = [head + "</div>", _problems(facts)]
    if facts.groups:
        parts.append(_graph(facts, most, detailed=True))
    else:
        parts.append(
            '<div class="nb-q">No tasks yet: they appear with the first %%remote cell or .remote() call.</div>'
        )
    columns = []
    functions = _functions(facts)
    if functions:
        columns.append(f"<div>{_rows(functions).svg('progress by function')}</div>")
    if facts.usage is not None:
        columns.append(f"<div>{_rows(_usage(facts.usage)).svg('use of the machine')}</div>")
    parts.append(f'<div class="nb-two">{"".join(columns)}</div>')
    parts += [f'<div class="nb-q">{words.escape(phrase)}</div>' for phrase in facts.phrases]
    return wrap("".join(parts))


def line_svg(facts: Facts) -> str:
    """Return what stands under a cell as a picture of its own."""
    said = " · ".join(filter(None, [words.said(facts), words.as_of(facts)]))
    parts = [_signed(facts.state, said)]
    parts += [] if facts.over else [_signed(FAILED, problem) for problem in words.problems(facts)]
    if len(facts.groups) > 1:
        piece, rest = drawing.graph(facts.groups, facts.edges, LINE_GROUPS, detailed=False)
        parts += [piece, *([_plain(rest)] if rest else [])]
    return _alone(parts, said)


def _dashboard_svg(facts: Facts, most: int) -> str:
    parts = [
        _plain(" · ".join(filter(None, [words.clean(facts.lead), words.resources(facts)])), "b"),
        _legend_piece(facts),
    ]
    parts += [_signed(FAILED, problem) for problem in words.problems(facts)]
    piece, rest = drawing.graph(facts.groups, facts.edges, most, detailed=True)
    parts += [piece, *([_plain(rest)] if rest else [])]
    functions = _functions(facts)
    if functions:
        parts.append(_rows(functions))
    if facts.usage is not None:
        parts.append(_rows(_usage(facts.usage)))
    parts += [_plain(words.clean(phrase)) for phrase in facts.phrases]
    return _alone(parts, facts.lead)


def graph(facts: Facts) -> str:
    """Return the graph of all tasks alone."""
    return wrap(_graph(facts, LINE_GROUPS, detailed=True)) if facts.groups else ""


def gpus(usage: Usage) -> str:
    """Return how the GPUs were used over the last seconds, and by whom."""
    return wrap(_rows(_gpus(usage)).svg("use of the GPUs")) if usage.gpus else ""


# ------------------------------------------------------------------------ parts


def _bold_number(text: str) -> str:
    """Return a text whose first word is bold when it is a number."""
    text = words.clean(text)
    first, space, rest = text.partition(" ")
    if not first[:1].isdigit():
        return words.escape(text)
    if rest.startswith("%"):
        first, (_, space, rest) = first + " %", rest.partition(" ")
    return f"<b>{words.escape(first)}</b>{space}{words.escape(rest)}"


def _problems(facts: Facts) -> str:
    lines = words.problems(facts)
    if not lines:
        return ""
    rows = "".join(
        f'<div class="nb-i">{drawing.sign(FAILED)}<span>{words.escape(line)}</span></div><br>' for line in lines
    )
    return f'<div class="nb-bad">{rows.removesuffix("<br>")}</div>'


def _graph(facts: Facts, most: int, detailed: bool) -> str:
    piece, rest = drawing.graph(facts.groups, facts.edges, most, detailed)
    label = "task graph: " + "; ".join(words.sentence(group) for group in facts.groups[:LISTED])
    more = f'<div class="nb-q">{words.escape(rest)}</div>' if rest else ""
    return f'<div class="nb-wide">{piece.svg(label)}</div>{more}'


def _legend(facts: Facts) -> list[tuple[int, str, str]]:
    """Return (state, count, word) of all states; cancelled only where something was."""
    numbers = facts.counts()
    return [
        (state, amounts.count(numbers[state]), words.STATE_WORDS[state][numbers[state] != 1])
        for state in range(N_STATES)
        if numbers[state] or state != CANCELLED
    ]


def _legend_piece(facts: Facts) -> Piece:
    x, body = 0.0, ""
    for state, figure, word in _legend(facts):
        label = f"{figure} {word}"
        body += drawing.shape(state, x + 6, 9, 4.2) + drawing.text(x + 15, 13, label)
        x += drawing.text_width(label) + 30
    return Piece(x, 20, body)


def _functions(facts: Facts) -> list[tuple[str, Piece, str]]:
    """Return (name, bar, figures) of the functions, what is not done first."""
    own = [group for group in facts.groups if group.own]

    def rank(group: Group) -> tuple[bool, bool]:
        return not group.counts[FAILED], group.total <= group.over

    rows = []
    for group in sorted(own, key=rank)[:LISTED]:
        figures = f"{amounts.count(group.counts[DONE])} of {amounts.count(group.total)}"
        if group.each_s is not None:
            figures += f" · {amounts.duration(group.each_s)}" + (" each" if group.over > 1 else "")
        rows.append((words.name_of(group), Piece(120, 20, drawing.bar(0, 7, 120, 6, group.counts)), figures))
    return rows


def _usage(usage: Usage) -> list[tuple[str, Piece, str]]:
    rows = [
        (
            "CPU",
            drawing.curve(usage.cpu_history, RUNNING),
            f"{amounts.percent(usage.cpu)} of {amounts.units(usage.cpus, 'CPU')}",
        )
    ]
    memory = amounts.size_of(usage.memory_used, usage.memory_total)
    rows.append(("memory", drawing.curve(usage.memory_history, MEMORY_COLOUR), memory))
    store = amounts.size_of(usage.store_used, usage.store_total)
    rows.append(("object store", drawing.curve(usage.store_history, DONE), store))
    return rows + _gpus(usage)


def _gpus(usage: Usage) -> list[tuple[str, Piece, str]]:
    rows: list[tuple[str, Piece, str]] = []
    for one in usage.gpus[: words.MAX_GPUS]:
        share = one.used / max(one.total, 1)
        history = one.history if one.busy is not None else ()
        rows.append((f"GPU {one.index}", drawing.curve(history, GPU_COLOUR), words.gpu(one)))
        for name, used in one.users[: words.MAX_USERS]:
            share = max(used, 0) / max(one.total, 1)
            figure = amounts.size(used) if used >= 0 else "memory not told"
            label = "· " + (words.clean(name, words.MAX_NAME - 6) or "another program")
            rows.append((label, drawing.meter(share, GPU_COLOUR), figure))
        more = len(one.users) - words.MAX_USERS
        if more > 0:
            rows.append((f"· and {more} more", drawing.meter(0, GPU_COLOUR), ""))
    if len(usage.gpus) > words.MAX_GPUS:
        rows.append((f"{len(usage.gpus) - words.MAX_GPUS} more GPUs", drawing.curve((), GPU_COLOUR), ""))
    return rows


def _rows(rows: list[tuple[str, Piece, str]]) -> Piece:
    """Return names, pictures and figures in three columns."""
    names = max(drawing.text_width(name) for name, _, _ in rows) + 12
    names = min(max(names, 70.0), NAME_PX + 60)
    figures = max(drawing.text_width(figure) for _, _, figure in rows)
    middle = max(piece.width for _, piece, _ in rows)
    body = ""
    for index, (name, piece, figure) in enumerate(rows):
        y = index * ROW_PX
        body += (
            drawing.text(0, y + 14, name, "q" if name.startswith("·") else "")
            + f'<g transform="translate({drawing.number(names)} {drawing.number(y)})">{piece.body}</g>'
            + drawing.text(names + middle + 12, y + 14, figure, "q")
        )
    return Piece(names + middle + 12 + figures, len(rows) * ROW_PX, body)


def _plain(said: str, kind: str = "q") -> Piece:
    return Piece(drawing.text_width(said) * 1.06, 18, drawing.text(0, 13, said, kind))


def _signed(state: int, said: str) -> Piece:
    return Piece(
        drawing.text_width(said) + 16, 18, drawing.shape(state, 5.5, 9, 4.2) + drawing.text(16, 13, said)
    )  # fmt: skip


def _alone(parts: list[Piece], label: str) -> str:
    """Return pieces one below the other as a document."""
    y, body = 6.0, ""
    for piece in parts:
        body += f'<g transform="translate(8 {drawing.number(y)})">{piece.body}</g>'
        y += piece.height + 6
    width, height = drawing.number(max(piece.width for piece in parts) + 16), drawing.number(y)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{CLASS}" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="img" aria-label="{words.escape(label)}">'
        f"{SVG_STYLE}{body}</svg>"
    )
