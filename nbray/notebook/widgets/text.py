"""The facts as a few lines of plain text: for terminals, and beside every picture. Pure."""

from __future__ import annotations

from . import amounts, words
from .facts import DONE, FAILED, RUNNING, Facts, Group

MAX_GROUPS = 8
BAR_CHARS = 20


def line(facts: Facts) -> str:
    """Return what stands under a cell."""
    parts = []
    if facts.progress is not None and not facts.over:
        parts.append(_bar(facts.progress))
    parts.append(words.said(facts, ", "))
    head = " ".join(parts)
    if facts.usage is not None and not facts.over:
        head += "; " + ", ".join(f"{name} {figure}".strip() for name, figure in words.short_usage(facts.usage))
    if facts.hint and not facts.over:
        head += f"; {words.clean(facts.hint)}"
    if facts.at and not facts.over:
        head += f"; {words.as_of(facts)}"
    lines = [head]
    if not facts.over:
        lines += [f"  {words.SIGNS[FAILED]} {problem}" for problem in words.problems(facts)]
    if len(facts.groups) > 1:
        lines += _groups(facts)
    return "\n".join(lines)


def dashboard(facts: Facts) -> str:
    """Return what the dashboard says."""
    numbers = facts.counts()
    head = ", ".join(filter(None, [words.clean(facts.lead), words.resources(facts)]))
    lines = [head, "tasks: " + (", ".join(words.counts(numbers)) or "none yet")]
    lines += [f"  {words.SIGNS[FAILED]} {problem}" for problem in words.problems(facts)]
    lines += _groups(facts)
    if facts.usage is not None:
        lines.append(", ".join(f"{name} {figure}".strip() for name, figure in words.short_usage(facts.usage)))
    lines += map(words.clean, facts.phrases)
    return "\n".join(lines)


def _groups(facts: Facts) -> list[str]:
    chosen, rest = words.choose(facts.groups, MAX_GROUPS)
    shown = [facts.groups[index] for index in chosen]
    width = max((len(words.name_of(group)) for group in shown), default=0)
    lines = [
        f"  {words.SIGNS[words.main_state(group.counts)]} {words.name_of(group):<{width}}  {_progress(group)}"
        for group in shown
    ]
    return [*lines, f"  {rest}"] if rest else lines


def _progress(group: Group) -> str:
    parts = [f"{amounts.count(group.counts[DONE])} of {amounts.count(group.total)}"]
    parts += [part for part in words.counts(group.counts) if not part.endswith(" done")]
    if group.each_s is not None:
        parts.append(amounts.duration(group.each_s) + (" each" if group.over > 1 else ""))
    return ", ".join(parts)


def _bar(counts: tuple[int, ...]) -> str:
    total = max(sum(counts), 1)
    done = BAR_CHARS * (sum(counts[DONE:])) // total
    running = min(-(-BAR_CHARS * counts[RUNNING] // total), BAR_CHARS - done)
    return "█" * done + "▒" * running + "░" * (BAR_CHARS - done - running)
