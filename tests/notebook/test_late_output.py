"""What comes after its cell has ended, where nobody listens to ended cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from kit import Cell, Kernel, headless
from nbclient import NotebookClient
from test_headless import environment

from nbray.notebook.late_output import LateOutput

NBCLIENT = {"content": {"allow_stdin": False}, "metadata": {}}
GATE = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n"


class Client:
    """Keeps what nbclient would: the messages of the present cell, and updates of any display."""

    def __init__(self, request: dict[str, Any] = NBCLIENT) -> None:
        self.request = request
        self.late = LateOutput(self.receive)
        self.cells: dict[str, list[dict[str, Any]]] = {}
        self.present = ""

    def receive(self, kind: str, content: dict[str, Any]) -> None:
        if kind != "update_display_data":
            self.cells[self.present].append(content)
            return
        for outputs in self.cells.values():
            for n, output in enumerate(outputs):
                if output.get("transient") == content["transient"]:
                    outputs[n] = content

    def begin(self, origin: str) -> None:
        self.present = origin
        self.cells[origin] = []
        self.late.cell_begins(self.request)

    def print(self, origin: str, text: str) -> bool:
        return self.late.take(origin, self.present, "stream", {"name": "stdout", "text": text})


def shown(content: dict[str, Any], mime: str = "text/plain") -> str:
    return str(content["data"][mime])


def test_it_comes_under_its_own_cell() -> None:
    client = Client()
    client.begin("a")
    assert not client.print("a", "early\n"), "nothing is late yet"
    client.late.cell_ends("a", leaves_work=True)
    client.print("a", "one\n")
    client.begin("b")
    client.print("a", "two\n")
    assert not client.print("b", "of b\n")
    client.late.cell_ends("b", leaves_work=False)
    (late,) = client.cells["a"]
    assert (shown(late), client.cells["b"]) == ("one\ntwo", [])


def test_what_has_no_place_is_not_lost() -> None:
    client = Client()
    client.begin("a")
    client.late.cell_ends("a", leaves_work=False)
    assert client.print("a", "between\n")
    client.begin("b")
    assert client.print("a", "during\n")
    assert [content["text"] for content in client.cells["b"]] == ["between\n", "during\n"]


def test_displays_updates_and_errors_among_the_text() -> None:
    client = Client()

    def take(kind: str, content: dict[str, Any]) -> None:
        assert client.late.take("a", client.present, kind, content)

    client.begin("a")
    client.late.cell_ends("a", leaves_work=True)
    client.begin("b")
    client.print("a", "gone\n")
    take("clear_output", {"wait": True})
    client.print("a", " 1 %\r99 %\r\x1b[31m<done>\x1b[0m\n")
    take("display_data", {"data": {"text/plain": "<Figure>", "image/png": "QUJD\n"}, "transient": {}})
    take("display_data", {"data": {"text/plain": "half"}, "transient": {"display_id": "x"}})
    take("update_display_data", {"data": {"text/plain": "whole"}, "transient": {"display_id": "x"}})
    take("error", {"traceback": ["Traceback", "ValueError"]})
    client.late.cell_ends("b", leaves_work=False)
    (late,) = client.cells["a"]
    assert shown(late) == "\x1b[31m<done>\x1b[0m\n<Figure>\nwhole\nTraceback\nValueError"
    page = shown(late, "text/html")
    assert "<pre>&lt;done&gt;\n</pre>" in page
    assert '<img src="data:image/png;base64,QUJD">' in page
    assert "half" not in page


def test_an_update_of_another_display_is_told_when_somebody_listens() -> None:
    client = Client()
    client.begin("a")
    client.receive("display_data", {"data": {"text/plain": "runs"}, "transient": {"display_id": "line"}})
    client.late.cell_ends("a", leaves_work=False)
    done = {"data": {"text/plain": "is done"}, "transient": {"display_id": "line"}}
    assert client.late.take("a", "a", "update_display_data", done)
    client.begin("b")
    client.late.cell_ends("b", leaves_work=False)
    assert client.cells["a"] == [done]


def test_a_flood_is_cut() -> None:
    client = Client()
    client.begin("a")
    client.late.cell_ends("a", leaves_work=True)
    for _ in range(30):
        client.print("a", "x" * 99_999 + "\n")
    client.begin("b")
    client.late.cell_ends("b", leaves_work=False)
    assert len(shown(client.cells["a"][0])) < 1_100_000
    assert shown(client.cells["a"][0]).endswith("nbray logs)")


@pytest.mark.parametrize(
    "request_", [{"content": {"allow_stdin": True}}, {"content": {"allow_stdin": False}, "metadata": {"cellId": "c"}}]
)
def test_others_get_it_as_it_comes(request_: dict[str, Any]) -> None:
    client = Client(request_)
    client.begin("a")
    client.late.cell_ends("a", leaves_work=True)
    assert not client.print("a", "late\n")
    assert client.cells["a"] == []


def test_a_person_gets_it_under_its_cell(kernel: Kernel) -> None:
    cell = kernel.ok(f"%%remote --async --quiet\n{GATE}print('late')\nz = 1")
    kernel.ok("open('go', 'w').close()\nnbray.get(z)")
    kernel.until(lambda: cell.text() == "late\n")
    assert not cell.of("display_data")


def test_who_brings_output_is_not_waited_for_with_the_routers_lock(kernel: Kernel) -> None:
    """The thread that brings it holds the library's lock: to take that one last would be a deadlock."""
    kernel.ok(
        "import threading\n"
        "from nbray.notebook import output_router\n"
        "def runs_for(origin, router=get_ipython()._nbray_extension.router):\n"
        "    def other():\n"
        "        free.append(router._lock.acquire(timeout=10) and not router._lock.release())\n"
        "    thread = threading.Thread(target=other)\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "    return False\n"
        "free, kept, output_router.runs_for = [], output_router.runs_for, runs_for"
    )
    kernel.finish(Cell(kernel, kernel.client.execute("None", allow_stdin=False)))
    assert kernel.ok("output_router.runs_for = kept\nfree").value == "[True]"


@pytest.mark.slow
def test_nbclient_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    sources = [
        "%load_ext nbray\nimport nbray\nnbray.init(num_cpus=4)\nNone",
        f"%%remote --async --quiet\nprint('early')\n{GATE}print('late')\nz = 5",
        f"@nbray.remote\ndef f():\n    {GATE.replace(chr(10), chr(10) + '    ')}print('of a task')\n    return 1\nr = f.remote()",
        f"%%remote --async --quiet\n{GATE}1 / 0",
        f"%%remote --quiet --each i=range(3) --async\n{GATE}print('item')\nq = i",
        "failed = _4",
        "open('go', 'w').close()\nnbray.get([z, r, *q])",
        "nbray.wait([failed])\nNone",
        "nbray.shutdown()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources, config=headless()).execute()
    texts = []
    for cell in notebook.cells:
        found = "".join(output.get("text", "") for output in cell.outputs)
        found += "".join(
            o["data"].get("text/plain", "") + "\n" for o in cell.outputs if o["output_type"] == "display_data"
        )
        texts.append(found)
    assert texts[1].split() == ["early", "late"]
    assert texts[2] == "of a task\n"
    assert "ZeroDivisionError" in texts[3]
    assert texts[4] == "item\n" * 3
    assert not any(texts[5:]), texts
    nbformat.validate(notebook)
