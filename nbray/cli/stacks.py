"""``nbray stack``: what the threads of drivers and workers do now."""

from __future__ import annotations

import argparse

from nbray.core import cluster_view, stack_dump
from nbray.util.state import collect
from nbray.util.state.tables import rule


def stack(given: argparse.Namespace) -> int:
    """Show the stacks of all processes, or of one."""
    with collect.source(given.address) as where:
        rows = [row for row in cluster_view.table(where, "processes") if not row["ended_at"]]
        if given.pid is not None:
            rows = [row for row in rows if row["pid"] == given.pid]
            if not rows:
                raise LookupError(
                    f"pid {given.pid} is no driver or worker of this cluster; `nbray list workers` shows them."
                )
        actors = {row["actor_id"]: row["class_name"] for row in cluster_view.table(where, "actors")}
        silent = 0
        for row in rows:
            doing = actors.get(row["actor_id"], "") or row["running"] or row["state"].lower()
            print(rule(f"{row['role']} pid={row['pid']} ({doing})"))
            text = stack_dump.ask(where.session_dir, where.seg, row["peer"], row["pid"])
            print(text or "(no answer: it is stopped, or just beginning or ending)")
            silent += not text
    return 1 if rows and silent == len(rows) else 0
