"""Code that changes between two cells is new on the workers too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kit import Kernel


def folder_of(kernel: Kernel) -> Path:
    return Path(os.readlink(f"/proc/{kernel.pid}/cwd"))


def write(path: Path, text: str, when: int) -> None:
    path.write_text(text)
    os.utime(path, (when, when))


def test_autoreload_reaches_the_workers(kernel: Kernel) -> None:
    module = folder_of(kernel) / "reloaded_module.py"
    write(module, "VALUE = 1\ndef f(): return 'one'\n", 1_700_000_000)
    kernel.ok("%load_ext autoreload\n%autoreload 2\nimport reloaded_module\nfrom reloaded_module import f")
    use = "%%remote --each i=range(8)\nimport reloaded_module as m\nreloaded_module.VALUE, m.f(), f()"
    assert (kernel.ok(use).value or "").count("(1, 'one', 'one')") == 8
    write(module, "VALUE = 22\ndef f(): return 'twenty-two'\n", 1_700_000_100)
    value = kernel.ok(use).value or ""
    assert "one" not in value
    assert value.count("(22, 'twenty-two', 'twenty-two')") == 8
    # In an actor, objects of the old class get the new one.
    write(module, "class C:\n    def m(self): return 'old'\n", 1_700_000_200)
    kernel.ok("%%remote --actor keeper\nimport reloaded_module\nc = reloaded_module.C()\nc.m()")
    write(module, "class C:\n    def m(self): return 'brand new'\n", 1_700_000_300)
    assert kernel.ok("%%remote --actor keeper\nc.m(), reloaded_module.C().m()").value == "('brand new', 'brand new')"
    kernel.ok("%autoreload 0")


def test_a_module_that_fails_to_reload_stays(kernel: Kernel) -> None:
    module = folder_of(kernel) / "broken_module.py"
    write(module, "VALUE = 1\n", 1_700_000_000)
    kernel.ok("%autoreload 2\nimport broken_module")
    assert kernel.ok("%%remote\nbroken_module.VALUE").value == "1"
    write(module, "VALUE = (\n", 1_700_000_100)
    assert kernel.ok("%%remote\nbroken_module.VALUE").value == "1"
    kernel.ok("%autoreload 0")


def test_a_package_keeps_its_modules_when_it_is_reloaded(kernel: Kernel) -> None:
    pack = folder_of(kernel) / "reloaded_pack"
    (pack / "inner").mkdir(parents=True)
    write(pack / "__init__.py", "from .inner import deep\nTOP = 1\n", 1_700_000_000)
    write(pack / "inner" / "__init__.py", "from .deep import g\n", 1_700_000_000)
    write(pack / "inner" / "deep.py", "def g(): return 'one'\n", 1_700_000_000)
    kernel.ok("%load_ext autoreload\n%autoreload 2\nimport reloaded_pack as pack")
    look = "%%remote --each i=range(4)\npack.TOP, pack.inner.g(), pack.inner.deep.g()"
    assert (kernel.ok(look).value or "").count("(1, 'one', 'one')") == 4
    write(pack / "__init__.py", "from .inner import deep\nTOP = 2\n", 1_700_000_100)
    write(pack / "inner" / "deep.py", "def g(): return 'two'\n", 1_700_000_100)
    assert (kernel.ok(look).value or "").count("(2, 'two', 'two')") == 4
    kernel.ok("%autoreload 0")


def test_autoreload_that_is_off_again_leaves_workers_alone(kernel: Kernel) -> None:
    module = folder_of(kernel) / "left_alone.py"
    write(module, "def f(): return 1\n", 1_700_000_000)
    kernel.ok("%load_ext autoreload\n%autoreload 2\nimport left_alone")
    look = "%%remote --each i=range(4)\nleft_alone.f()"
    assert kernel.ok(look).value == "[1, 1, 1, 1]"
    write(module, "def f(): return 2\n", 1_700_000_100)
    assert kernel.ok(look).value == "[2, 2, 2, 2]"
    kernel.ok("%autoreload 0")
    write(module, "def f(): return 3\n", 1_700_000_200)
    assert (kernel.ok(look).value, kernel.ok("left_alone.f()").value) == ("[2, 2, 2, 2]", "2")


def test_what_is_reloaded_here_is_new_there(kernel: Kernel) -> None:
    module, other = folder_of(kernel) / "again_module.py", folder_of(kernel) / "base_module.py"
    write(other, "NAME = 'one'\n", 1_700_000_000)
    write(module, "from base_module import NAME\nstate = []\ndef f(): return 'old', NAME\n", 1_700_000_000)
    kernel.ok("import importlib\nimport again_module, base_module")
    use, keep = "%%remote --each i=range(8)\nagain_module.f()", "%%remote --actor again\nagain_module.f()"
    assert (kernel.ok(use).value or "").count("('old', 'one')") == 8
    assert kernel.ok(keep).value == "('old', 'one')"
    write(other, "NAME = 'twenty-two'\n", 1_700_000_100)
    write(module, "from base_module import NAME\nstate = []\ndef f(): return 'brand new', NAME\n", 1_700_000_100)
    # As here: nothing says that it is to be loaded anew. (A worker that has just begun finds nothing else.)
    assert kernel.ok(keep).value == "('old', 'one')"
    kernel.ok("importlib.reload(base_module); importlib.reload(again_module)\nNone")
    assert (kernel.ok(use).value or "").count("('brand new', 'twenty-two')") == 8
    assert kernel.ok(keep).value == "('brand new', 'twenty-two')"


def test_what_a_cell_reloads_is_new_here_and_on_all_workers(kernel: Kernel) -> None:
    module, other = folder_of(kernel) / "edited_module.py", folder_of(kernel) / "below_module.py"
    write(other, "NAME = 'one'\n", 1_700_000_000)
    text = "from below_module import NAME\nLEVEL = 1\nprint('loaded')\nclass C:\n    def m(self): return {!r}, NAME\n"
    write(module, text.format("old"), 1_700_000_000)
    kernel.ok("import importlib\nimport edited_module, below_module\nkept = edited_module.C(); same = kept")
    assert kernel.ok("%%remote --each i=range(8)\nedited_module.C().m()").value is not None  # all workers have it
    write(other, "NAME = 'twenty-two'\n", 1_700_000_100)
    write(module, text.format("brand new").replace("LEVEL = 1", "LEVEL = 7"), 1_700_000_100)
    cell = kernel.ok(
        "%%remote --quiet\nimportlib.reload(below_module)\nimportlib.reload(edited_module)\nmade = edited_module.C()\nkept.n = 1\n"
        "made.m()"
    )
    assert (cell.value, cell.text(), cell.text("stderr")) == ("('brand new', 'twenty-two')", "loaded\n", "")
    assert kernel.ok("edited_module.C().m(), made.m(), type(made) is edited_module.C, edited_module.LEVEL").value == (
        "(('brand new', 'twenty-two'), ('brand new', 'twenty-two'), True, 7)"
    )
    assert kernel.ok("kept is same, kept.n, kept.m(), isinstance(kept, edited_module.C)").value == (
        "(True, 1, ('old', 'twenty-two'), False)"
    )
    kernel.ok("%%remote --each i=range(8)\nseen = *edited_module.C().m(), edited_module.LEVEL")
    assert kernel.ok("set(seen)").value == "{('brand new', 'twenty-two', 7)}"
    kernel.ok("%%remote --actor reloading\nown = edited_module.C()")
    assert kernel.ok("%%remote --actor reloading\nisinstance(own, edited_module.C)").value == "True"


def test_what_nobody_reloads_is_loaded_once(kernel: Kernel) -> None:
    kernel.ok("%%remote\nNone")  # its worker is older than the file
    module = folder_of(kernel) / "counting_module.py"
    module.write_text("import os\nwith open('loads', 'a') as file:\n    file.write(f'{os.getpid()} ')\n")
    for _ in range(4):
        kernel.ok("%%remote --quiet\nimport counting_module")
    loads = (folder_of(kernel) / "loads").read_text().split()
    assert len(loads) == len(set(loads)), "no process has loaded it twice"


def test_a_reload_in_a_cell_that_fails_then(kernel: Kernel) -> None:
    module = folder_of(kernel) / "failing_module.py"
    write(module, "VALUE = 1\n", 1_700_000_000)
    kernel.ok("import importlib, failing_module")
    write(module, "VALUE = 22\n", 1_700_000_100)
    assert kernel.run("%%remote\nimportlib.reload(failing_module)\n1 / 0").error["ename"] == "ZeroDivisionError"
    assert kernel.ok("failing_module.VALUE").value == "22"


def test_redefined_functions_and_classes(kernel: Kernel) -> None:
    kernel.ok("def g(): return 1\nclass K:\n    def m(self): return 1\ndef uses(): return g() + K().m()")
    assert kernel.ok("%%remote\nuses()").value == "2"
    kernel.ok("def g(): return 10")
    assert kernel.ok("%%remote\nuses()").value == "11"
    kernel.ok("class K:\n    def m(self): return 100")
    assert kernel.ok("%%remote\nuses(), K().m()").value == "(110, 100)"
    kernel.ok("%%remote\ndef g(): return 1000")
    assert kernel.ok("%%remote\nuses()").value == "1100"


def test_what_a_base_keeps_comes_back_also_where_the_cell_names_only_the_class_that_inherits(kernel: Kernel) -> None:
    kernel.ok(
        "class Base:\n    seen, made = [], 0\n    def add(self, x):\n        self.seen.append(x)\n        Base.made += 1\n"
        "class Middle(Base):\n    names = set()\n"
        "class Derived(Middle):\n    pass\n"
        "made_here, every = Derived(), {'one': Derived()}"
    )
    kernel.ok("%%remote\nderived = Derived()\nderived.add(1)\nderived.names.add('a')")
    assert kernel.ok("Base.seen, Base.made, Middle.names, Derived.seen is Base.seen").value == "([1], 1, {'a'}, True)"
    kernel.ok("%%remote\nmade_here.add(2)")
    kernel.ok("%%remote\nevery['one'].add(3)")
    assert kernel.ok("Base.seen, Base.made, vars(Derived).get('seen')").value == "([1, 2, 3], 3, None)"


def test_what_is_deleted_of_a_class_is_gone_on_both_sides(kernel: Kernel) -> None:
    kernel.ok(
        "class Base:\n    of_base = 1\n"
        "class Full(Base):\n    limit = 3\n    table = [1]\n    def method(self): pass\n    @staticmethod\n    def fixed(): pass\n"
        "    def __len__(self): return 4\n"
        "def left(): return [n for n in ('of_base', 'limit', 'table', 'method', 'fixed', '__len__') if hasattr(Full, n)]\n"
        "full = Full()"
    )
    every = "['of_base', 'limit', 'table', 'method', 'fixed', '__len__']"
    asked = [f"%%remote --async\nfirst{n} = len(full), left()" for n in range(4)]  # on all workers
    for code in asked:
        kernel.ok(code)
    assert kernel.ok("{str(found) for found in nbray.get([first0, first1, first2, first3])}").value == repr(
        {f"(4, {every})"}
    )
    kernel.ok("del Full.method, Full.limit, Base.of_base, Full.__len__")
    for code in asked:
        kernel.ok(code.replace("len(full)", "4"))
    found = kernel.ok("{str(found) for found in nbray.get([first0, first1, first2, first3])}").value
    assert found == repr({"(4, ['table', 'fixed'])"})
    assert kernel.ok("%%remote\nFull.late = 5\ndel Full.table\nleft()").value == "['fixed']"
    assert kernel.ok("left(), Full.late").value == "(['fixed'], 5)"
    kernel.ok("%%remote\nfrom functools import partial\nfor name in ('fixed',): delattr(type(full), name)")
    assert kernel.ok("left()").value == "[]"


def test_what_is_deleted_here_of_a_class_that_a_cell_has_made_is_gone_on_its_worker(kernel: Kernel) -> None:
    kernel.ok(
        "%%remote\nimport os\nclass Made:\n    k = 1\n    def m(self): pass\n    def __len__(self): return 2\nwhere = os.getpid()"
    )
    kernel.ok("del Made.m")
    look = "%%remote --each _=range(8)\nfound = os.getpid(), hasattr(Made, 'm'), Made.k, len(Made())"
    for _ in range(50):
        kernel.ok(look)
        assert kernel.ok("{each[1:] for each in found}").value == "{(False, 1, 2)}"
        if kernel.ok("where in {each[0] for each in found}").value == "True":
            return
    pytest.fail("none of 400 items ran on the worker that has made the class")


def test_what_an_actor_keeps_in_a_class_stays_when_the_class_comes_again(kernel: Kernel) -> None:
    kernel.ok("class Settings:\n    rate = 1\n    old = 2")
    kernel.ok(
        "@nbray.remote\nclass Keeper:\n    def keep(self, s): type(s).kept = 7\n    def look(self, s): return type(s).kept, type(s).rate, hasattr(s, 'old')"
    )
    kernel.ok(
        "keeper = Keeper.remote()\nnbray.get(keeper.keep.remote(Settings()))\nSettings.rate = 9\ndel Settings.old"
    )
    assert kernel.ok("nbray.get(keeper.look.remote(Settings()))").value == "(7, 9, False)"
