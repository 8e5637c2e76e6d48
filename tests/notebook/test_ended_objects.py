"""What is closed, exhausted or over lingers under names of a notebook, and costs no cell anything; what is open and not needed neither."""

from __future__ import annotations

import pytest
from kit import Kernel

IMPORTS = (
    "import io, mmap, socket, sqlite3, tempfile, zipfile\n"
    "from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor\nfrom multiprocessing import Pool\n"
    "from threading import Thread\nfrom http.server import BaseHTTPRequestHandler, HTTPServer\nfrom urllib.request import urlopen\n"
    "class Handler(BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(200); self.end_headers(); self.wfile.write(b'yes')\n"
    "    def log_message(self, *args): pass\n"
    "def serve_one():\n"
    "    server = HTTPServer(('127.0.0.1', 0), Handler)\n"
    "    thread = Thread(target=lambda: (server.handle_request(), server.server_close())); thread.start()\n"
    "    return f'http://127.0.0.1:{server.server_port}/'\n"
    "open('text', 'w').write('hello')\nNone"
)

# What leaves it behind, and what can be seen of it.
ENDED = [
    ("with zipfile.ZipFile('z', 'w') as x: x.writestr('member', 'x')", "x, x.filename, x.namelist()"),
    ("with socket.socket() as x: pass", "x, x.fileno()"),
    ("x = sqlite3.connect(':memory:'); x.close()", "x is None, type(x).__name__"),
    ("with io.StringIO() as x: x.write('a')", "x.closed"),
    ("with io.BytesIO() as x: x.write(b'a')", "x.closed"),
    ("with open('text', 'rb', buffering=0) as x: pass", "x, x.closed, x.name"),
    ("with open('text') as x: pass", "x, x.closed, x.name"),
    ("with mmap.mmap(-1, 10) as x: pass", "x, x.closed"),
    ("with tempfile.SpooledTemporaryFile() as x: pass", "x.closed"),
    ("with ThreadPoolExecutor(3) as x: x.submit(len, 'abc')", "type(x).__name__, x._max_workers"),
    ("with ProcessPoolExecutor(1) as x: pass", "type(x).__name__, x._max_workers"),
    ("with Pool(1) as x: x.map(len, ['abc'])", "type(x).__name__, x._processes"),
    ("x = (n for n in range(3)); list(x)", "list(x), x.__name__"),
    ("with urlopen(serve_one()) as x: x.read()", "x.status, x.isclosed(), x.headers['Server'] is not None"),
]


@pytest.fixture(scope="module", autouse=True)
def imports(kernel: Kernel) -> None:
    kernel.ok(IMPORTS)


@pytest.mark.parametrize(("make", "look"), ENDED)
def test_what_has_ended_goes_and_comes(kernel: Kernel, make: str, look: str) -> None:
    kernel.ok(make)
    here = kernel.ok(look).value
    there = kernel.ok(f"%%remote\n{look}")
    assert (there.value, there.text("stderr")) == (here, "")
    made = kernel.ok(f"%%remote\n{make}\nNone")
    assert made.text("stderr") == ""
    assert kernel.ok(look).value == here


def test_what_has_ended_inside_of_what_a_cell_changes(kernel: Kernel) -> None:
    kernel.ok(
        "with open('text') as f, io.StringIO() as s: pass\n"
        "class Box: pass\nbox = Box(); box.all = [f, s, socket.socket()]; box.all[2].close(); box.buffer = io.StringIO()"
    )
    cell = kernel.ok("%%remote\nbox.n = 1; box.all.append(2); box.buffer.close()")
    assert cell.text("stderr") == ""
    assert kernel.ok("box.all[0] is f, box.all[1] is s, box.all[3], box.n, box.buffer.closed").value == (
        "(True, True, 2, 1, True)"
    )


@pytest.mark.parametrize(
    "code", ["for f in (1, 5): pass\nf", "if True: f = 5\nf", "try: f = 5\nfinally: pass\nf", "exec('f = 5')\n5"]
)
def test_what_is_open_does_not_keep_a_cell_from_binding_its_name(kernel: Kernel, code: str) -> None:
    kernel.ok("f = open('text')")
    for options in ("", " --actor own"):
        cell = kernel.ok(f"%%remote{options}\n{code}")
        assert (cell.value, cell.text("stderr")) == ("5", "")


def test_what_is_open_stays_what_it_is_when_a_cell_does_not_bind_its_name(kernel: Kernel) -> None:
    kernel.ok("f = same = open('text')")
    cell = kernel.ok("%%remote\nother = [f]\nfor f in (): pass\nprint(f)")
    assert "stayed in the notebook: <_io.TextIOWrapper name='text'" in cell.text()
    assert kernel.ok("f is same is other[0], f.read()").value == "(True, 'hello')"
    failed = kernel.run("%%remote\nfor f in (): pass\nf.read()")
    assert failed.error["ename"] == "TypeError" and "it cannot go to the cluster" in failed.error["evalue"]
    assert "----> 3 f.read()" in failed.traceback and "unsent_input" not in failed.traceback
    assert kernel.ok("f is same").value == "True"
    # What a cell needs in any case is told before it begins.
    failed = kernel.run("%%remote\nprint('begun')\nf.read()")
    assert failed.text() == "" and "f: TextIOWrapper, line 3: it cannot go to the cluster" in failed.error["evalue"]
