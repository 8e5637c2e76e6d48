"""A cell that was moved to the cluster leaves the notebook as it would have done here."""

from __future__ import annotations

import importlib.metadata
import sys

import pytest
from kit import Kernel

# What stands before the cell, the cell, and what is looked at after it: it has to be True, and the cell has nothing to tell.
CASES = {
    "a hook of subclasses runs once": (
        "class Plug:\n    table = {}\n    def __init_subclass__(cls, /, key, **rest):\n"
        "        super().__init_subclass__(**rest)\n        Plug.table.setdefault(key, []).append(cls)\n"
        "class Old(Plug, key='old'): pass",
        "class New(Old, key='new'):\n    def go(self): return 7\n"
        "assert list(map(len, Plug.table.values())) == [1, 1]; Plug.table['new'][0]().go()",
        "[len(Plug.table['old']), Plug.table['new'] == [New], New().go(), Plug.__subclasses__() == [Old]] == [1, True, 7, True]",
    ),
    "a metaclass makes each class once": (
        "class Meta(type):\n    made = []\n    def __new__(meta, name, bases, names, tag='none'):\n"
        "        made = super().__new__(meta, name, bases, names); made.tag = tag; Meta.made.append(made); return made\n"
        "class First(metaclass=Meta, tag='first'): pass",
        "class Second(First, tag='second'): pass\nassert Meta.made == [First, Second]",
        "Meta.made == [First, Second] and [First.tag, Second.tag] == ['first', 'second'] and type(Second) is Meta",
    ),
    "a class with a single object": (
        "class Once:\n    made = None\n    def __new__(cls):\n        if cls.made is None: cls.made = super().__new__(cls)\n"
        "        return cls.made\nonce = Once(); once.n = 0",
        "Once().n += 1",
        "once.n == 1 and Once() is once",
    ),
    "a slot that is emptied": (
        "class Slots:\n    __slots__ = ('x', 'y')\ntwo, one = Slots(), Slots(); two.x = two.y = one.x = 1",
        "del two.x, one.x; two.y = 5",
        "[hasattr(two, 'x'), hasattr(one, 'x'), two.y] == [False, False, 5]",
    ),
    "functions in functions keep things": (
        "def counted(f):\n    f.n = 0; n = 0\n    def wrapper(*a):\n        nonlocal n\n        n += 1; f.n += 1\n        return f(*a)\n"
        "    wrapper.counts = lambda: (n, f.n)\n    return wrapper\n"
        "class Has:\n    @counted\n    def plain(self): pass\n    @staticmethod\n    @counted\n    def static(): pass\n"
        "    @property\n    @counted\n    def prop(self): pass\n    class Inner:\n        total = 0\n"
        "@counted\ndef job(): pass",
        "h = Has(); h.plain(); h.plain(); h.static(); h.prop; Has.Inner.total += 3; job(); Has.plain.extra = 1",
        "[Has.plain.counts(), Has.static.counts(), vars(Has)['prop'].fget.counts(), Has.Inner.total, job.counts(), Has.plain.extra]"
        " == [(2, 2), (1, 1), (1, 1), 3, (1, 1), 1]",
    ),
    "what a function is called and takes": (
        "def f(a, b=1, *, c=2): 'doc'; return a, b, c\nclass Has:\n    def method(self, x=1): return x\n    def plain(self, x=1): return x",
        "f.__defaults__ = (5,); f.__doc__ = 'new'; f.__name__ = 'g'; f.__kwdefaults__ = None; Has.method.__defaults__ = None",
        "[f(1, c=0), f.__doc__, f.__name__, f.__kwdefaults__, Has.method.__defaults__, Has().plain()] == [(1, 5, 0), 'new', 'g', None, None, 1]",
    ),
    "errors that a cell has caught": (
        "import threading, traceback\nlst = [1]\ntry: 1 / 0\nexcept Exception as error: here = error",
        "def inner(): return {}['k']\nclass Odd(Exception):\n    def __init__(self, *, b): super().__init__('odd'); self.b = b\n"
        "try:\n    try: inner()\n    except KeyError as error: raise ValueError(lst) from error\nexcept ValueError as error: chained = error\n"
        "try:\n    try: raise Odd(b=threading.Lock())\n    except Odd: raise RuntimeError\nexcept RuntimeError as error: of_odd = error\n"
        "try: raise TypeError from here\nexcept TypeError as error: of_here = error\n"
        "assert [f.name for f in traceback.extract_tb(here.__traceback__)][-1] == '<module>'",
        "[repr(chained), chained.args[0] is lst, chained.__cause__ is chained.__context__, repr(chained.__cause__),"
        " [f.name for f in traceback.extract_tb(chained.__cause__.__traceback__)][-2:], type(of_odd.__context__).__name__,"
        " of_odd.__suppress_context__, of_here.__cause__ is here]"
        " == ['ValueError([1])', True, True, \"KeyError('k')\", ['<module>', 'inner'], 'Odd', False, True]",
    ),
    "handlers of signals": (
        "import os, signal, time\ndef ring(*a): raise TimeoutError\nhits = []\nsignal.signal(signal.SIGALRM, ring); signal.signal(signal.SIGHUP, ring)",
        "assert signal.getsignal(signal.SIGALRM) is ring\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\n"
        "try: time.sleep(60)\nexcept TimeoutError: rung = True\n"
        "def note(number, frame): hits.append(number)\nsignal.signal(signal.SIGUSR2, note)\nos.kill(os.getpid(), signal.SIGUSR2)\n"
        "while not hits: time.sleep(0.01)\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\nNone",
        "[rung, hits == [signal.SIGUSR2], signal.getsignal(signal.SIGUSR2) is note, signal.getsignal(signal.SIGHUP) is signal.SIG_IGN,"
        " signal.getsignal(signal.SIGALRM) is ring, signal.signal(signal.SIGUSR2, signal.SIG_DFL) is note] == [True] * 6",
    ),
    "the time zone": (
        "import os, time\nos.environ['TZ'] = 'Asia/Tokyo'; time.tzset()",
        "assert time.tzname == ('JST', 'JST')\nos.environ['TZ'] = 'Asia/Kolkata'; time.tzset()",
        "[time.tzname, os.environ.pop('TZ'), time.tzset()] == [('IST', 'IST'), 'Asia/Kolkata', None]",
    ),
    "context managers of generators": (
        "import contextlib\ntold = []\n@contextlib.contextmanager\ndef timed(tag='here'):\n    told.append('in ' + tag); yield tag; told.append('out')\n"
        "@timed()\ndef local(): told.append('local')",
        "@timed('there')\ndef decorated(): told.append('call')\ndecorated(); local(); held = timed('held')\nused = timed('used')\nwith used: pass\n"
        "assert told == ['in there', 'call', 'out', 'in here', 'local', 'out', 'in used', 'out']; told.clear()",
        "[decorated(), held.__enter__(), held.__exit__(None, None, None), used.gen is not None]"
        " == [None, 'held', False, True] and told == ['in there', 'call', 'out', 'in held', 'out']",
    ),
    "slots beside a dict that is emptied": (
        "class Both:\n    __slots__ = ('a', '__dict__')\nboth = Both(); both.a = 1; both.b = 2",
        "del both.b; both.a = [3]",
        "[hasattr(both, 'b'), both.a] == [False, [3]]",
    ),
    "an array in an object, and a view of it": (
        "import numpy as np, types\nwhole = np.zeros((2, 2)); turned = whole.T; holder = types.SimpleNamespace(array=whole)",
        "holder.array[0, 0] = 4; turned[1, 0] = 7",
        "whole.tolist() == [[4, 7], [0, 0]] == turned.T.tolist() and holder.array is whole",
    ),
    "large inputs that functions change": (
        "import numpy as np, pandas as pd\ntable = pd.DataFrame(np.zeros((100_000, 3)), columns=list('abc'))\n"
        "long = list(range(300_000)); same = long; mixed = {'a': np.zeros(200_000), 'log': []}\n"
        "class Model:\n    def __init__(self): self.w, self.steps = np.zeros(200_000), []\n"
        "    def fit(self): self.steps.append(1); self.w = self.w + 1\nmodel = Model()\n"
        "def change(table, long, mixed):\n    table['d'] = 1; table.pop('a'); long.append('end'); mixed['log'].append(1)",
        "change(table, long, mixed); model.fit(); table.insert(0, 'first', 2)",
        "[list(table), long[-1], len(mixed['log']), model.steps, model.w[0]] == [['first', 'b', 'c', 'd'], 'end', 1, [1], 1] and same is long",
    ),
    "calls that mocks have noted": (
        "from unittest import mock\nasked, other = mock.Mock(), mock.MagicMock(return_value=4); asked(1); held = [asked]",
        "asked(2, k=3); asked.a.b(5); new = mock.Mock(side_effect=[1, 2]); new()\nassert other() == 4 and asked.call_args == mock.call(2, k=3)",
        "[asked.call_args_list, asked.a.b.called, other.called, new()] == [[mock.call(1), mock.call(2, k=3)], True, True, 2]"
        " and held[0] is asked",
    ),
    "structures of ctypes": (
        "import ctypes\nclass Pair(ctypes.Structure):\n    _fields_ = [('x', ctypes.c_int), ('y', ctypes.c_double)]\n"
        "    def total(self): return self.x + self.y\n"
        "class Outer(ctypes.Structure):\n    _pack_ = 1\n    _fields_ = [('tag', ctypes.c_char), ('pair', Pair), ('row', ctypes.c_int * 3)]\n"
        "pair = Pair(1, 2.5); outer = Outer(b'z', pair); pairs = (Pair * 2)(); number = ctypes.c_int(4); text = ctypes.create_string_buffer(b'abc', 9)\n"
        "held = [pair, number]",
        "assert (pair.total(), outer.pair.y, text.value, ctypes.sizeof(Outer)) == (3.5, 2.5, b'abc', 29)\n"
        "pair.x = 9; outer.row[1] = 6; pairs[1].x = 8; number.value = 5; text.value = b'new'; made = Pair(3, 4)",
        "[held[0].x, held[0] is pair, outer.row[1], pairs[1].x, held[1].value, text.value, made.total(), type(made) is Pair]"
        " == [9, True, 6, 8, 5, b'new', 7, True]",
    ),
    "the shell under a name": (
        "ip = get_ipython()",
        "assert ip is get_ipython(); mine = get_ipython(); ip.user_ns['given'] = 5; ip.run_line_magic('pwd', '')",
        "mine is ip is get_ipython() and given == 5",
    ),
    "numbers that a class gives out": (
        "import itertools\nclass Node:\n    ids = itertools.count(3, 2)\n    def __init__(self): self.id = next(self.ids)\nzero = Node()",
        "one = Node(); assert (zero.id, one.id, itertools.count(0.5).__next__()) == (3, 5, 0.5)",
        "one.id == 5 and type(one) is Node",
    ),
}
if int(importlib.metadata.version("pandas").partition(".")[0]) >= 3:
    CASES["columns are copied before they are written"] = (
        "import pandas as pd\nframe = pd.DataFrame({'v': [1.0, 2], 'i': pd.array([1, None], dtype='Int64'), 's': ['a', 'b']})\n"
        "v, i, s = frame['v'], frame['i'], frame['s']; part = frame[['v']]; again = v\n"
        "renamed = frame.rename(columns={'v': 'V'}); values = frame['v'].to_numpy(); whole = pd.Series([1.0]); its = whole.to_numpy()",
        "v.iloc[0] = 7; i.iloc[0] = 7; s.iloc[0] = 'z'; frame.iloc[1, 0] = 9; renamed.iloc[0, 0] = 5; whole.iloc[0] = 3\n"
        "assert values.tolist() == [1, 2] and len(its) == 1",
        "[again.tolist(), i.tolist()[0], s.tolist(), frame.v.tolist(), frame.i[0], frame.s.tolist(), part.v.tolist(), renamed.V.tolist()]"
        " == [[7, 2], 7, ['z', 'b'], [1, 9], 1, ['a', 'b'], [1, 2], [5, 2]] and again is v and bool(whole[0] == 3)",
    )

if sys.version_info < (3, 14):  # later a notebook has no such name
    CASES["what names are annotated with"] = (
        "first: int = 1",
        "class Own: pass\nsecond: Own = Own(); first: float\nassert (lambda: __annotations__)()['second'] is Own",
        "{name: __annotations__[name] for name in ('first', 'second')} == {'first': float, 'second': Own}",
    )
if sys.version_info >= (3, 12):
    CASES["aliases of types"] = (
        "type Json = dict[str, Json] | list[Json] | int\ntype Row[T] = list[T]\ndef count(x: Json) -> Row[int]: return [len(x)]",
        "type Named = Row[str]; assert Json.__value__.__args__[1].__args__[0] is Json and count.__annotations__['x'] is Json\nkept = Json",
        "kept is Json and Named.__value__.__origin__ is Row and count({'a': 1}) == [1] and Json.__module__ == '__main__'",
    )
if sys.version_info >= (3, 14):
    CASES["names in annotations that are not there"] = (
        "import typing, dataclasses, nbray\nglobals().pop('Late', None)\n@dataclasses.dataclass\nclass A:\n    x: int\n    y: Late = None\n"
        "    def go(self, z: Never = 3) -> A: return z\n"
        "class Plain:\n    a: int\n    b: Late\n@nbray.remote\ndef task(x: Never) -> A: return x\n"
        "@nbray.remote\nclass Actor:\n    def go(self, x: Never): return x\n"
        "class Query(typing.TypedDict):\n    q: Late",
        "assert A(1).go() == nbray.get(task.remote(A(3).x)) == nbray.get(Actor.remote().go.remote(3)) == 3\n"
        "assert dataclasses.fields(A)[1].type.__forward_arg__ == 'Late'\n"
        "def later(x: Late) -> int: return x\na = A(2); query = Query(q=1); Late = str",
        "[a, later(4), typing.get_type_hints(later)['x'], Plain.__annotations__, A.__annotations__['y'], Query.__annotations__['q']]"
        " == [A(2), 4, str, {'a': int, 'b': str}, str, str]",
    )


@pytest.mark.parametrize("case", CASES)
def test_as_if_it_had_run_here(kernel: Kernel, case: str) -> None:
    before, cell, after = CASES[case]
    for first in ("", "%%remote\n"):
        kernel.ok(before)
        ran = kernel.ok(first + cell)
        said = [line for line in ran.text("stderr").splitlines() if "all of it came back" not in line]
        assert not said
        assert kernel.ok(after).value == "True", "here" if not first else "there"


def test_the_stream_of_a_script_in_the_background_is_told(kernel: Kernel) -> None:
    told = kernel.ok("%%remote\n%%script bash --bg --out STREAM\necho hello").text("stderr")
    assert "STREAM did not come back from the worker: _AsyncIOProxy" in told and "leave out --bg" in told


def test_objects_with_locks_that_nobody_holds_go_both_ways(kernel: Kernel) -> None:
    kernel.ok(
        "import threading, queue\nclass Counter:\n    def __init__(self): self.lock, self.n = threading.RLock(), 0\n"
        "    def add(self):\n        with self.lock: self.n += 1\n"
        "counter = Counter(); again = [counter]; tasks = queue.Queue(); tasks.put(1); event = threading.Event()"
    )
    cell = kernel.ok(
        "%%remote\nimport logging, subprocess\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "counter.add(); tasks.put(2); event.set()\n"
        "with ThreadPoolExecutor(2) as pool: futures = [pool.submit(pow, i, 2) for i in range(3)]\n"
        "thread = threading.Thread(target=counter.add); thread.start(); thread.join()\n"
        "process = subprocess.Popen(['true']); process.wait(); handler = logging.Handler()\ncounter.n"
    )
    assert cell.value == "2" and cell.text("stderr") == ""
    kernel.ok("counter.add()")
    assert kernel.ok("again[0] is counter, counter.n, tasks.get(), tasks.get(), event.wait(0)").value == (
        "(True, 3, 1, 2, True)"
    )
    assert kernel.ok("[f.result() for f in futures], thread.is_alive(), process.poll(), handler.acquire()").value == (
        "([0, 1, 4], False, 0, None)"
    )
    # What a lock belongs to that goes on stays, and so does one that is held.
    told = kernel.ok("%%remote\nrunning = subprocess.Popen(['sleep', '1000'])\nrunning.kill()").text("stderr")
    assert "running._waitpid_lock did not come back" in told and "--actor NAME" in told
    refused = kernel.run("counter.lock.acquire(); counter.lock.acquire()\n%remote counter.n").error["evalue"]
    assert "counter.lock: RLock" in refused and "--actor NAME" in refused


def test_a_deque_inside_another_object_is_changed_in_place(kernel: Kernel) -> None:
    kernel.ok("from collections import deque\nlines = [deque([1], maxlen=2)]; line = lines[0]")
    kernel.ok("%%remote\nlines[0].append(2); lines[0].append(3)")
    assert kernel.ok("lines[0] is line, line").value == "(True, deque([2, 3], maxlen=2))"


def test_a_temporary_file_that_was_closed_comes_back(kernel: Kernel) -> None:
    cell = kernel.ok("%%remote\nimport tempfile\nwith tempfile.NamedTemporaryFile('w') as file: file.write('q')")
    assert cell.text("stderr") == ""
    assert kernel.ok("file.closed, file.name.startswith(tempfile.gettempdir())").value == "(True, True)"


def test_objects_of_classes_that_need_no_care_are_written_by_pickle_alone() -> None:
    """A list of 60,000 such objects took as long again for each to be asked whether it is a file, a lock, a frame ..."""
    import io
    import threading

    from nbray.notebook.cell_pickle import CellPickler

    made = [type(name, bases, {"__module__": "__main__"}) for name, bases in (("A", ()), ("T", (threading.Thread,)))]
    inherits = type("B", (made[0],), {"__module__": "__main__"})
    pickler = CellPickler(io.BytesIO(), {})
    pickler.dump([made[0](), inherits(), made[0](), {1: ValueError()}, range(3)])
    assert pickler.ordinary == {made[0], inherits}
    try:
        pickler.dump(made[1]())
    except Exception:
        pass
    assert made[1] not in pickler.ordinary


def test_containers_that_are_made_of_attributes(kernel: Kernel) -> None:
    kernel.ok(
        "import collections, configparser\nsettings = configparser.ConfigParser()\nsettings.read_string('[a]\\nx = 1')\n"
        "section = settings['a']\nclass Users(collections.UserDict):\n    def __init__(self, name): super().__init__(); self.name = name\n"
        "users = Users('first')\ndata = users.data"
    )
    kernel.ok("%%remote\nsettings['a']['y'] = '2'\nsettings['b'] = {'z': '3'}\nusers['u'] = 1\nusers.name = 'second'")
    assert kernel.ok("dict(section), settings['a'] is section, dict(settings['b'])").value == (
        "({'x': '1', 'y': '2'}, True, {'z': '3'})"
    )
    assert kernel.ok("users, users.name, users.data is data").value == "({'u': 1}, 'second', True)"


def test_containers_of_the_users_own_are_filled_without_their_methods(kernel: Kernel) -> None:
    """What these do has been done there: here it would be done twice, or fail with the old object emptied."""
    kernel.ok(
        "class Log(dict):\n    n = 0\n    def __setitem__(self, key, value):\n        Log.n += 1\n        super().__setitem__(key, value)\n"
        "    def update(self, *args): raise ValueError('one by one')\n    def clear(self): raise ValueError('never')\n"
        "class Numbers(list):\n    def __setitem__(self, key, value): raise ValueError('append')\n"
        "log, numbers = Log(), Numbers([1])\nheld = [log, numbers]"
    )
    kernel.ok("%%remote\nlog['a'] = 1\nlog['b'] = 2\nnumbers.append(2)")
    assert kernel.ok("dict(log), Log.n, numbers, log is held[0], numbers is held[1]").value == (
        "({'a': 1, 'b': 2}, 2, [1, 2], True, True)"
    )


def test_a_frame_that_a_cell_changes_beside_a_column_that_was_taken_from_it(kernel: Kernel) -> None:
    """In pandas 2, a series writes what it gets into its frame."""
    kernel.ok("import pandas as pd\nframe = pd.DataFrame({'a': [1, 2, 3], 'b': [4.0, 5.0, 6.0]}); column = frame['a']")
    kernel.ok("%%remote\nframe['a'] = 0; frame['c'] = [1, 2, 3]\nassert column.tolist() == [1, 2, 3]")
    assert kernel.ok("frame['a'].tolist(), frame['c'].tolist(), column.tolist()").value == (
        "([0, 0, 0], [1, 2, 3], [1, 2, 3])"
    )


def test_iterators_that_hold_iterators_go_on_where_a_cell_left_them(kernel: Kernel) -> None:
    kernel.ok("import itertools\nchained = itertools.chain([1], [2]); zipped = zip([1, 2], itertools.chain('ab'))")
    assert kernel.ok("%%remote\nnext(chained), next(zipped)").value == "(1, (1, 'a'))"
    assert kernel.ok("next(chained), next(zipped)").value == "(2, (2, 'b'))"


if sys.version_info < (3, 14):  # later they cannot be pickled

    def test_iterators_that_share_what_they_have_read(kernel: Kernel) -> None:
        kernel.ok("import itertools\none, two, three = itertools.tee(iter([[1], [2], [3], [4]]), 3); first = next(one)")
        assert kernel.ok("%%remote\nfirst.append(0); next(one), next(one), next(two)").value == "([2], [3], [1, 0])"
        assert (
            kernel.ok("second = next(two); second, list(one), list(two), first").value
            == "([2], [[4]], [[3], [4]], [1, 0])"
        )
        assert kernel.ok("next(three) is first").value == "True"
