"""Turn measured values into a table for the terminal, a JSON file and a Markdown page."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

from .table import CASES, ratio_of, show, verdict

HEADINGS = ("case", "nbray", "Ray 2.60", "ratio", "target", "verdict")


def summarize(values: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, Any]]:
    """Medians over the rounds, ratios and verdicts; `values` is library -> case -> one value per round."""
    summary = {}
    for case in CASES:
        sides = {library: measured[case.key] for library, measured in values.items() if measured.get(case.key)}
        if not sides:
            continue
        medians = {library: statistics.median(rounds) for library, rounds in sides.items()}
        nbray, ray = medians.get("nbray"), medians.get("ray")
        summary[case.key] = {
            "title": case.title,
            "unit": "bytes" if case.unit == "MB" else "times memcpy" if case.unit == "share" else "seconds",
            "medians": medians,
            "rounds": sides,
            "ratio": ratio_of(case, nbray, ray),
            "target_ratio": case.ratio,
            "limit": case.limit_text,
            "verdict": verdict(case, nbray, ray),
        }
    return summary


def rows(summary: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    """The table, one row per case measured."""
    table = []
    for case in CASES:
        if case.key not in summary:
            continue
        line = summary[case.key]
        medians = line["medians"]
        target = " and ".join(([f"{case.ratio:g}x"] if case.ratio else []) + ([case.limit_text] if case.limit else []))
        ratio = line["ratio"]
        table.append(
            (
                case.title,
                show(medians.get("nbray"), case.unit),
                show(medians.get("ray"), case.unit),
                "-" if ratio is None else f"{ratio:.1f}x" if ratio < 100 else f"{ratio:.0f}x",
                target or "-",
                line["verdict"],
            )
        )
    return table


def as_text(summary: dict[str, dict[str, Any]]) -> str:
    table = [HEADINGS, *rows(summary)]
    widths = [max(len(row[i]) for row in table) for i in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )


def as_markdown(summary: dict[str, dict[str, Any]], about: dict[str, Any], notes: dict[str, str]) -> str:
    lines = [
        "# nbray and Ray, measured in turn",
        "",
        f"{about['date']}, {about['machine']}, Python {about['python']}, nbray {about['nbray']}, Ray {about['ray']}; "
        f"medians over {about['rounds']} rounds, each round a fresh interpreter and cluster per library, one after the "
        "other; 2 CPUs; events, reference counts and retries on. Ratio: how many times better than Ray. "
        "Made by `python -m tests.benchmarks`.",
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|" + "---|" * len(HEADINGS),
    ]
    lines += ["| " + " | ".join(row) + " |" for row in rows(summary)]
    if about.get("load"):
        lines += ["", f"Load of the machine when the run began: {about['load']}."]
    few = [
        case for case in CASES if case.ray_rounds is not None and "ray" in summary.get(case.key, {}).get("rounds", {})
    ]
    if few:
        rounds = ", ".join(f"{case.title} ({len(summary[case.key]['rounds']['ray'])})" for case in few)
        lines += ["", f"Ray takes minutes for some, and was measured in fewer rounds: {rounds}."]
    told = [(summary[key]["title"], text) for key, text in notes.items() if key in summary]
    if told:
        lines += ["", "## Where the time goes", "", *[f"- {title}: {text}" for title, text in told]]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Processor, cores, memory and kernel, in one line."""
    model = "unknown processor"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {len(os.sched_getaffinity(0))} CPUs, {gib:.0f} GiB, Linux {platform.release()}"


def load() -> float:
    """Return the load of the machine before a measurement, and say so where it is not quiet."""
    found = os.getloadavg()[0]
    if found > 0.5:
        print(f"The machine is not quiet (load {found:.1f}): the figures will be worse than they are.", file=sys.stderr)
    return found


def write(folder: Path, name: str, summary: dict[str, Any], about: dict[str, Any]) -> list[Path]:
    """Write NAME.json and results.md into `folder`; notes.json there says where the time of a case goes."""
    folder.mkdir(parents=True, exist_ok=True)
    notes_file = folder / "notes.json"
    notes = json.loads(notes_file.read_text()) if notes_file.exists() else {}
    data, page = folder / f"{name}.json", folder / "results.md"
    data.write_text(json.dumps({"about": about, "cases": summary}, indent=1) + "\n")
    page.write_text(as_markdown(summary, about, notes))
    return [data, page]
