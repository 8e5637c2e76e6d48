"""Handlers of logging in a cell: one object under its name and in its logger, and what is logged is neither lost nor there twice."""

from __future__ import annotations

import pytest
from kit import Kernel

BEGIN = "import io, logging, logging.handlers, queue, sys\nlog = logging.getLogger({name!r}); log.setLevel('INFO'); log.propagate = False\n"
HEARD = "class Heard(logging.Handler):\n    def __init__(self):\n        super().__init__(); self.heard = []\n    def emit(self, record):\n        self.heard.append(self.format(record))\n"
KINDS = {
    "stdout": "logging.StreamHandler(sys.stdout)",
    "stderr": "logging.StreamHandler()",
    "text": "logging.StreamHandler(io.StringIO())",
    "file": "logging.FileHandler('a_file.log')",
    "rotating": "logging.handlers.RotatingFileHandler('rotating.log', maxBytes=9000)",
    "memory": "logging.handlers.MemoryHandler(100, 100, target=logging.FileHandler('memory.log'))",
    "queue": "logging.handlers.QueueHandler(queue.Queue())",
    "own": "Heard()",
}
#: What a handler has got so far.
GOT = {
    "text": "h.stream.getvalue().splitlines()",
    "file": "open('a_file.log').read().splitlines()",
    "rotating": "open('rotating.log').read().splitlines()",
    "memory": "[r.getMessage() for r in h.buffer]",
    "queue": "[r.getMessage() if h.formatter is None else r.msg for r in h.queue.queue]",
    "own": "h.heard",
}


def _begin(kernel: Kernel, kind: str) -> None:
    kernel.ok(
        BEGIN.format(name=kind)
        + HEARD
        + f"log.handlers.clear(); h = {KINDS[kind]}; log.addHandler(h); handlers = log.handlers"
    )


def _lines(kernel: Kernel, kind: str, cell: str) -> list[str]:
    """Run a cell; returns what the handler has got by it."""
    if kind in ("stdout", "stderr"):
        return kernel.ok(cell).text(kind).splitlines()
    kernel.ok(f"got = len({GOT[kind]})")
    kernel.ok(cell)
    return kernel.ok(f"print(*{GOT[kind]}[got:], sep='\\n')").text().splitlines() if _more(kernel, kind) else []


def _more(kernel: Kernel, kind: str) -> bool:
    return kernel.ok(f"len({GOT[kind]}) > got").value == "True"


@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_is_one_object_there_and_here(kernel: Kernel, kind: str) -> None:
    _begin(kernel, kind)
    kernel.ok("kept = [h, log.handlers, h.filters]")
    value = "(log.handlers == [h], log.handlers is handlers, kept[0] is h, kept[1] is handlers, kept[2] is h.filters, isinstance(h, {0}))"
    kind_of = KINDS[kind].partition("(")[0]
    assert kernel.ok(f"%%remote --quiet\n{value.format(kind_of)}").value == "(True, True, True, True, True, True)"
    assert kernel.ok(value.format(kind_of)).value == "(True, True, True, True, True, True)"
    assert _lines(kernel, kind, "%%remote --quiet\nlog.info('there')") == ["there"]
    assert _lines(kernel, kind, "log.info('here')") == ["here"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_cell_changes_of_a_handler_holds_in_it_and_here(kernel: Kernel, kind: str) -> None:
    _begin(kernel, kind)
    made = "{}" if kind == "memory" else "<{}>"  # which formats when it hands over what it keeps
    change = (
        "%%remote --quiet\nh.setFormatter(logging.Formatter('<%(message)s>')); h.setLevel('ERROR')\n"
        "class Without(logging.Filter):\n    def filter(self, record): return 'secret' not in record.getMessage()\n"
        "without = Without(); h.addFilter(without)\nlog.error('one'); log.info('no'); log.error('secret')"
    )
    assert _lines(kernel, kind, change) == [made.format("one")]
    assert _lines(kernel, kind, "log.error('two'); log.info('no'); log.error('secret')") == [made.format("two")]
    assert kernel.ok("log.handlers == [h], h.level, h.filters == [without]").value == "(True, 40, True)"
    back = "%%remote --quiet\nh.removeFilter(without); log.error('secret'); h.setFormatter(None); h.setLevel(0)"
    assert _lines(kernel, kind, back) == [made.format("secret")]
    assert _lines(kernel, kind, "%%remote --quiet\nlog.info('secret')") == ["secret"]
    assert kernel.ok("h.filters, h.level, h.formatter").value == "([], 0, None)"


@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_that_a_cell_removes_and_adds(kernel: Kernel, kind: str) -> None:
    _begin(kernel, kind)
    assert _lines(kernel, kind, "%%remote --quiet\nlog.info('one'); log.removeHandler(h); log.info('no')") == ["one"]
    assert kernel.ok("log.handlers, log.handlers is handlers").value == "([], True)"
    assert _lines(kernel, kind, "%%remote --quiet\nlog.info('no')") == []
    assert _lines(
        kernel, kind, "%%remote --quiet\nlog.info('no'); log.addHandler(h); log.addHandler(h); log.info('one')"
    ) == ["one"]
    assert kernel.ok("log.handlers == [h]").value == "True"
    assert _lines(kernel, kind, "log.info('one')") == ["one"]


@pytest.mark.parametrize("kind", ["stdout", "text", "file", "rotating", "own"])
def test_a_handler_that_a_cell_makes(kernel: Kernel, kind: str) -> None:
    name = f"made {kind}"
    begin = BEGIN.format(name=name) + HEARD
    made = KINDS[kind].replace("a_file", "made_file").replace("rotating.log", "made.log")
    kernel.ok(begin)
    cell = kernel.ok(f"%%remote --quiet\nh = {made}; log.addHandler(h); log.info('there')")
    assert "stays" not in cell.text("stderr") and cell.text() == ("there\n" if kind == "stdout" else "")
    assert kernel.ok("log.handlers == [h]").value == "True"
    cell = kernel.ok("log.info('here')")
    got = GOT.get(kind, "").replace("a_file", "made_file").replace("rotating.log", "made.log")
    if kind == "stdout":
        assert cell.text() == "here\n"
    else:
        assert kernel.ok(got).value == "['there', 'here']"
    kernel.ok("%%remote --quiet\nlog.removeHandler(h); log.info('no')")
    assert kernel.ok("log.handlers").value == "[]"


@pytest.mark.parametrize("kind", KINDS)
def test_in_parallel_cells(kernel: Kernel, kind: str) -> None:
    _begin(kernel, kind)
    each = "%%remote --quiet --each i=range(3)\nsame = log.handlers == [h]\nlog.info('part'); log.removeHandler(h); log.info('no')"
    kernel.ok(f"got = len({GOT[kind]})" if kind in GOT else "")
    cell = kernel.ok(each)
    if kind in GOT:
        kernel.until(lambda: kernel.ok(f"len({GOT[kind]}) >= got + 3").value == "True")
        assert kernel.ok(f"{GOT[kind]}[got:]").value == "['part', 'part', 'part']"
    else:
        kernel.until(lambda: cell.text(kind).count("part\n") >= 3)
        assert cell.text(kind) == "part\n" * 3
    assert kernel.ok("same, log.handlers == [h]").value == "([True, True, True], True)"


@pytest.mark.parametrize("kind", KINDS)
def test_in_the_background(kernel: Kernel, kind: str) -> None:
    _begin(kernel, kind)
    kernel.ok(f"got = len({GOT[kind]})" if kind in GOT else "")
    cell = kernel.ok("%%remote --quiet --async\nsame = log.handlers == [h]\nlog.info('part')")
    assert kernel.ok("nbray.get(same)").value == "True"
    if kind in GOT:
        kernel.until(lambda: _more(kernel, kind))
        assert kernel.ok(f"{GOT[kind]}[got:]").value == "['part']"
    else:
        kernel.until(lambda: bool(cell.text(kind)))
        assert cell.text(kind) == "part\n"
    assert kernel.ok("log.handlers == [h]").value == "True"


@pytest.mark.parametrize("kind", KINDS)
def test_in_an_actor(kernel: Kernel, kind: str) -> None:
    _begin(kernel, kind)
    actor = f"%%remote --quiet --actor logs_{kind}\n"
    assert _lines(kernel, kind, f"{actor}kept = h; log.info('one')") == ["one"]
    assert kernel.ok(f"{actor}kept is h, log.handlers == [kept]").value == "(True, True)"
    assert _lines(kernel, kind, f"{actor}kept.setLevel('ERROR'); log.info('no'); log.error('two')") == ["two"]
    assert _lines(kernel, kind, "log.info('no'); log.error('three')") == ["three"]
    kernel.ok(f"{actor}log.removeHandler(kept)")
    assert kernel.ok("log.handlers").value == "[]"
    kernel.ok(f"{actor}log.addHandler(kept)")
    assert kernel.ok("log.handlers == [h]").value == "True"


def test_a_handler_that_an_actor_makes_stays_its_own(kernel: Kernel) -> None:
    kernel.ok(BEGIN.format(name="of an actor"))
    actor = "%%remote --quiet --actor makes_handlers\n"
    kernel.ok(f"{actor}made = logging.FileHandler('of_actor.log'); log.addHandler(made); log.info('one')")
    assert (
        kernel.ok(f"{actor}log.info('two')\nlog.handlers == [made], type(made) is logging.FileHandler").value
        == "(True, True)"
    )
    kernel.ok("log.info('three')")
    assert kernel.ok("open('of_actor.log').read()").value == "'one\\ntwo\\nthree\\n'"
    kernel.ok(f"{actor}stream = logging.StreamHandler(open('stream.log', 'w')); log.addHandler(stream)")
    kernel.ok(f"{actor}log.info('four'); stream.flush()")
    assert kernel.ok("open('stream.log').read(), len(log.handlers)").value == "('four\\n', 1)"


def test_a_text_that_is_logged_to_can_be_read_in_the_cell(kernel: Kernel) -> None:
    _begin(kernel, "text")
    kernel.ok("text = h.stream; log.info('one')")
    assert (
        kernel.ok("%%remote --quiet\nlog.info('two'); text.write('three\\n')\ntext.getvalue()").value
        == "'one\\ntwo\\nthree\\n'"
    )
    assert (
        kernel.ok("log.info('four')\ntext.getvalue(), text is h.stream").value
        == "('one\\ntwo\\nthree\\nfour\\n', True)"
    )


def test_handlers_are_set_anew_in_a_cell(kernel: Kernel) -> None:
    kernel.ok(
        "import logging, sys\nlogging.basicConfig(level='INFO', force=True, handlers=[logging.FileHandler('root.log')])\nold = logging.root.handlers[0]"
    )
    cell = kernel.ok(
        "%%remote --quiet\nlogging.info('one')\nlogging.basicConfig(level='DEBUG', force=True, format='%(levelname)s|%(message)s', stream=sys.stdout)\n"
        "logging.debug('two')"
    )
    assert cell.text() == "DEBUG|two\n"
    assert kernel.ok("logging.debug('three')").text() == "DEBUG|three\n"
    assert kernel.ok("open('root.log').read(), old.stream").value == "('INFO:root:one\\n', None)"
    kernel.ok("logging.basicConfig(level='WARNING', force=True)")


def test_a_listener_gets_what_a_cell_puts_into_its_queue(kernel: Kernel) -> None:
    kernel.ok(
        BEGIN.format(name="listened")
        + HEARD
        + "heard = Heard(); q = queue.Queue(); h = logging.handlers.QueueHandler(q); log.addHandler(h)\n"
        "listener = logging.handlers.QueueListener(q, heard); listener.start()"
    )
    kernel.ok("%%remote --quiet\nlog.info('there')")
    kernel.ok("log.info('here'); listener.stop()")
    assert kernel.ok("heard.heard").value == "['there', 'here']"


def test_what_a_memory_handler_keeps_is_written_by_a_cell(kernel: Kernel) -> None:
    _begin(kernel, "memory")
    kernel.ok("open('memory.log', 'w').close(); target = h.target; log.info('one')")
    assert kernel.ok("%%remote --quiet\nlog.info('two'); h.flush()\nh.target is target").value == "True"
    assert kernel.ok("open('memory.log').read(), h.buffer, h.target is target").value == "('one\\ntwo\\n', [], True)"
