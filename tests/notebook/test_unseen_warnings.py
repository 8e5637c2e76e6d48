"""A cell shows the warnings that it would show here, and none of what is done to run it elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kit import Kernel


@pytest.fixture(autouse=True)
def own_filters(kernel: Kernel) -> Iterator[None]:
    kernel.ok("import warnings\nfilters_before = list(warnings.filters)")
    yield
    kernel.ok("warnings.resetwarnings(); warnings.filters.extend(filters_before)")


@pytest.mark.parametrize("action", ["always", "error"])
def test_what_pickles_and_reads_names_warns_of_nothing(kernel: Kernel, action: str) -> None:
    kernel.ok(
        "class Loud:\n"
        "    def __getstate__(self): warnings.warn('written'); return {'n': 1}\n"
        "    def __setstate__(self, state): warnings.warn('read'); self.__dict__.update(state)\n"
        f"warnings.simplefilter({action!r})\nloud = Loud()"
    )
    cell = kernel.ok(
        "%%remote --quiet\nimport ipywidgets\nslider = ipywidgets.IntSlider(3)\nother = Loud(), loud\nslider"
    )
    assert cell.text("stderr") == "" and "IntSlider(value=3)" in (cell.value or "")
    assert kernel.ok("slider.value, other[1] is loud, other[0].n").value == "(3, True, 1)"
    assert kernel.ok("%%remote --quiet --each i=range(2)\nLoud().__class__.__name__").value == "['Loud', 'Loud']"


def test_what_a_cell_warns_of_is_seen_once(kernel: Kernel) -> None:
    kernel.ok("warnings.simplefilter('always')")
    cell = kernel.ok("%%remote --quiet\n'\\d'\n1 is 1\nwarnings.warn('mine')\nNone")
    for text in ("invalid escape sequence", '"is" with', "UserWarning: mine"):
        assert cell.text("stderr").count(text) == 1, cell.text("stderr")
    kernel.ok("warnings.simplefilter('error')")
    failed = kernel.run("%%remote --quiet\nx = 1\n1 is 1")
    assert failed.error["ename"] == "SyntaxError" and "line 3" in failed.traceback


def test_how_often_a_warning_was_shown_is_not_forgotten(kernel: Kernel) -> None:
    kernel.ok("warnings.simplefilter('default')\ndef warn(): warnings.warn('once')\nNone")
    cell = kernel.ok("for i in range(3):\n    warn()\n    get_ipython().run_line_magic('remote', '--quiet i')")
    assert cell.text("stderr").count("UserWarning: once") == 1


def test_what_is_loaded_here_is_loaded_there_without_a_word(kernel: Kernel) -> None:
    kernel.ok(
        "open('chatty_module.py', 'w').write('import sys, warnings\\nprint(\"hello\")\\nprint(\"hi\", file=sys.stderr)\\n'\n"
        "    'warnings.warn(\"old\")\\nVALUE = 5\\n')\nimport chatty_module as chatty\nNone"
    )
    for code in ("chatty.VALUE", "import chatty_module\nchatty_module.VALUE", "from chatty_module import VALUE\nVALUE"):
        cell = kernel.ok(f"%%remote --quiet\n{code}")
        assert (cell.value, cell.text(), cell.text("stderr")) == ("5", "", "")
        kernel.ok("%nbray restart")
    kernel.ok("import sys; del sys.modules['chatty_module'], chatty")
    assert kernel.ok("%%remote --quiet\nimport chatty_module\nchatty_module.VALUE").text() == "hello\n"


def test_large_inputs_are_no_advice_to_put_them(kernel: Kernel) -> None:
    kernel.ok("many = [f'this is the text of number {n} of many' for n in range(400_000)]")
    assert kernel.ok("%%remote --quiet\nlen(many)").text("stderr") == ""
