"""Run the code of a cell."""

from __future__ import annotations

import ast
import asyncio
import inspect
import types
from collections.abc import Callable
from typing import Any

from .cell_job import CellJob
from .cell_scopes import value_of_assignment


def run_code(job: CellJob, namespace: dict[str, Any], prepare_display: Callable[[], Any]) -> Any:
    """Run the code of a job; returns the value of the last expression, if one is wanted.

    Parameters
    ----------
    prepare_display
        Called when ``sys.displayhook`` is to show values on the way, as the setting ``ast_node_interactivity`` may ask for.
    """
    flags = job.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(job.source, job.filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    last: ast.Expression | None = None
    if job.interactivity == "last_expr_or_assign":
        tree.body += value_of_assignment(tree.body)
    if job.want_value and tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    value = None
    with _Loop(job.awaits) as loop:
        if tree.body and job.want_value and job.interactivity in ("all", "last"):
            shown = len(tree.body) if job.interactivity == "all" else int(last is None)
            nodes, tree.body = tree.body[len(tree.body) - shown :], tree.body[: len(tree.body) - shown]
            loop.run(compile(tree, job.filename, "exec", flags, dont_inherit=True), namespace)
            prepare_display()
            for node in nodes:
                code = compile(ast.Interactive([node]), job.filename, "single", flags, dont_inherit=True)
                loop.run(code, namespace)
        elif tree.body:
            code = compile(tree, job.filename, "exec", flags, dont_inherit=True)
            loop.run(code, namespace)
        if last is not None:
            code = compile(last, job.filename, "eval", flags, dont_inherit=True)
            value = loop.run(code, namespace)
    return value


_kept: asyncio.AbstractEventLoop | None = None  # from cell to cell, as the kernel's


class _Loop:
    """Runs code objects; those of a cell with a top-level ``await`` in one event loop.

    Not ``asyncio.run``: it would turn an interrupt into the cancellation of a task,
    and the traceback would not show where the cell was.
    """

    def __init__(self, running: bool) -> None:
        self._running = (
            running  # the cell awaits somewhere: as in the kernel, the loop then runs from its first line on
        )
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> _Loop:
        global _kept
        if self._running:
            if _kept is None or _kept.is_closed():
                _kept = asyncio.new_event_loop()
            self._loop = _kept
            asyncio.set_event_loop(_kept)
        return self

    def run(self, code: types.CodeType, namespace: dict[str, Any]) -> Any:
        if self._loop is None:
            return eval(code, namespace)
        return self._loop.run_until_complete(_run(code, namespace))

    def __exit__(self, *exc_info: Any) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))


async def _run(code: types.CodeType, namespace: dict[str, Any]) -> Any:
    value = eval(code, namespace)
    return await value if code.co_flags & inspect.CO_COROUTINE else value
