"""Where in the logs the words of tasks are."""

from __future__ import annotations

import os
from typing import Any

from nbray import ids
from nbray.core import cluster_view, log_index
from nbray.util.state.common import TaskState


def add_logs(where: Any, rows: list[TaskState]) -> None:
    """Say of tasks where their words are in which log. It holds both streams: calls of actors have none of their own, as in Ray."""
    ran = [row for row in rows if row.type == "NORMAL_TASK" and row.worker_id]
    logs = {ids.worker_id(row["peer"]): row["log"] for row in cluster_view.table(where, "processes")} if ran else {}
    places: dict[str, dict[tuple[int, int], tuple[int, int]]] = {}
    for row in ran:
        if log := logs.get(row.worker_id or ""):
            path = os.path.join(where.session_dir, "logs", log)
            if path not in places:
                places[path] = log_index.places(path)
            runs = row.state == "RUNNING"
            silent = (os.path.getsize(path), 0) if runs and os.path.exists(path) else (0, 0)
            begin, last = places[path].get(ids.split_task_id(bytes.fromhex(row.task_id)), silent)
            end = None if runs else last
            row.task_log_info = {
                "stdout_file": path, "stderr_file": path, "stdout_start": begin, "stdout_end": end,
                "stderr_start": begin, "stderr_end": end,
            }  # fmt: skip
