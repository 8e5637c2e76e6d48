"""Objects of kinds that pickle would make something else of: after a cell they are what they would be here."""

from __future__ import annotations

import pytest
from kit import Kernel


@pytest.fixture(autouse=True)
def own_names(kernel: Kernel) -> None:
    kernel.ok("import asyncio, collections, copy, itertools, threading\nimport numpy as np")


def test_tasks_of_asyncio_that_have_ended_are_tasks(kernel: Kernel) -> None:
    kernel.ok("async def double(x):\n    if x > 1: raise ValueError(x)\n    return [x * 2]\nnone = asyncio.all_tasks()")
    kernel.ok(
        "%%remote\ndone = asyncio.create_task(double(1), name='first'); failed = asyncio.create_task(double(2))\n"
        "stopped = asyncio.create_task(asyncio.sleep(9)); stopped.cancel(); also = [done]\n"
        "value = await done\nawait asyncio.wait([failed, stopped])\nNone"
    )
    assert (
        kernel.ok("[isinstance(each, asyncio.Task) for each in (done, failed, stopped)]").value == "[True, True, True]"
    )
    assert kernel.ok("done.get_name(), done.get_coro().__name__, done.result() is value, also[0] is done").value == (
        "('first', 'double', True, True)"
    )
    assert kernel.ok("failed.exception(), stopped.cancelled(), await done is value").value == (
        "(ValueError(2), True, True)"
    )
    gathered = "(await asyncio.gather(done, failed, return_exceptions=True))[0] is value, asyncio.all_tasks() == none"
    assert kernel.ok(f"none = asyncio.all_tasks()\n{gathered}").value == "(True, True)"
    assert kernel.ok("%%remote\nisinstance(done, asyncio.Task), done.result() is value").value == "(True, True)"


def test_subclasses_whose_methods_do_more_than_to_keep(kernel: Kernel) -> None:
    kernel.ok(
        "class Doubles(list):\n    def append(self, x): super().append(2 * x)\n    def extend(self, xs): [self.append(x) for x in xs]\n"
        "class Index(dict):\n    def __init__(self): self.back = {}\n"
        "    def __setitem__(self, key, value): super().__setitem__(key, value); self.back[value] = key\n"
        "class Degrees(float):\n    def __new__(cls, value, unit): self = super().__new__(cls, value); self.unit = unit; return self\n"
        "class Pair(tuple):\n    def __new__(cls, *parts): return super().__new__(cls, parts)\n"
        "class Named(set):\n    def __init__(self, name): self.name = name\n"
        "doubles, index, heat, pair, named = Doubles(), Index(), Degrees(20.5, 'C'), Pair(1, [2]), Named('n')\n"
        "doubles.append(1); index['a'] = 1; also = [doubles, index, named, pair]"
    )
    cell = kernel.ok(
        "%%remote\ndoubles.append(5); doubles += [3]; index['b'] = 2; pair[1].append(3); named.add(4)\n"
        "made = Doubles([7]); made.append(8); warm, twice = Degrees(30, 'C'), Pair(pair, pair)\n"
        "doubles, index.back, heat.unit, pair, named.name"
    )
    assert cell.value == "([2, 10, 3], {1: 'a', 2: 'b'}, 'C', (1, [2, 3]), 'n')"
    assert kernel.ok("doubles, index, index.back, pair, set(named), named.name").value == (
        "([2, 10, 3], {'a': 1, 'b': 2}, {1: 'a', 2: 'b'}, (1, [2, 3]), {4}, 'n')"
    )
    assert kernel.ok("made, warm.unit, twice[0] is pair, type(warm) is Degrees").value == "([7, 16], 'C', True, True)"
    assert kernel.ok("[one is other for one, other in zip(also, (doubles, index, named, pair))]").value == (
        "[True, True, True, True]"
    )


def test_attributes_of_numbers_and_texts(kernel: Kernel) -> None:
    kernel.ok(
        "class Text(str): pass\nclass Row(tuple): pass\ntext, row = Text('a'), Row((1, [2]))\n"
        "text.marks, row.of = [1], {'text': text}; also = [text, row]"
    )
    kernel.ok("%%remote\ntext.marks.append(2); row.of['more'] = row; row.name = 'first'; row[1].append(3)\nNone")
    assert kernel.ok("text.marks, row.of['more'] is row, row.name, row[1], also[0] is text, also[1] is row").value == (
        "([1, 2], True, 'first', [2, 3], True, True)"
    )


def test_dicts_in_which_code_has_run(kernel: Kernel) -> None:
    kernel.ok("ran, twice = {}, [None]; exec('x = [1]', ran); twice[0] = ran")
    cell = kernel.ok(
        "%%remote\nexec('def f(): return x\\nx.append(2)', ran)\nfresh = {'y': 3}; z = eval('y + 1', fresh); z"
    )
    assert cell.value == "4" and not cell.text("stderr")
    assert kernel.ok("ran['x'], ran['f']() is ran['x'], fresh['y'], twice[0] is ran").value == "([1, 2], True, 3, True)"
    assert kernel.ok("import builtins\n[each['__builtins__'] is vars(builtins) for each in (ran, fresh)]").value == (
        "[True, True]"
    )


def test_what_a_cell_changes_and_then_takes_out(kernel: Kernel) -> None:
    kernel.ok(
        "class Node: pass\nparent, child = Node(), Node(); parent.children, child.parent = [child], parent\n"
        "table = {'row': np.arange(3), 'rows': [[1]]}; row, rows, other = table['row'], table['rows'], Node()"
    )
    kernel.ok(
        "%%remote\nfor each in parent.children: each.parent = None\nparent.children = []\n"
        "table['row'][1] = 9; table['row'] = None; table['rows'][0].append(2); del table['rows']\nNone"
    )
    assert kernel.ok("child.parent, parent.children, row.tolist(), rows, list(table)").value == (
        "(None, [], [0, 9, 2], [[1, 2]], ['row'])"
    )


def test_artists_of_axes_that_a_cell_clears(kernel: Kernel) -> None:
    kernel.ok(
        "import matplotlib.pyplot as plt\nfig, ax = plt.subplots(); line, = ax.plot([1, 2]); dots = ax.scatter([1], [2])\nplt.close(fig)"
    )
    kernel.ok("%%remote\nax.clear()\nnew, = ax.plot([3])\nNone")
    assert kernel.ok(
        "line.axes, dots.axes, line.figure, new.axes is ax, ax.lines[0] is new, ax.figure is fig"
    ).value == ("(None, None, None, True, True, True)")


def test_exceptions_that_a_cell_adds_to(kernel: Kernel) -> None:
    kernel.ok(
        "class Failed(Exception):\n    def __init__(self, code, *, why): super().__init__(code); self.why = why\n"
        "failed, plain = Failed(1, why=['a']), ValueError(2); held = [failed, plain]\n"
        "def note(error): error.add_note('n')"
        if hasattr(BaseException, "add_note")
        else "def note(error): error.__notes__ = ['n']"
    )
    kernel.ok("%%remote\nnote(failed); failed.why.append('b'); plain.__cause__ = failed\nNone")
    assert kernel.ok("failed.__notes__, failed.why, plain.__cause__ is failed, held[0] is failed").value == (
        "(['n'], ['a', 'b'], True, True)"
    )
    kernel.ok(
        "%%remote\ntry:\n    try: 1 / 0\n    except ZeroDivisionError as error: first = error; raise KeyError(1) from error\n"
        "except KeyError as error: second = error\ntry: raise plain\nexcept ValueError: pass"
    )
    assert kernel.ok(
        "second.__cause__ is first, second.__context__ is first, plain.__traceback__ is not None"
    ).value == ("(True, True, True)")


def test_iterators_that_go_on_in_a_cell_stay_themselves(kernel: Kernel) -> None:
    kernel.ok(
        "numbers, every, thrice = itertools.count(5), enumerate(['a', 'b', 'c']), itertools.repeat('x', 3)\n"
        "keys = iter({'k': 1, 'l': 2}); held = [numbers, every, thrice, keys]\ndef new(): return next(numbers)"
    )
    assert kernel.ok("%%remote\nnew(), next(numbers), next(every), next(thrice), next(keys)").value == (
        "(5, 6, (0, 'a'), 'x', 'k')"
    )
    assert kernel.ok("new(), *map(next, held)").value == "(7, 8, (1, 'b'), 'x', 'l')"
    assert (
        kernel.ok("[one is other for one, other in zip(held, (numbers, every, thrice, keys))].count(True)").value == "4"
    )


def test_parts_of_a_file_in_memory_show_the_file(kernel: Kernel) -> None:
    kernel.ok("whole = np.memmap('w.bin', dtype='i4', mode='w+', shape=(2, 3)); part = whole[1]; odd = whole[:, ::2]")
    kernel.ok("%%remote\nwhole[1, 0] = 7; part[1] = 8; odd[0, 1] = 9; made = whole[0]\nNone")
    kernel.ok("made[0] = 5")
    assert kernel.ok("whole.tolist(), np.fromfile('w.bin', 'i4').tolist()").value == (
        "([[5, 0, 9], [7, 8, 0]], [5, 0, 9, 7, 8, 0])"
    )
    assert kernel.ok("[type(each) is np.memmap for each in (part, odd, made)], part.tolist()").value == (
        "([True, True, True], [7, 8, 0])"
    )
    kernel.ok("del whole, part, odd, made")


def test_objects_of_another_class_and_views_of_bytes_stay_themselves(kernel: Kernel) -> None:
    kernel.ok(
        "class Egg: pass\nclass Hen: pass\negg = Egg(); view = memoryview(bytearray(b'abcd')); held = [egg, view]\n"
        "def paint(view): view[0] = 65\nimport enum\nclass Kind(enum.Enum):\n    A = [1]"
    )
    kernel.ok("%%remote\negg.__class__ = Hen; paint(view); kind = Kind.A; kind.value.append(2)\nNone")
    assert kernel.ok("type(held[0]) is Hen, held[0] is egg, held[1] is view, bytes(view), kind is Kind.A").value == (
        "(True, True, True, b'Abcd', True)"
    )


def test_attributes_of_arrays_and_a_parser_that_was_made_here(kernel: Kernel) -> None:
    kernel.ok(
        "class Tagged(np.ndarray):\n    def __array_finalize__(self, other): self.tag = getattr(other, 'tag', None)\n"
        "tagged = np.zeros(3).view(Tagged); tagged.tag = [1]; held = [tagged, tagged.tag]\n"
        "import argparse\nparser = argparse.ArgumentParser(); parser.add_argument('--n', default=3)\nNone"
    )
    kernel.ok(
        "%%remote\ntagged[0] = 5; tagged.tag.append(2); tagged.more = tagged.tag; part = tagged[1:]; arguments = parser.parse_args([])\nNone"
    )
    assert kernel.ok(
        "tagged.tolist(), tagged.tag, tagged.more is tagged.tag, held[0] is tagged, held[1] is tagged.tag"
    ).value == ("([5.0, 0.0, 0.0], [1, 2], True, True, True)")
    assert kernel.ok("type(part) is Tagged, part.tag is tagged.tag, arguments, parser.parse_args([])").value == (
        "(True, True, Namespace(n=3), Namespace(n=3))"
    )
