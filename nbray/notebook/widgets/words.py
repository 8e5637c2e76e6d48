"""What the widgets say, for HTML, SVG and plain text alike. Pure."""

from __future__ import annotations

import html

from . import amounts
from .facts import CANCELLED, DONE, FAILED, INPUT, PLACE, RUNNING, Facts, Gpu, Group, Usage

MAX_NAME = 28  # characters of a name
MAX_WHOLE_NAME = 80  # the same where there is room for it
MAX_LINE = 160  # characters of a message
MAX_LABEL = 600  # characters of a description for a screen reader
MAX_PROBLEMS = 5
MAX_GPUS = 8
MAX_USERS = 3  # of one GPU, by name

#: (beside one task, beside several) by state.
STATE_WORDS = {
    INPUT: ("waits for input", "wait for input"),
    PLACE: ("waits for a place", "wait for a place"),
    RUNNING: ("runs", "run"),
    DONE: ("done", "done"),
    FAILED: ("failed", "failed"),
    CANCELLED: ("cancelled", "cancelled"),
}
SIGNS = {INPUT: "◌", PLACE: "○", RUNNING: "▶", DONE: "●", FAILED: "✕", CANCELLED: "⊘"}


def clean(text: str, limit: int = MAX_LINE) -> str:
    """Return a text of somebody else in one line, without what cannot be shown, and not too long."""
    text = " ".join(text[: 20 * limit].split())
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def escape(text: str) -> str:
    """Return any text as it stands in HTML and XML, also between quotes."""
    return html.escape(clean(text, MAX_LABEL))


def said(facts: Facts, between: str = " · ") -> str:
    """Return what is said first, and what follows."""
    return between.join(clean(part) for part in (facts.lead, *facts.phrases) if part)


def as_of(facts: Facts) -> str:
    """Return when that was of which nobody may tell any more how it went on."""
    return f"as of {clean(facts.at)}" if facts.at and not facts.over else ""


def name_of(group: Group) -> str:
    """Return the name on a group's card."""
    return clean(group.name, MAX_NAME) or "task"


def counted(group: Group) -> str:
    """Return its name and how many tasks it has: ``evaluate ×400``."""
    return f"{name_of(group)} ×{amounts.count(group.total)}" if group.total > 1 else name_of(group)


def about(group: Group) -> str:
    """Return what stands below its name: ``400 · cell 12 · 38 ms each``, ``cell 13 · 1.2 s``."""
    parts = [amounts.count(group.total)] if group.total > 1 else []
    if group.cell and name_of(group) != f"cell {group.cell}":
        parts.append(f"cell {group.cell}")
    if group.each_s is not None:
        parts.append(amounts.duration(group.each_s) + (" each" if group.over > 1 else ""))
    return " · ".join(parts or [amounts.noun(group.total, "task")])


def counts(numbers: tuple[int, ...]) -> list[str]:
    """Return the counts that are not zero, each with its word."""
    order = (FAILED, RUNNING, PLACE, INPUT, DONE, CANCELLED)
    return [f"{amounts.count(numbers[s])} {STATE_WORDS[s][numbers[s] != 1]}" for s in order if numbers[s]]


def sentence(group: Group) -> str:
    """Return a group in words, for who cannot see it: ``evaluate, 400 tasks, 2 run, 90 done``."""
    return ", ".join(
        [clean(group.name, MAX_WHOLE_NAME) or "task", amounts.noun(group.total, "task"), *counts(group.counts)]
    )


def main_state(numbers: tuple[int, ...]) -> int:
    """Return the state whose shape stands for a group: what is wrong, else what goes on."""
    for state in (FAILED, RUNNING, PLACE, INPUT, CANCELLED):
        if numbers[state]:
            return state
    return DONE


def gpu(one: Gpu) -> str:
    """Return a GPU in figures: ``91 % · 31 of 80 GB``."""
    memory = amounts.size_of(one.used, one.total)
    return memory if one.busy is None else f"{amounts.percent(one.busy)} · {memory}"


def gpu_users(one: Gpu) -> str:
    """Return who uses a GPU: ``train 12 GB, others 3.0 GB``."""
    parts = [
        f"{clean(name, MAX_NAME) or 'another program'}{f' {amounts.size(used)}' if used >= 0 else ''}"
        for name, used in one.users[:MAX_USERS]
    ]
    more = len(one.users) - MAX_USERS
    return ", ".join(parts) + (f" and {more} more" if more > 0 else "")


def short_usage(usage: Usage) -> list[tuple[str, str]]:
    """Return the machine's use as (name, figure), GPUs last."""
    parts = [("CPU", amounts.percent(usage.cpu))]
    if usage.memory_total:
        parts.append(("memory", amounts.percent(usage.memory_used / usage.memory_total)))
    if usage.store_total and usage.store_used >= 0.01 * usage.store_total:
        parts.append(("store", amounts.percent(usage.store_used / usage.store_total)))
    for one in usage.gpus[:MAX_GPUS]:
        users = gpu_users(one)
        parts.append((f"GPU {one.index}", gpu(one) + (f" · {users}" if users else "")))
    if len(usage.gpus) > MAX_GPUS:
        parts.append((f"{len(usage.gpus) - MAX_GPUS} more GPUs", ""))
    return parts


def resources(facts: Facts) -> str:
    """Return what the cluster has: ``2 of 2 CPUs · 0 of 1 GPU in use``."""
    parts = [
        f"{amounts.amount(used)} of {amounts.units(total, clean(name, MAX_NAME))}"
        for name, used, total in facts.resources
    ]
    return " · ".join(parts) + (" in use" if parts else "")


def problems(facts: Facts) -> list[str]:
    """Return what failed, a line each, and how much more did."""
    lines = []
    for one in facts.problems[:MAX_PROBLEMS]:
        where = f" (cell {one.cell})" if one.cell and one.name != f"cell {one.cell}" else ""
        many = f" ×{amounts.count(one.count)}" if one.count > 1 else ""
        lines.append(f"{clean(one.name, MAX_NAME)}{many}{where}: {clean(one.message)}")
    more = facts.counts()[FAILED] - sum(one.count for one in facts.problems[:MAX_PROBLEMS])
    if more > 0:
        lines.append(f"{amounts.count(more)} more failed" if lines else amounts.noun(more, "task") + " failed")
    return lines


def choose(groups: list[Group], most: int) -> tuple[list[int], str]:
    """Return which groups to draw, by index, and what to say of the others."""
    if len(groups) <= most:
        return list(range(len(groups))), ""

    def rank(index: int) -> tuple[bool, bool, bool, int, int]:
        one = groups[index]
        alive = one.total > one.over
        return not one.counts[FAILED], not one.own, not alive, -one.total, index

    chosen = sorted(sorted(range(len(groups)), key=rank)[:most])
    left = set(range(len(groups))).difference(chosen)
    tasks = sum(groups[index].total for index in left)
    return chosen, f"and {amounts.noun(len(left), 'more function')} with {amounts.noun(tasks, 'task')}"
