"""``%%remote`` in a real kernel: names in, names out, values, the world around the cell."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit import Kernel


def test_names_go_over_and_come_back(kernel: Kernel) -> None:
    kernel.ok("y = 3\ndef double(v): return 2 * v\n_private = 1")
    cell = kernel.ok("%%remote\nx = double(y) + _private\n_hidden = 5\nx * 10")
    assert cell.value == "70"
    assert kernel.ok("x, '_hidden' in globals()").value == "(7, False)"


def test_semicolon_and_none_show_nothing(kernel: Kernel) -> None:
    assert kernel.ok("%%remote\n1 + 1;").value is None
    assert kernel.ok("%%remote\nNone").value is None
    assert kernel.ok("%%remote\npass").messages[-1]["msg_type"] == "status"


def test_it_runs_in_another_process(kernel: Kernel) -> None:
    kernel.ok("%%remote\nimport os\nworker = os.getpid()")
    assert int(kernel.ok("worker").value or 0) != kernel.pid


def test_nothing_starts_before_the_first_use(fresh_kernel: Kernel) -> None:
    fresh_kernel.ok("%load_ext nbray\nimport nbray")
    assert fresh_kernel.ok("nbray.is_initialized()").value == "False"
    assert fresh_kernel.ok("%%remote\n6 * 7").value == "42"
    assert fresh_kernel.ok("nbray.is_initialized()").value == "True"


def test_classes_stay_the_same_class(kernel: Kernel) -> None:
    kernel.ok("class P:\n    k = 1\n    def m(self): return K + self.k\nK = 1\np = P()")
    kernel.ok("%%remote\nq = P()\np.k = 5\nclass R(P): pass\nr = R()")
    assert kernel.ok("isinstance(q, P), isinstance(r, P), p.m(), r.m()").value == "(True, True, 6, 2)"


def test_functions_that_come_back_see_the_notebook(kernel: Kernel) -> None:
    kernel.ok("base = 100")
    kernel.ok("%%remote\ndef above(v): return base + v")
    assert kernel.ok("above(1)").value == "101"
    kernel.ok("base = 200")
    assert kernel.ok("above(1)").value == "201"


def test_globals_that_called_functions_rebind(kernel: Kernel) -> None:
    kernel.ok("count = 0\nseen = {}\ndef bump():\n    global count\n    count += 1\n    seen[count] = True")
    kernel.ok("%%remote\nbump()\nbump()")
    assert kernel.ok("count, seen").value == "(2, {1: True, 2: True})"


def test_changes_in_place_come_back(kernel: Kernel) -> None:
    kernel.ok(
        "import numpy as np, pandas as pd\n"
        "a = np.zeros(5); same = a; big = np.zeros(1_000_000); big_same = big\n"
        "df = pd.DataFrame({'x': [1, 2]}); df_same = df; lst = [1]; d = {}\n"
        "import collections; made = collections.defaultdict(list)"
    )
    kernel.ok(
        "%%remote\na[3] = 7\nbig[10] = 5\ndf['y'] = df['x'] * 2\ndf.loc[0, 'x'] = 99\n"
        "lst.append(5)\nd.setdefault('k', []).append(1)\n"
        "made.default_factory = int; made['n'] += 2"
    )
    assert kernel.ok("made['m'], made").value == "(0, defaultdict(int, {'n': 2, 'm': 0}))"
    assert kernel.ok("a[3], same is a, same[3], big[10], big_same is big").value == (
        "(np.float64(7.0), True, np.float64(7.0), np.float64(5.0), True)"
    )
    assert kernel.ok("df_same is df, df.to_dict('list'), lst, d").value == (
        "(True, {'x': [99, 2], 'y': [2, 4]}, [1, 5], {'k': [1]})"
    )


def test_what_classes_and_functions_keep_comes_back(kernel: Kernel) -> None:
    kernel.ok(
        "class Registry:\n    items = []\n    made = 0\n    def __init__(self):\n        Registry.made += 1\n"
        "def count():\n    count.calls += 1\ncount.calls = 0\n"
        "def counter():\n    n = 0\n    def step():\n        nonlocal n\n        n += 1\n        return n\n    return step\nstep = counter()"
    )
    kernel.ok("%%remote\nRegistry.items.append(1)\nRegistry()\nRegistry.extra = 'new'\ncount(); step(); step()")
    assert (
        kernel.ok("Registry.items, Registry.made, Registry.extra, count.calls, step()").value == "([1], 1, 'new', 1, 3)"
    )
    kernel.ok("def kept(item, items=[]):\n    items.append(item)\n    return items")
    kernel.ok("%%remote\ndel Registry.extra\nRegistry.__repr__ = lambda self: 'shown'\nkept(1)")
    assert kernel.ok("Registry(), kept(2)").value == "(shown, [1, 2])"
    assert kernel.ok("hasattr(Registry, 'extra')").value == "False"
    told = kernel.ok("%%remote --each x=range(2)\nRegistry()").text("stderr")
    assert "Registry was changed by the items, each its own copy" in told


def test_functions_made_together_share_their_variables(kernel: Kernel) -> None:
    kernel.ok(
        "%%remote\ndef account():\n    total = 0\n    def add(n):\n        nonlocal total\n        total += n\n        return add\n"
        "    def read(): return total\n    return add, read\nadd, read = account(); add(1)"
    )
    assert kernel.ok("add(1) is add, read()").value == "(True, 2)"
    assert kernel.ok("%%remote\nadd(1); read()").value == "3"
    kernel.ok("%%remote\nadd(1)")  # which does not name the other
    assert kernel.ok("read()").value == "4"


def test_what_is_registered_for_classes_comes_back(kernel: Kernel) -> None:
    kernel.ok(
        "import abc, functools\n@functools.singledispatch\ndef kind(x): return 'any'\nkind(1)\nclass Shape(abc.ABC): pass"
    )
    kernel.ok(
        "%%remote\nclass Square: pass\n@kind.register(Square)\ndef of_square(x): return 'square'\n"
        "@kind.register\ndef _(x: int): return 'int'\nShape.register(Square)"
    )
    here = "kind(Square()), kind(1), kind(''), kind.dispatch(Square) is of_square, issubclass(Square, Shape)"
    assert kernel.ok(here).value == "('square', 'int', 'any', True, True)"
    assert kernel.ok(f"%%remote\n{here}").value == "('square', 'int', 'any', True, True)"


def test_tests_of_the_notebook_are_found(kernel: Kernel) -> None:
    kernel.ok("import doctest, unittest\ndef three():\n    '''\n    >>> three()\n    3\n    '''\n    return 3")
    kernel.ok("class Tests(unittest.TestCase):\n    def test_it(self): self.assertEqual(three(), 3)")
    assert kernel.ok("%%remote\ndoctest.testmod()").value == "TestResults(failed=0, attempted=1)"
    cell = kernel.ok("%%remote\nunittest.main(argv=[''], exit=False).result")
    assert cell.value == "<unittest.runner.TextTestResult run=1 errors=0 failures=0>"


def test_new_types(kernel: Kernel) -> None:
    cell = kernel.ok("%%remote\nfrom typing import NewType\nUser = NewType('User', int)\ndef of(x: User): pass")
    assert cell.text("stderr") == ""
    there = kernel.ok("%%remote\nsame = User\nUser(5), of.__annotations__['x'] is User, User")
    assert there.value == "(5, True, __main__.User)"
    assert kernel.ok("User(5), same is User, of.__annotations__['x'] is User").value == "(5, True, True)"


def test_functions_in_a_changed_container_stay_the_same(kernel: Kernel) -> None:
    kernel.ok("steps = {}\ndef step(f):\n    steps[f.__name__] = f\n    return f\n@step\ndef first(): return 1")
    kernel.ok("%%remote\n@step\ndef second(): return 2")
    assert kernel.ok("steps['first'] is first, steps['second'] is second, list(steps)").value == (
        "(True, True, ['first', 'second'])"
    )
    kernel.ok("%%remote\nsteps['first'].calls = 1; steps['third'] = len")
    assert kernel.ok("steps['first'].calls, steps['third'] is len").value == "(1, True)"


def test_cached_properties(kernel: Kernel) -> None:
    kernel.ok(
        "%%remote\nfrom functools import cached_property\nclass Area:\n    @cached_property\n    def size(self):\n"
        "        'How large.'\n        print('looks')\n        return 5\narea = Area()"
    )
    assert kernel.ok("area.size, area.size, Area.size.__doc__").text() == "looks\n"
    assert kernel.ok("%%remote\narea.size + Area().size").text() == "looks\n"
    assert kernel.ok("nbray.get(nbray.remote(lambda: area.size + Area().size).remote())").value == "10"


def test_arrays_that_show_a_file_show_it_there(kernel: Kernel) -> None:
    kernel.ok(
        "import numpy as np\nmapped = np.memmap('mapped.bin', 'f4', 'w+', shape=(600_000,)); whole = mapped\n"
        "looked = np.memmap('mapped.bin', 'f4', 'r')\ndef store(array): array[1] = 6"
    )
    kernel.ok(
        "%%remote\nmapped[0] = 5\nstore(mapped)\nfresh = np.memmap('fresh.bin', 'i8', 'w+', shape=(2, 3), order='F')"
    )
    assert kernel.ok("whole is mapped, looked[:3].tolist(), type(fresh)").value == (
        "(True, [5.0, 6.0, 0.0], numpy.memmap)"
    )
    kernel.ok("fresh[1, 2] = 7")
    assert kernel.ok("%%remote\nnp.fromfile('fresh.bin', 'i8').tolist(), fresh.flags.f_contiguous").value == (
        "([0, 0, 0, 0, 0, 7], True)"
    )
    private = "private = np.memmap('mapped.bin', 'f4', 'c'); private[0] = 1; part = mapped[1:2]"
    kernel.ok(private)
    assert kernel.ok("%%remote\nfloat(private[0]), float(part[0])").value == "(1.0, 6.0)"


def test_the_notebooks_own_module(kernel: Kernel) -> None:
    kernel.ok("import sys\nvalue = 5")
    kernel.ok("%%remote\nimport __main__")
    kernel.ok("%%remote\n__main__.made = __main__.value + 1")
    assert kernel.ok("made").value == "6"
    assert kernel.ok("%%remote\nsys.modules['__main__'].made").value == "6"
    assert "function calls" in kernel.ok("%%remote\nimport cProfile\ncProfile.run('made + 1')").text()


def test_state_outside_of_an_objects_dict_comes_back(kernel: Kernel) -> None:
    kernel.ok(
        "import random\ndice = random.Random(3)\nsame = random.Random(3)\nclass Slim:\n    __slots__ = ('a',)\nslim = also = Slim()\nslim.a = 1"
    )
    kernel.ok("%%remote\ndice.random()\nslim.a += 1\nnew = Slim()\nnew.a = 5")
    assert (
        kernel.ok("same.random(); dice.random() == same.random(), also.a, new.a, hasattr(new, '__dict__')").value
        == "(True, 2, 5, False)"
    )


def test_random_numbers_go_on_where_they_were(kernel: Kernel) -> None:
    kernel.ok("import random\nimport numpy as np")
    draw = "[random.random(), float(np.random.rand())]"
    seed = "random.seed(4); np.random.seed(4);"
    here = kernel.ok(f"{seed} {draw} + {draw} + {draw}").value
    kernel.ok(f"{seed} first = {draw}")
    kernel.ok(f"%%remote\nsecond = {draw}")
    assert kernel.ok(f"first + second + {draw}").value == here
    kernel.ok(f"%%remote\n{seed}")
    assert kernel.ok(f"{draw} + {draw} + {draw}").value == here
    kernel.ok(f"{seed}")
    several = kernel.ok(f"%%remote --each x=range(4)\ndrawn = {draw}\ndrawn[0] == random.Random(4).random()")
    assert several.value == "[False, False, False, False]", "items that draw the same numbers would be worth nothing"


def test_random_numbers_of_libraries_go_on_too(kernel: Kernel) -> None:
    kernel.ok(
        "open('dice.py', 'w').write('import random\\nimport numpy as np\\ndef fix(k):\\n    np.random.seed(k); random.seed(k)\\n'\n"
        "    'def draw():\\n    return float(np.random.rand()), random.random(), float(np.random.randn())\\n')\nNone"
    )
    here = kernel.ok("from dice import draw, fix\nfix(1)\n[draw() for _ in range(5)]").value
    kernel.ok("fix(1)\nd1 = draw()")
    kernel.ok("%%remote\nd2 = draw()")
    kernel.ok("d3 = draw()")
    kernel.ok("%%remote\nd4 = draw()")
    assert kernel.ok("[d1, d2, d3, d4, draw()]").value == here
    kernel.ok("%%remote\nfix(1)")
    kernel.ok("%%remote\nd1 = draw()")
    assert kernel.ok(f"[d1, draw()] == {here}[:2]").value == "True"
    # A cell that loads the library itself, in a worker that has not.
    kernel.ok("np.random.seed(1); np.set_printoptions(precision=3)")
    cell = kernel.ok("%%remote --num-cpus 2\nimport numpy as np\nprint(np.array([1.23456]))\nfloat(np.random.rand())")
    assert (cell.text(), cell.value) == ("[1.235]\n", kernel.ok("np.random.seed(1)\nfloat(np.random.rand())").value)


def test_generators_and_iterators_stay_where_a_cell_left_them(kernel: Kernel) -> None:
    kernel.ok(
        "import copy\nimport numpy as np\nbits = np.random.PCG64(1)\nrng = np.random.default_rng(5)\n"
        "own = np.random.Generator(bits)\nolder = np.random.RandomState(2)\nmodel = lambda: 0\nmodel.rng = rng\n"
        "same = copy.deepcopy((rng, own, older))\npairs = enumerate(iter('abc'))"
    )
    kernel.ok("%%remote\ndrawn = rng.integers(100), own.random(), older.rand(), next(pairs)")
    kernel.ok(
        "assert drawn == (same[0].integers(100), same[1].random(), same[2].rand(), (0, 'a'))\n"
        "assert (rng.random(), own.random(), older.rand()) == (same[0].random(), same[1].random(), same[2].rand())\n"
        "assert next(pairs) == (1, 'b') and own.bit_generator is bits and model.rng.random() == same[0].random()"
    )


def test_depth_of_recursion_and_precision_of_decimals(kernel: Kernel) -> None:
    kernel.ok(
        "import decimal, sys\nbefore = sys.getrecursionlimit()\nsys.setrecursionlimit(2345)\ndecimal.getcontext().prec = 5"
    )
    try:
        assert kernel.ok("%%remote\nsys.getrecursionlimit(), str(decimal.Decimal(1) / 3)").value == "(2345, '0.33333')"
        kernel.ok("%%remote\nsys.setrecursionlimit(2346)\ndecimal.getcontext().prec = 3")
        assert kernel.ok("sys.getrecursionlimit(), str(decimal.Decimal(1) / 3)").value == "(2346, '0.333')"
    finally:
        kernel.ok("sys.setrecursionlimit(before)\ndecimal.getcontext().prec = 28")


def test_objects_of_the_notebooks_classes_are_saved_and_loaded(kernel: Kernel) -> None:
    kernel.ok(
        "import pickle\nclass Scale:\n    pass\ndef score(x): return x + 1\n"
        "pipe = {'steps': [Scale()], 'score': score}\nmade = Scale, score"
    )
    kernel.ok("%%remote\nwith open('pipe.pkl', 'wb') as file: pickle.dump(pipe, file)")
    kernel.ok("%%remote\nwith open('pipe.pkl', 'rb') as file: again = pickle.load(file)\npickle.dumps(pipe)")
    assert kernel.ok("type(again['steps'][0]) is Scale, again['score'](1)").value == "(True, 2)"
    assert kernel.ok("%%remote --actor saver\npickle.loads(pickle.dumps(pipe))['score'](2)").value == "3"
    assert kernel.ok("%%remote\nimport __main__\nhasattr(__main__, 'no_such_name')").value == "False"


def test_what_a_frame_or_series_is_called_comes_back(kernel: Kernel) -> None:
    kernel.ok(
        "import pandas as pd\nseries = pd.Series([1], name='a')\nframe = pd.DataFrame({'a': [1]})\nkept = series, frame"
    )
    kernel.ok("%%remote\nseries.name = 'b'\nframe.attrs['source'] = 'c'")
    assert kernel.ok("kept[0].name, kept[1].attrs").value == "('b', {'source': 'c'})"


def test_settings_of_libraries_hold_in_a_cell(kernel: Kernel) -> None:
    kernel.ok(
        "import warnings, numpy as np, pandas as pd, matplotlib.pyplot as plt\nwarnings.filterwarnings('ignore', 'well known')\n"
        "np.set_printoptions(precision=2); np.seterr(divide='ignore'); pd.set_option('display.max_rows', 4)\n"
        "plt.rcParams['lines.linewidth'] = 7.5"
    )
    cell = kernel.ok(
        "%%remote\nwarnings.warn('well known')\nwarnings.warn('news')\nprint(np.array([1.23456]) , np.array([1.0]) / 0)\n"
        "print(len(str(pd.Series(range(50))).splitlines()), plt.rcParams['lines.linewidth'])\nplt.rcParams['lines.linewidth'] = 3"
    )
    assert cell.text() == "[1.23] [inf]\n6 7.5\n"
    assert (
        "news" in cell.text("stderr")
        and "well known" not in cell.text("stderr")
        and "divide" not in cell.text("stderr")
    )
    assert kernel.ok("plt.rcParams['lines.linewidth']").value == "3.0"
    assert kernel.ok("nbray.get(nbray.remote(lambda: plt.rcParams['lines.linewidth']).remote())").value == "1.5"


def test_the_name_of_a_handler_is_gone(kernel: Kernel) -> None:
    kernel.ok("problem = 1")
    kernel.ok("%%remote\ntry:\n    pass\nexcept ValueError as problem:\n    pass")
    assert kernel.ok("problem").value == "1"
    kernel.ok("%%remote\ntry:\n    1 / 0\nexcept ArithmeticError as problem:\n    pass")
    assert kernel.ok("'problem' in globals()").value == "False"


def test_an_unforeseen_store_fails_instead_of_being_lost(kernel: Kernel) -> None:
    kernel.ok("import numpy as np\nbig = np.zeros(1_000_000)\ndef store(arr): arr[0] = 1")
    cell = kernel.run("%%remote\nstore(big)")
    assert "read-only" in cell.traceback
    assert "copy()" in cell.traceback


def test_shared_objects_stay_shared(kernel: Kernel) -> None:
    kernel.ok("import numpy as np\none = [1]; both = {'a': one, 'b': one}; arr = np.arange(3); view = arr")
    assert kernel.ok("%%remote\nboth['a'] is one, both['a'] is both['b'], view is arr").value == "(True, True, True)"
    kernel.ok("%%remote\nalias = one\npair = [arr, arr]\nnew = [0]\nnew_too = new")
    assert kernel.ok("alias is one, pair[0] is arr, pair[1] is arr, new is new_too").value == (
        "(True, True, True, True)"
    )


def test_refs_by_name_are_values_and_stay_refs_in_containers(kernel: Kernel) -> None:
    kernel.ok("ref = nbray.put(5)\nboxed = [ref]")
    cell = kernel.ok("%%remote\nmade = nbray.put('there')\nref + 1, type(boxed[0]).__name__, nbray.get(boxed[0])")
    assert cell.value == "(6, 'ObjectRef', 5)"
    assert kernel.ok("nbray.get(made)").value == "'there'"


def test_a_ref_that_the_cell_changes_becomes_a_value(kernel: Kernel) -> None:
    kernel.ok(
        "import numpy as np\nlist_ref = nbray.put([1, 2])\nbig_ref = nbray.put(np.zeros(1_000_000))\nalso = big_ref"
    )
    kernel.ok("%%remote\nlist_ref.append(3)\nbig_ref[5] = 1")
    assert kernel.ok("list_ref, big_ref[5], also is big_ref").value == "([1, 2, 3], np.float64(1.0), True)"


def test_actors(kernel: Kernel) -> None:
    kernel.ok(
        "@nbray.remote\nclass Counter:\n    def __init__(self): self.n = 0\n"
        "    def add(self, k):\n        self.n += k\n        return self.n\nhandle = Counter.remote()"
    )
    assert kernel.ok("%%remote\nnbray.get([handle.add.remote(5), handle.add.remote(1)])").value == "[5, 6]"
    assert kernel.ok("nbray.get(handle.add.remote(1))").value == "7"


def test_dataclasses_enums_and_caches(kernel: Kernel) -> None:
    kernel.ok("import functools\n@functools.lru_cache\ndef fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)")
    kernel.ok(
        "%%remote\nfrom dataclasses import dataclass\nimport enum\n@dataclass\nclass D:\n    x: int\n"
        "class Colour(enum.Enum):\n    RED = 1\nd = D(3)\nc = Colour.RED\nf = fib(30)"
    )
    assert kernel.ok("d == D(3), c is Colour.RED, f").value == "(True, True, 832040)"
    assert kernel.ok("%%remote\nd.x = 8\nc is Colour.RED, d == D(8)").value == "(True, True)"
    assert kernel.ok("d").value == "D(x=8)"


def test_enumerations_are_whole_on_both_sides(kernel: Kernel) -> None:
    """Aliases, combined flags, what members have beside their values; and nothing of the user's runs again."""
    kernel.ok(
        "import enum\nmade = []\nclass Perm(enum.Flag):\n    R = 4; W = 2; X = 1; RW = R | W; NONE = 0\n"
        "class Word(enum.Enum):\n    YES = 1; OUI = 1; NO = 0\n"
        "class Planet(enum.Enum):\n    EARTH = 6.0, 2.0\n"
        "    def __init__(self, mass, radius): self.mass, self.radius = mass, radius; made.append(self.name)\n"
        "    @property\n    def density(self): return self.mass / self.radius\n"
        "class Status(enum.IntEnum):\n    OK = 200, 'fine'\n    def __new__(cls, number, phrase):\n"
        "        self = int.__new__(cls, number); self._value_ = number; self.phrase = phrase; return self\n"
        "class Numbered(enum.Enum):\n    def __new__(cls):\n"
        "        self = object.__new__(cls); self._value_ = len(cls.__members__) + 1; return self\n"
        "class Color(Numbered):\n    RED = (); GREEN = ()\n    def next(self): return Color(self.value % 2 + 1)\n"
        "Color.RED.other = Color.GREEN\nheld = [Perm.R | Perm.W, Word.OUI, Planet.EARTH, Status.OK, Color.RED]"
    )
    look = (
        "[held[0] is Perm.RW, Perm.NONE, Perm.RW & Perm.R, list(Word.__members__), Word.OUI is Word.YES is held[1], "
        "held[2].density, held[3] + 1, held[3].phrase, held[4].next(), held[4].other is Color.GREEN, made]"
    )
    expected = kernel.ok(look).value
    assert kernel.ok(f"%%remote\n{look}").value == expected
    assert "'YES', 'OUI', 'NO'" in str(expected) and "['EARTH']" in str(expected)
    kernel.ok(
        "%%remote\nclass Later(enum.Flag):\n    A = 1; B = 2; BOTH = A | B\n    def __init__(self, bits): self.bits = bin(bits)\n"
        "kept = Later.BOTH"
    )
    assert kernel.ok("kept is Later.BOTH is Later(3), kept.bits, Later.A.bits").value == "(True, '0b11', '0b1')"
    assert kernel.ok("%%remote\nkept is Later.BOTH, kept.bits, Later.B.bits").value == "(True, '0b11', '0b10')"


def test_a_large_value_that_a_method_changes_comes_back_or_is_told(kernel: Kernel) -> None:
    kernel.ok("numbers = list(range(500_000)); same = numbers; data = bytearray(2_000_000)")
    assert "numbers.append() changed it, all of it came back" in kernel.ok("%%remote\nnumbers.append(1)").text("stderr")
    assert kernel.ok("len(numbers), same is numbers").value == "(500001, True)"
    assert "data.append() changed" in kernel.ok("%%remote\ndata.append(1)").text("stderr")


def test_modules_by_name(kernel: Kernel) -> None:
    kernel.ok("import os.path as p\nimport xml.dom.minidom, xml")
    assert kernel.ok("%%remote\np.basename('/a/b'), xml.dom.minidom.__name__").value == "('b', 'xml.dom.minidom')"
    kernel.ok("%%remote\nimport json as js\nimport email.mime.text")
    assert kernel.ok("js.dumps([1]), email.mime.text.__name__").value == "('[1]', 'email.mime.text')"


def test_delete(kernel: Kernel) -> None:
    kernel.ok("doomed = 1")
    kernel.ok("%%remote\ndel doomed")
    assert kernel.ok("'doomed' in globals()").value == "False"


def test_names_that_only_text_mentions(kernel: Kernel) -> None:
    kernel.ok("code = 'k1 + 5'; k1 = 5; hidden_name = 9")
    cell = kernel.ok(
        "%%remote\nname = 'hidden' + '_name'\nexec('made = k1 * 2')\n"
        "eval(code), globals()['hidden_name'], globals()[name]"
    )
    assert cell.value == "(10, 9, 9)"
    assert kernel.ok("made").value == "10"


def test_history_names(kernel: Kernel) -> None:
    kernel.ok("5 + 5")
    cell = kernel.ok("%%remote\n_ + 1, max(Out) > 0, len(In) > 1")
    assert cell.value == "(11, True, True)"


def test_working_directory_environment_and_path(kernel: Kernel) -> None:
    kernel.ok("import os, sys, tempfile\nhere = os.getcwd()\nos.environ['NOTEBOOK_SAYS'] = 'hi'")
    kernel.ok("os.chdir(tempfile.gettempdir())\nsys.path.insert(0, '/nowhere/at/all')")
    cell = kernel.ok(
        "%%remote\nos.environ['NOTEBOOK_SAYS'], os.getcwd() == tempfile.gettempdir(), sys.path[0], __name__"
    )
    assert cell.value == "('hi', True, '/nowhere/at/all', '__main__')"
    kernel.ok("os.chdir(here)\nsys.path.remove('/nowhere/at/all')\ndel os.environ['NOTEBOOK_SAYS']")
    assert kernel.ok("%%remote\n'NOTEBOOK_SAYS' in os.environ").value == "False"


def test_magics_shell_and_await_inside(kernel: Kernel) -> None:
    kernel.ok("target = 'world'\ndef h(v): return v + 1")
    cell = kernel.ok(
        "%%remote\nout = !echo captured; echo twice\n!echo hello $target {target[0]}\n%time w = h(1)\n"
        "import asyncio\nawait asyncio.sleep(0)\nasync def co(): return 5\nres = await co()\nres"
    )
    assert cell.value == "5"
    assert "hello world w" in cell.text()
    assert "Wall time" in cell.text()
    assert kernel.ok("list(out), w, res").value == "(['captured', 'twice'], 2, 5)"
    assert kernel.ok("%%remote\n%cd -q /\nimport os\nos.getcwd()").value == "'/'"


def test_cell_magics_above_and_below(kernel: Kernel) -> None:
    cell = kernel.ok("%%time\n%%remote\n1 + 1")
    assert cell.value == "2"
    assert "Wall time" in cell.text()
    assert "Wall time" in kernel.ok("%%remote\n%%time\ninner = 5").text()
    assert kernel.ok("inner").value == "5"
    kernel.ok("%%capture captured\n%%remote\nprint('not shown')")
    assert kernel.ok("captured.stdout").value == "'not shown\\n'"


def test_line_magic(kernel: Kernel) -> None:
    kernel.ok("y = 4")
    assert kernel.ok("w = %remote --num-cpus 1 y * 2\nw").value == "8"


def test_selected_names(kernel: Kernel) -> None:
    kernel.ok("%%remote -o wanted\nwanted = 1\nunwanted = 2")
    assert kernel.ok("wanted, 'unwanted' in globals()").value == "(1, False)"
    cell = kernel.ok("%%remote -o wanted,mistyped\nwanted = 1\nmistpyed = 2")
    assert "-o mistyped: there is no such name" in cell.text("stderr")  # what the cell has computed would go unnoticed
    assert kernel.run("%%remote -o never\nnever = 1 / 0").text("stderr") == ""
    kernel.ok("%%remote -o _private,_json\n_private = 3\nimport json as _json\n_other = 4")
    assert kernel.ok("_private, _json.__name__, '_other' in globals()").value == "(3, 'json', False)"
    kernel.ok("%%remote --no-out\nnever = 1")
    assert kernel.ok("'never' in globals()").value == "False"


def test_large_arrays(kernel: Kernel) -> None:
    kernel.ok("import numpy as np\nmatrix = np.ones((1000, 1000))")
    assert kernel.ok("%%remote\nresult = matrix * 2\nmatrix.flags.writeable, result.sum()").value == (
        "(False, np.float64(2000000.0))"
    )
    assert kernel.ok("result.sum(), result.shape").value == "(np.float64(2000000.0), (1000, 1000))"


@pytest.mark.parametrize("value", ["[]", "{'a': (1, 2.5, None)}", "b'x' * 3_000_000", "'x' * 3_000_000", "{1, 2}"])
def test_values_come_back_equal(kernel: Kernel, value: str) -> None:
    assert kernel.ok(f"%%remote\nback = {value}").reply
    assert kernel.ok(f"back == {value}").value == "True"


def test_unload(fresh_kernel: Kernel) -> None:
    fresh_kernel.ok("%load_ext nbray")
    fresh_kernel.ok("%unload_ext nbray")
    assert fresh_kernel.run("%%remote\n1").reply["status"] == "error"  # type: ignore[index]
    fresh_kernel.ok("%load_ext nbray")
    assert fresh_kernel.ok("%%remote\n1").value == "1"


@pytest.mark.slow
def test_names_of_startup_files_are_there(tmp_path: Path) -> None:
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-mine.py").write_text("import math as m\nANSWER = 42\ndef helper(): return ANSWER\n")
    kernel = Kernel(tmp_path)
    try:
        assert (
            kernel.ok("%%remote\nANSWER += 1\nANSWER, helper(), m.floor(1.5), [open, exit, quit] and 1").value
            == "(43, 43, 1, 1)"
        )
        assert kernel.ok("helper()").value == "43"
    finally:
        kernel.close()


def test_comments_above_the_magic_and_behind_it(kernel: Kernel) -> None:
    form = '#@title A form { run: "auto" }\n\n# of Colab\'s\n%%remote --quiet  # two lines\nn = 5 #@param {type:"integer"}\nn'
    assert kernel.ok(form).value == "5"
    assert "----> 3 1 / 0" in kernel.run("# above\n%%remote\n1 / 0").traceback
    refused = kernel.run("# above\nm = 1\n%%remote\nm")
    assert refused.reply is not None and "not found" in refused.text(
        "stderr"
    )  # as any other magic that is not above all code


def test_names_in_underscores_are_sent_but_those_of_every_module(kernel: Kernel) -> None:
    kernel.ok("__version__, __file_of_it__, spec = '1.2', 'a.ipynb', __spec__")
    assert kernel.ok("%%remote\n__version__, __file_of_it__, __name__").value == "('1.2', 'a.ipynb', '__main__')"
