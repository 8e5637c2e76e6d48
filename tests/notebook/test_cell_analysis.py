"""What a cell reads, binds and changes, found without running it. Pure."""

from __future__ import annotations

import pytest

from nbray.notebook.cell_analysis import analyse
from nbray.notebook.cell_job import choose
from nbray.notebook.cell_text import ends_with_semicolon


def reads(source: str) -> set[str]:
    return set(analyse(source).reads)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("y = x", {"x"}),
        ("x = 1\ny = x", set()),
        ("total += 1", {"total"}),
        ("if a:\n    b = 1\nb", {"a", "b"}),
        ("if a:\n    b = 1\nelse:\n    b = 2\nb", {"a"}),
        ("for i in r:\n    s = i\ns", {"r", "s"}),
        ("with open(p) as f:\n    t = f.read()\nt", {"open", "p"}),
        ("with suppress(E):\n    t = 1\nt", {"suppress", "E", "t"}),
        ("try:\n    a = f()\nexcept E as e:\n    e\na", {"f", "E", "a"}),
        ("def f(a, b=c, *d, **e):\n    g = a + h\n    return g", {"c", "h"}),
        ("def f():\n    return f()", set()),
        ("def f():\n    return later()\nlater = 1", {"later"}),
        ("lambda a: a + b", {"b"}),
        ("[i * k for i in r if i]", {"r", "k"}),
        ("{k: v for k, v in d.items()}", {"d"}),
        ("class A(B):\n    x = y\n    def m(self):\n        return x", {"B", "y", "x"}),
        ("class A:\n    x = x", {"x"}),
        ("@deco\ndef f() -> R: ...", {"deco", "R"}),
        ("import a.b\na.b.c", set()),
        ("from m import n\nn", set()),
        ("print(f'{x!r:>{w}}')", {"print", "x", "w"}),
        ("(n := 5) + n", set()),
        ("match p:\n    case [a, *rest]:\n        a, rest\n    case {'k': v, **more}:\n        v, more", {"p"}),
        ("await c()", {"c"}),
        ("async with s() as t:\n    await t", {"s"}),
        ("del x\nx", {"x"}),
        ("x = 1\ndel x\nx", {"x"}),
        ("def f():\n    global g\n    g = h", {"h"}),
        ("x: T = v", {"T", "v"}),
    ],
)
def test_reads(source: str, expected: set[str]) -> None:
    assert reads(source) == expected


def test_first_line_of_a_read() -> None:
    assert analyse("\n\na = 1\nb\na + b").reads == {"b": 4}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a[3] = 7", {"a"}),
        ("a.b = 1", {"a"}),
        ("a.b[0].c += 1", {"a"}),
        ("a += 1", {"a"}),
        ("del a[0]", {"a"}),
        ("for a[0] in r: pass", {"a"}),
        ("df.loc[0, 'x'] = 1", {"df"}),
        ("d.setdefault('k', [])[0] = 1", {"d"}),
        ("df.dropna(inplace=True)", {"df"}),
        ("df.dropna(inplace=False)", set()),
        ("np.add(a, b, out=a)", {"a"}),
        ("a = [0]\na[0] = 1", set()),
        ("def f(a):\n    a[0] = 1", set()),
        ("def f():\n    a[0] = 1", {"a"}),
        ("def f():\n    a = []\n    a[0] = 1", set()),
    ],
)
def test_stored_into(source: str, expected: set[str]) -> None:
    assert set(analyse(source).stored_into) == expected


def test_bound_deleted_imported() -> None:
    found = analyse("import a.b, c as d\nfrom e import f\nx = 1\ndel y\ndef g(): h = 1\nfor i in (): pass")
    assert found.bound == {"a", "d", "f", "x", "g", "i"}
    assert found.deleted == {"y"}
    assert found.imports == ["a.b", "c"]
    assert found.import_names == {"a", "d", "f"}


def test_names_in_text() -> None:
    assert {"alpha", "beta"} <= analyse("exec('alpha + beta')").mentioned
    assert {"key"} <= analyse("globals()['key']").mentioned
    assert analyse("s = 'alpha'").mentioned == set()
    magic = "get_ipython().run_line_magic('time', 'w = h(1)')"
    assert {"w", "h"} <= analyse(magic).mentioned
    shell = "get_ipython().system('ls data {x + y} $z')"
    assert analyse(shell).mentioned == {"x", "y", "z"}
    bash = "get_ipython().run_cell_magic('bash', '', 'echo data $q')"
    assert analyse(bash).mentioned == {"q"}


def test_names_in_queries_and_formulas() -> None:
    assert {"limit"} <= analyse("q = 'x > @limit'\nd.query(q, engine='python')").mentioned
    assert {"frame"} <= analyse("sql.sql('select * from frame')").mentioned
    assert {"scaled"} <= analyse("ols('y ~ scaled(x)', data)").mentioned
    assert analyse("model.eval()\nopen('~/frame/x.csv')").mentioned == set()


def test_last_expression_await_and_input() -> None:
    assert analyse("1\n2").last_expression
    assert not analyse("x = 2").last_expression
    assert analyse("await x").top_level_await
    assert not analyse("async def f():\n    await x").top_level_await
    assert analyse("\nname = input('?')").input_line == 2
    assert analyse("def input(): ...\ninput()").input_line == 0


@pytest.mark.parametrize("source", ["def f(:", "return 1", "x = (", "nonlocal y"])
def test_syntax_errors_are_found_here(source: str) -> None:
    with pytest.raises(SyntaxError):
        analyse(source, "cell.py")


def test_what_is_sent() -> None:
    namespace = {"x": 1, "_5": 2, "_": 3, "quit": 4, "open": 5, "__name__": "__main__", "unused": 6}
    hidden = {"quit": 4, "open": 5, "_": 3}
    wanted, optional = choose(analyse("x + _5 + _ + quit\nopen\n__name__"), namespace, hidden)
    assert wanted == ["x", "_5", "_"]
    assert optional == []
    namespace["open"] = 7  # rebound by the user
    wanted, _ = choose(analyse("open"), namespace, hidden)
    assert wanted == ["open"]


def test_exec_takes_everything_along_and_looks_into_strings() -> None:
    namespace = {"code": "k1 + 1", "k1": 5, "other": 1, "_private": 2}
    wanted, optional = choose(analyse("eval(code)"), namespace, {})
    assert wanted == ["code", "k1"]
    assert optional == ["other"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;", True),
        ("a", False),
        ("a; b", False),
        ("a;  # why; not", True),
        ("a  # no;", False),
        ("f('x;')", False),
        ("if a:\n    b;\n\n# end", True),
        ("!ls '\na;", True),
        ("x = '''\n;\n'''", False),
    ],
)
def test_a_semicolon_at_the_end(text: str, expected: bool) -> None:
    assert ends_with_semicolon(text) is expected
