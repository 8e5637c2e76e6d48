"""Find out what a cell needs and what it leaves behind, without running it.

Pure: Python source in, names out. The answer may name too much (a name that is
read on one branch only) but never too little: a name that is certainly bound by
the cell before it is read is the only kind that is left out. What only text
mentions (``exec("x + 1")``, ``%time f(x)``, ``!ls {x}``) is found by reading
the text. ``symtable`` was tried first: it knows no lines, takes no top-level
``await`` and calls ``total += 1`` a write, so the scopes are followed here.
"""

from __future__ import annotations
import __future__

import ast
import functools
import operator
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from .cell_scopes import FUNCTION_NODES, binds, local_names, may_suppress, value_of_assignment
from .cell_text import (
    DIRECTORY_MAGICS,
    NAMESPACE_MAGICS,
    QUERY_METHODS,
    SHELL_MAGICS,
    is_formula,
    names_in_python,
    names_in_shell,
)

# Code that looks names up by text: everything small goes along with such a cell.
DYNAMIC_CALLS = frozenset({"exec", "eval", "globals", "locals", "vars", "dir"})
# The same through IPython's shell.
DYNAMIC_ATTRIBUTES = frozenset({"user_ns", "user_global_ns", "ev", "ex", "run_cell"})
# The same of the whole notebook, where tests are looked for, or text is run.
DYNAMIC_CHAINS = frozenset({("doctest", "testmod"), ("unittest", "main"), ("cProfile", "run"), ("profile", "run")})
_FUTURE_FLAGS = functools.reduce(
    operator.or_, [getattr(__future__, name).compiler_flag for name in __future__.all_feature_names]
)


@dataclass(slots=True)
class CellAnalysis:
    """What one cell reads, binds and changes. Lines count from 1 in its source."""

    source: str
    reads: dict[str, int] = field(default_factory=dict)  # name -> line of first use
    stored_into: dict[str, int] = field(default_factory=dict)  # a[3] = 7, a.b = 1
    augmented: set[str] = field(default_factory=set)  # of them: only by a += 1
    bound: set[str] = field(default_factory=set)  # assigned at module scope
    deleted: set[str] = field(default_factory=set)
    imports: list[str] = field(default_factory=list)  # dotted names of modules
    import_names: set[str] = field(default_factory=set)  # names that imports bind
    imported: dict[str, None] = field(default_factory=dict)  # modules that it loads, also in its functions
    chains: set[tuple[str, ...]] = field(default_factory=set)  # ("a", "b", "c")
    mentioned: set[str] = field(default_factory=set)  # by text only
    method_calls: dict[str, str] = field(default_factory=dict)  # lst -> append
    attribute_stores: set[tuple[str, ...]] = field(
        default_factory=set
    )  # ("a", "b"): a.b = 1, a.b[2] = 1, a.b.append(1)
    import_aliases: dict[str, str] = field(default_factory=dict)  # name -> module that an import binds to it
    magics: set[tuple[str, str]] = field(default_factory=set)  # ("line", "time")
    last_expression: bool = False
    last_assignment: bool = False  # the last statement assigns to one name
    top_level_await: bool = False
    input_line: int = 0  # where input() is called; 0: nowhere
    dynamic: bool = False  # exec, eval, globals() and their like
    queries: bool = False  # df.query(...) and its like: libraries that look up the names in a text
    strings: list[str] = field(default_factory=list)  # that stand in it
    star_import: bool = False
    future_flags: int = 0  # of the compiler, that its `from __future__` lines set for the cells after it

    def needs(self, name: str) -> bool:
        """Whether the cell cannot do without what a name is bound to: it does not bind it itself, and says it in code."""
        return name not in self.bound and (name in self.reads or name in self.stored_into)

    @property
    def binds_by_text(self) -> bool:
        """Whether it may bind names that its code does not show: by ``exec``, a magic, ``import *``."""
        return self.dynamic or self.star_import or bool(self.magics)

    def look_up_names(self, texts: Iterable[str] = ()) -> None:
        """Note that names are looked up by text, which may be in the cell's own strings, and in these."""
        self.dynamic = True
        self.mention((*self.strings, *texts))

    def mention(self, texts: Iterable[str]) -> None:
        """Note the names in texts."""
        for text in texts:
            self.mentioned |= names_in_python(text)


def analyse(source: str, filename: str = "<cell>", flags: int = 0) -> CellAnalysis:
    """Analyse the Python source of a cell (after IPython's transformations).

    Parameters
    ----------
    source
        Python source; magics are already ``get_ipython().run_line_magic(...)``.
    filename
        Where a SyntaxError says it is.
    flags
        Compiler flags, those of ``from __future__`` in earlier cells.

    Raises
    ------
    SyntaxError
        Also for what only the compiler refuses, such as ``return`` in a cell.
    """
    await_flag = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(source, filename, "exec", flags | await_flag | ast.PyCF_ONLY_AST, dont_inherit=True)
    code = compile(tree, filename, "exec", flags | await_flag, dont_inherit=True)
    analysis = CellAnalysis(source)
    analysis.future_flags = code.co_flags & _FUTURE_FLAGS
    analysis.top_level_await = bool(code.co_flags & 0x80)  # inspect.CO_COROUTINE
    analysis.last_expression = bool(tree.body) and isinstance(tree.body[-1], ast.Expr)
    analysis.last_assignment = bool(value_of_assignment(tree.body))
    _Visitor(analysis).run(tree)
    return analysis


def _is_shell(node: ast.expr) -> bool:
    """Whether an expression is ``get_ipython()``, or may be a name of the same."""
    return isinstance(node, ast.Name) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "get_ipython"
    )


class _Visitor(ast.NodeVisitor):
    """Walks a module in the order in which it runs.

    ``_certain`` holds the names that are bound for sure at this point of the
    module; ``_locals`` is the stack of local names of the enclosing functions
    and classes (None marks nothing: an empty stack is module scope).
    """

    def __init__(self, analysis: CellAnalysis) -> None:
        self.found = analysis
        self._certain: set[str] = set()
        self._locals: list[set[str]] = []

    def run(self, tree: ast.Module) -> None:
        for statement in tree.body:
            self.visit(statement)
        if self.found.dynamic:
            self.found.look_up_names()
        elif self.found.queries:
            self.found.mention(self.found.strings)
        else:
            self.found.mention(filter(is_formula, self.found.strings))

    # ---------------------------------------------------------------- names

    def _is_local(self, name: str) -> bool:
        return any(name in scope for scope in self._locals)

    def _from_outside(self, name: str) -> bool:
        return name not in self._certain and not self._is_local(name)

    def _read(self, name: str, line: int) -> None:
        if self._from_outside(name):
            self.found.reads.setdefault(name, line)

    def _bind(self, name: str) -> None:
        """Bind in the scope at hand; module names are then certain."""
        if not self._locals:
            self.found.bound.add(name)
            self._certain.add(name)
        elif not self._is_local(name):  # `global name` in a function
            self.found.bound.add(name)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._read(node.id, node.lineno)
            if node.id in DYNAMIC_CALLS:
                self.found.dynamic = True
        elif isinstance(node.ctx, ast.Store):
            self._bind(node.id)
        elif not self._is_local(node.id):
            self.found.deleted.add(node.id)
            self._certain.discard(node.id)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.found.strings.append(node.value)

    # ---------------------------------------------- stores into what a name holds

    def _stored_into(self, node: ast.expr, line: int) -> None:
        """Note the name at the root of ``a.b[0].c``, if it comes from outside."""
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Call | ast.Starred):
            node = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Name) and self._from_outside(node.id):
            self.found.stored_into.setdefault(node.id, line)
            self.found.augmented.discard(node.id)

    def _attribute_store(self, node: ast.expr) -> None:
        """Note the attribute that is set or changed, if it is one of what a name holds."""
        attributes: list[str] = []
        while isinstance(node, ast.Attribute | ast.Subscript):
            if isinstance(node, ast.Attribute):
                attributes.append(node.attr)
            else:
                attributes.clear()
            node = node.value
        if attributes and isinstance(node, ast.Name):
            self.found.attribute_stores.add((node.id, *reversed(attributes)))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._stored_into(node.value, node.lineno)
            self._attribute_store(node)
        chain: list[str] = [node.attr]
        inner: ast.expr = node.value
        while isinstance(inner, ast.Attribute):
            chain.append(inner.attr)
            inner = inner.value
        if not DYNAMIC_ATTRIBUTES.isdisjoint(chain) and _is_shell(inner):
            self.found.dynamic = True
        if isinstance(inner, ast.Name):
            whole = (inner.id, *reversed(chain))
            self.found.chains.add(whole)
            self.found.dynamic = self.found.dynamic or whole in DYNAMIC_CHAINS
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._stored_into(node.value, node.lineno)
            self._attribute_store(node.value)
        if isinstance(node.slice, ast.Constant) and node.slice.value == "__main__":  # sys.modules["__main__"]
            self.found.dynamic = True
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._read(node.target.id, node.lineno)
            # `a += 1` changes an array or a list in place
            if node.target.id not in self.found.stored_into:
                self._stored_into(node.target, node.lineno)
                self.found.augmented.add(node.target.id)
        self.visit(node.value)
        self.visit(node.target)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.visit(node.target)

    def visit_Expr(self, node: ast.Expr) -> None:
        call = node.value
        if isinstance(call, ast.Await):
            call = call.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            owner = call.func.value
            self._attribute_store(owner)
            if isinstance(owner, ast.Name) and self._from_outside(owner.id):
                self.found.method_calls.setdefault(owner.id, call.func.attr)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id == "input" and self._from_outside("input"):
            self.found.input_line = self.found.input_line or node.lineno
        if isinstance(node.func, ast.Name) and node.func.id in ("setattr", "delattr") and len(node.args) > 1:
            owner, name = node.args[:2]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                self._attribute_store(ast.Attribute(owner, name.value))
        if isinstance(node.func, ast.Attribute) and node.func.attr in QUERY_METHODS and (node.args or node.keywords):
            self.found.queries = True
        for keyword in node.keywords:
            if keyword.arg == "inplace" and isinstance(node.func, ast.Attribute):
                if not (isinstance(keyword.value, ast.Constant) and not keyword.value.value):
                    self._stored_into(node.func.value, node.lineno)
            elif keyword.arg == "out":  # np.add(a, b, out=a)
                self._stored_into(keyword.value, node.lineno)
        self._magic(node)
        self.generic_visit(node)

    # ------------------------------------------------------------------ magics

    def _magic(self, node: ast.Call) -> None:
        """Read the payload of ``get_ipython().run_line_magic('time', 'f(x)')``."""
        if not isinstance(node.func, ast.Attribute):
            return
        texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        kind = node.func.attr
        if kind in ("system", "getoutput", "getoutput_split") and texts:
            self.found.mentioned |= names_in_shell(texts[0])
        elif kind in ("run_line_magic", "run_cell_magic") and texts:
            name, *payload = texts
            self.found.magics.add((kind.split("_")[1], name))
            shell = name.split()[0] in SHELL_MAGICS if name.split() else True
            for text in payload:
                if shell:
                    self.found.mentioned |= names_in_shell(text)
                else:
                    self.found.mentioned |= names_in_python(text)
            if name in NAMESPACE_MAGICS:
                self.found.dynamic = True
            elif name in DIRECTORY_MAGICS:
                self.found.mentioned.add("_dh")
            elif name == "run" and any(re.match(r"\s*-\w*i", text) for text in payload):
                self.found.dynamic = True

    # ----------------------------------------------------------------- scopes

    def _function(self, node: ast.AST, args: ast.arguments, body: list[ast.AST]) -> None:
        for default in [*args.defaults, *args.kw_defaults]:
            if default is not None:
                self.visit(default)
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs]
        every += [arg for arg in (args.vararg, args.kwarg) if arg is not None]
        for arg in every:
            if arg.annotation is not None:
                self.visit(arg.annotation)
        names = {arg.arg for arg in every} | local_names(body)
        self._locals.append(names)
        for child in body:
            self.visit(child)
        self._locals.pop()

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        if node.returns is not None:
            self.visit(node.returns)
        # The body runs later and may call the function itself.
        known = node.name in self._certain
        self._certain.add(node.name)
        self._function(node, node.args, list(node.body))
        if not known:
            self._certain.discard(node.name)
        self._bind(node.name)

    visit_FunctionDef = _definition
    visit_AsyncFunctionDef = _definition

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node, node.args, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in [*node.decorator_list, *node.bases]:
            self.visit(part)
        for keyword in node.keywords:
            self.visit(keyword.value)
        # Class names are invisible in the methods, so they only end up as locals
        # here for the time of the direct statements; a read of one of them that
        # reaches a global of the same name is kept by visiting methods outside.
        methods = [child for child in node.body if isinstance(child, FUNCTION_NODES)]
        others = [child for child in node.body if not isinstance(child, FUNCTION_NODES)]
        self._locals.append(set())
        scope = self._locals[-1]
        for child in others:
            self.visit(child) if not binds(child) else self._class_statement(child, scope)
        self._locals.pop()
        known = node.name in self._certain
        self._certain.add(node.name)
        for method in methods:
            for decorator in method.decorator_list:
                self.visit(decorator)
            if method.returns is not None:
                self.visit(method.returns)
            self._function(method, method.args, list(method.body))
        if not known:
            self._certain.discard(node.name)
        self._bind(node.name)

    def _class_statement(self, child: ast.AST, scope: set[str]) -> None:
        names = local_names([child])
        before = set(scope)
        if isinstance(child, ast.Assign | ast.AnnAssign | ast.AugAssign) and child.value:
            self.visit(child.value)  # `x = x` in a class reads the outer x
        scope |= names
        self.visit(child)
        scope |= before

    def _comprehension(self, node: ast.AST) -> None:
        generators: list[ast.comprehension] = node.generators  # type: ignore[attr-defined]
        self.visit(generators[0].iter)
        names: set[str] = set()
        for generator in generators:
            names |= {n.id for n in ast.walk(generator.target) if isinstance(n, ast.Name)}
        # A walrus inside binds outside.
        for child in ast.walk(node):
            if isinstance(child, ast.NamedExpr) and not self._is_local(child.target.id):
                self.found.bound.add(child.target.id)
        self._locals.append(names)
        for index, generator in enumerate(generators):
            if index:
                self.visit(generator.iter)
            for condition in generator.ifs:
                self.visit(condition)
        if isinstance(node, ast.DictComp):
            self.visit(node.key)
            self.visit(node.value)
        else:
            self.visit(node.elt)  # type: ignore[attr-defined]
        self._locals.pop()

    visit_ListComp = _comprehension
    visit_SetComp = _comprehension
    visit_DictComp = _comprehension
    visit_GeneratorExp = _comprehension

    # ------------------------------------------------- statements that may not run

    def _branches(self, *branches: list[ast.stmt]) -> None:
        """Visit each branch from the same start; what all bind is certain after."""
        start = set(self._certain)
        ends = []
        for branch in branches:
            self._certain = set(start)
            for statement in branch:
                self.visit(statement)
            ends.append(self._certain)
        self._certain = set.intersection(*ends)

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self._branches(node.body, node.orelse)

    def _loop(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        start = set(self._certain)
        self.visit(node.target)
        self._branches(node.body, [])
        self._branches(node.orelse, [])
        self._certain &= start

    visit_For = _loop
    visit_AsyncFor = _loop

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        self._branches(node.body, [])
        self._branches(node.orelse, [])

    def _try(self, node: ast.Try) -> None:
        start = set(self._certain)
        for statement in node.body:
            self.visit(statement)
        for statement in node.orelse:
            self.visit(statement)
        for handler in node.handlers:
            self._certain = set(start)
            if handler.type is not None:
                self.visit(handler.type)
            if handler.name:  # unbound again after the handler: no name of the cell
                self._certain.add(handler.name)
                if not self._is_local(handler.name):
                    self.found.deleted.add(handler.name)  # and one of the notebook is gone, as after `del`
            for statement in handler.body:
                self.visit(statement)
        self._certain = start
        for statement in node.finalbody:
            self.visit(statement)

    visit_Try = _try
    visit_TryStar = _try

    def _with(self, node: ast.With | ast.AsyncWith) -> None:
        start = set(self._certain)
        for item in node.items:
            self.visit(item)
        for statement in node.body:
            self.visit(statement)
        if any(may_suppress(item.context_expr) for item in node.items):
            self._certain = start  # the body may have been left early

    visit_With = _with
    visit_AsyncWith = _with

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        start = set(self._certain)
        for case in node.cases:
            self._certain = set(start)
            self.visit(case.pattern)
            if case.guard is not None:
                self.visit(case.guard)
            for statement in case.body:
                self.visit(statement)
        self._certain = start

    def _capture(self, node: ast.MatchAs | ast.MatchStar) -> None:
        self.generic_visit(node)
        if node.name:
            self._bind(node.name)

    visit_MatchAs = _capture
    visit_MatchStar = _capture

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        if node.rest:
            self._bind(node.rest)

    # ----------------------------------------------------------------- imports

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            self._bind(name)
            self.found.imported[alias.name] = None
            self.found.import_aliases[name] = alias.name if alias.asname else name
            if not self._locals:
                self.found.imports.append(alias.name)
                self.found.import_names.add(name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module and not node.level:
            self.found.imported[node.module] = None
        for alias in node.names:
            if node.module == "__main__" and not node.level:
                self.found.chains.add(("__main__", alias.name))
            if alias.name == "*":
                self.found.star_import = True
            else:
                self._bind(alias.asname or alias.name)
                if node.module and not node.level:
                    self.found.import_aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                    if not self._locals:
                        self.found.import_names.add(alias.asname or alias.name)
