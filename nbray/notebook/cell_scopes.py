"""Which names belong to which scope of a piece of Python. Pure; used by ``cell_analysis``."""

from __future__ import annotations

import ast
from collections.abc import Sequence

FUNCTION_NODES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
ASSIGNMENTS = (ast.Assign, ast.AugAssign, ast.AnnAssign)
COMPREHENSION_NODES = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def may_suppress(manager: ast.expr) -> bool:
    """Whether a context manager may swallow exceptions, going by its name."""
    while isinstance(manager, ast.Call):
        manager = manager.func
    name = manager.attr if isinstance(manager, ast.Attribute) else getattr(manager, "id", "")
    return name in ("suppress", "raises", "ExitStack", "AsyncExitStack")


def names_of_with(source: str) -> set[str]:
    """Return the names that `with ... as name` gives in a piece of Python."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.With | ast.AsyncWith):
            targets = [item.optional_vars for item in node.items if item.optional_vars is not None]
            found.update(part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
    return found


def binds(node: ast.AST) -> bool:
    """Whether a statement binds names in its own scope."""
    return bool(local_names([node]))


def local_names(body: Sequence[ast.AST]) -> set[str]:
    """Return the names that are local to a function with this body."""
    names: set[str] = set()
    outer: set[str] = set()
    stack: list[ast.AST] = list(body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Global):
            outer.update(node.names)
        elif isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                names.add(node.id)
            continue
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            stack.extend(node.decorator_list)
            continue
        elif isinstance(node, ast.Lambda):
            continue
        elif isinstance(node, COMPREHENSION_NODES):
            names.update(n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
            continue
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((a.asname or a.name).partition(".")[0] for a in node.names)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            if node.name:
                names.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            names.add(node.rest)
        stack.extend(ast.iter_child_nodes(node))
    return names - outer


def value_of_assignment(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the expression that shows what the last statement assigned, if it is an assignment to one name."""
    last = body[-1] if body else None
    if not isinstance(last, ASSIGNMENTS):
        return []
    target = last.target if not isinstance(last, ast.Assign) else last.targets[0] if len(last.targets) == 1 else None
    if not isinstance(target, ast.Name):
        return []
    return [ast.copy_location(ast.Expr(ast.copy_location(ast.Name(target.id, ast.Load()), last)), last)]
