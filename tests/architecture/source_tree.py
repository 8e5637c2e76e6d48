"""Reads the imports of nbray out of its source files, without importing any of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("nbray", "nbray_ext")


class Import(NamedTuple):
    """One import of one module by another."""

    by: str  # dotted name of the module that imports
    of: str  # dotted name of what is imported: a module of ours, or the top of a foreign package
    line: int
    place: str  # "module", "function" or "type checking"

    def __str__(self) -> str:
        return f"{self.by}:{self.line} imports {self.of} ({self.place})"


@cache
def modules() -> dict[str, Path]:
    """All modules of ours: dotted name -> file."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "labextension" in parts or "__pycache__" in parts:
                continue
            if parts[-1] == "__init__":
                parts = parts[:-1]
            found[".".join(parts)] = path
    return found


@cache
def tree(name: str) -> ast.Module:
    """The syntax tree of a module."""
    path = modules()[name]
    return ast.parse(path.read_text(), str(path))


@cache
def imports() -> tuple[Import, ...]:
    """All imports of all modules of ours."""
    return tuple(found for name in modules() for found in _imports_of(name))


def internal() -> Iterator[Import]:
    """Imports of one module of ours by another."""
    return (found for found in imports() if found.of in modules())


def foreign() -> Iterator[Import]:
    """Imports of what is not ours."""
    return (found for found in imports() if found.of.split(".")[0] not in PACKAGES)


def _imports_of(name: str) -> Iterator[Import]:
    def visit(node: ast.AST, place: str) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.Import, ast.ImportFrom)):
                for target in _targets(name, child):
                    if target != name:
                        yield Import(name, target, child.lineno, place)
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                yield from visit(child, "function")
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                yield from visit(child, "type checking")
            elif isinstance(child, ast.If) and ast.unparse(child.test) == "__name__ == '__main__'":
                yield from visit(child, "function")  # runs only when this is the command line
            else:
                yield from visit(child, place)

    yield from visit(tree(name), "module")


def _targets(name: str, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name
        return
    base = node.module or ""
    if node.level:
        is_package = modules()[name].name == "__init__.py"
        parts = name.split(".")
        parts = parts[: len(parts) - node.level + (1 if is_package else 0)]
        base = ".".join([*parts, base] if base else parts)
    for alias in node.names:
        # `from package import module` imports the module, and not only the package.
        full = f"{base}.{alias.name}"
        yield full if full in modules() else base
