"""Run the code of a cell."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from .cell_job import CellJob
from .cell_loop import CellLoop
from .cell_scopes import value_of_assignment


def run_code(job: CellJob, namespace: dict[str, Any], prepare_display: Callable[[], Any]) -> Any:
    """Run the code of a job; returns the value of the last expression, if one is wanted.

    Parameters
    ----------
    prepare_display
        Called when ``sys.displayhook`` is to show values on the way, as the setting ``ast_node_interactivity`` may ask for.
    """
    flags = job.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    if not job.has_value and job.interactivity == "last_expr":
        with CellLoop(job.awaits, namespace) as loop:
            loop.run(compile(job.source, job.filename, "exec", flags, dont_inherit=True))
        return None
    tree = compile(job.source, job.filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    last: ast.Expression | None = None
    if job.interactivity == "last_expr_or_assign":
        tree.body += value_of_assignment(tree.body)
    if job.want_value and tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    value = None
    with CellLoop(job.awaits, namespace) as loop:
        if tree.body and job.want_value and job.interactivity in ("all", "last"):
            shown = len(tree.body) if job.interactivity == "all" else int(last is None)
            nodes, tree.body = tree.body[len(tree.body) - shown :], tree.body[: len(tree.body) - shown]
            loop.run(compile(tree, job.filename, "exec", flags, dont_inherit=True))
            prepare_display()
            for node in nodes:
                code = compile(ast.Interactive([node]), job.filename, "single", flags, dont_inherit=True)
                loop.run(code)
        elif tree.body:
            code = compile(tree, job.filename, "exec", flags, dont_inherit=True)
            loop.run(code)
        if last is not None:
            code = compile(last, job.filename, "eval", flags, dont_inherit=True)
            value = loop.run(code)
    return value
