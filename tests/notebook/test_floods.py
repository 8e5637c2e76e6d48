"""A cell that prints too much neither freezes the front end nor costs the kernel its memory."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from kit import Kernel

from nbray.notebook.output_flow import BYTES_PER_S, MESSAGES_PER_S, TEXT_BYTES_PER_S, WINDOW_S, Flow
from nbray.notebook.output_overflow import Overflow
from nbray.notebook.output_queue import FILE, PAGE, PENDING_BYTES, SHOW, OutputQueue
from nbray.notebook.output_router import OutputRouter


def test_flow_of_text() -> None:
    flow = Flow()
    assert flow.share(1000, 0.0) == 1000
    flow.sent(0.0, text=1000)
    shown = flow.share(5_000_000, 0.1)
    assert shown == BYTES_PER_S - 1000
    flow.sent(0.1, text=shown)
    assert flow.flooded
    assert flow.share(100_000, 0.2) == 0  # all of a flood goes to the file, in one piece
    for tenth in range(3, 60):
        assert flow.share(200_000, tenth / 10) == 0  # it goes on
    assert flow.share(1000, 8.0) == 1000  # it has ebbed
    assert not flow.flooded


def test_flow_of_messages() -> None:
    flow = Flow()
    times = []
    for at in range(1000):
        if flow.may_send(at / 100):
            flow.sent(at / 100)
            times.append(at / 100)
    assert len(times) == 10 * MESSAGES_PER_S
    for first, later in zip(times, times[MESSAGES_PER_S:], strict=False):
        assert later - first >= WINDOW_S


def _window_bytes(sent: list[tuple[float, int]]) -> int:
    """Return the most bytes that went in any second."""
    return max(sum(size for when, size in sent if 0 <= when - start < WINDOW_S) for start, _ in sent)


def test_flow_of_displays() -> None:
    flow = Flow()
    sent = []
    for at in range(1000):
        if flow.may_send(at / 100, 300_000):
            flow.sent(at / 100, display=300_000)
            sent.append((at / 100, 300_000))
    assert len(sent) == 30
    assert _window_bytes(sent) <= BYTES_PER_S


def test_a_display_larger_than_a_second_takes_its_time() -> None:
    flow = Flow()
    assert flow.may_send(0.0, 5_000_000)
    flow.sent(0.0, display=5_000_000)
    assert not flow.may_send(4.9, 1000)
    assert flow.may_send(5.1, 1000)
    # A line that is printed behind it is not held back.
    assert flow.may_send(1.0)
    assert not flow.waits_for_displays(100, 1.0)
    assert flow.share(100, 1.0) == 100
    assert flow.waits_for_displays(2 * TEXT_BYTES_PER_S, 1.0)


def test_text_and_displays_share_a_second() -> None:
    flow, queue = Flow(), OutputQueue()
    assert queue.flow is not flow
    sent: list[tuple[float, int]] = []
    kept = 0
    for at in range(500):
        now = at / 100
        queue.add_text("stdout", "x" * 9_999 + "\n")  # 1 MB/s
        queue.add("display_data", {"data": {"text/html": "y" * 50_000}})  # 5 MB/s
        for where, kind, content in queue.due(lambda now=now: now):
            size = len(content[1]) if kind == "stream" else 50_000
            if where == SHOW:
                sent.append((now, size))
            else:
                assert where in (FILE, PAGE)
                kept += size
    left = [
        size for where, kind, content in queue.rest(99.0) for size in [len(content[1]) if kind == "stream" else 50_000]
    ]
    assert _window_bytes(sent) <= BYTES_PER_S
    assert len(sent) <= 5 * MESSAGES_PER_S
    assert sum(size for _, size in sent) + kept + sum(left) == 500 * 60_000  # nothing is lost
    assert not queue
    assert queue.chars == queue.display_bytes == 0


def test_last_lines_that_are_shown_are_not_told_again(capsys: pytest.CaptureFixture[str]) -> None:
    shell = SimpleNamespace(
        display_pub=None, execution_count=1, history_manager=SimpleNamespace(input_hist_parsed=[""])
    )
    router = OutputRouter(shell, "ended")
    origin = router.enter_cell()
    router.sink(origin, "stream", ("stdout", ("x" * 999 + "\n") * 2000), {})
    cell = router._cells[origin]
    assert cell.overflow is not None
    path = Path(cell.overflow.path)
    cell.queue.flow = Flow()  # as after a quiet second
    router.sink(origin, "stream", ("stdout", "the end\n"), {})
    router.finish(origin)
    router.close()
    assert capsys.readouterr().out.endswith("the end\n")
    path.unlink()


@pytest.mark.parametrize("line", ["a" * 99, "\u2588" * 33])
def test_what_is_shown_at_once_is_counted_in_bytes(capsys: pytest.CaptureFixture[str], line: str) -> None:
    router = OutputRouter(SimpleNamespace(display_pub=None, execution_count=1), "end")
    router._own_streams = (sys.stdout, sys.stderr)
    router.sink("cell", "stream", ("stdout", (line + "\n") * 30_000), {})
    shown = capsys.readouterr().out
    assert 0.9 * BYTES_PER_S <= len(shown.encode()) <= BYTES_PER_S
    assert set(shown.splitlines()) == {line}
    overflow = router._cells["cell"].overflow
    router.close()
    assert overflow is not None
    Path(overflow.path).unlink()


def test_both_streams_in_turn_are_few_messages(capsys: pytest.CaptureFixture[str]) -> None:
    shell = SimpleNamespace(
        display_pub=None, execution_count=1, history_manager=SimpleNamespace(input_hist_parsed=[""])
    )
    router = OutputRouter(shell, "ended")
    origin = router.enter_cell()
    sent: list[str] = []
    router._send = lambda origin, kind, content: sent.append(content["text"])  # type: ignore[method-assign]
    for number in range(5000):
        router.sink(origin, "stream", (("stdout", "stderr")[number % 2], f"{number}\n"), {})
    router.finish(origin)
    router.close()
    assert len(sent) < 500
    assert sorted("".join(sent).split(), key=int) == [str(number) for number in range(5000)]


def _held_back(cell: Any) -> None:
    """Check that in no second more reached the front end than the limits say, by when the kernel sent it.

    Beside the output itself up to three notices tell where the rest of it is.
    """
    sent = [
        (m["header"]["date"].timestamp(), len(json.dumps(m["content"])))
        for m in cell.messages
        if m["msg_type"] in ("stream", "display_data", "update_display_data", "clear_output")
    ]
    assert max(sum(0 <= when - start < WINDOW_S for when, _ in sent) for start, _ in sent) <= MESSAGES_PER_S + 3
    assert _window_bytes(sent) <= 1.05 * BYTES_PER_S + 10_000  # escapes, and what else a message holds


def _page(cell: Any) -> Path:
    """Return the page that took the displays for which there was no room."""
    found = re.search(r"more than 20 displays or 1 MB a second: the rest goes to (\S+\.html)\n", cell.text("stderr"))
    assert found, cell.text("stderr")
    assert f"MB of this cell's output are in {found[1]}" in cell.text("stderr")
    return Path(found[1])


def test_a_hundred_megabytes(kernel: Kernel) -> None:
    kernel.ok("%%remote\nprint('warm')")
    process = psutil.Process(kernel.pid)
    before = process.memory_info().rss
    cell = kernel.ok("%%remote\nline = 'x' * 999\nfor i in range(100_000): print(line)\nprint('the end')")
    grown = (process.memory_info().rss - before) / 1e6
    assert grown < 50, f"{grown} MB"
    assert len(cell.text()) < 30e6
    assert cell.text().endswith("the end\n")
    _held_back(cell)
    notices = cell.text("stderr")
    found = re.search(r"the rest goes to (\S+)\n", notices)
    assert found, notices
    path = Path(found[1])
    assert f"MB of this cell's output are in {path}" in notices
    lines = cell.text().count("x" * 999 + "\n")
    assert path.stat().st_size // 1000 + lines >= 100_000  # nothing is lost
    path.unlink()


def test_many_displays(kernel: Kernel) -> None:
    cell = kernel.ok(
        "%%remote --quiet\nhandle = display('start', display_id=True)\nfor i in range(3000): handle.update(i)\n"
        "for i in range(100): display(i)"
    )
    _held_back(cell)
    states = cell.display(cell.of("display_data")[0])
    assert len(states) < 500
    assert states[-1]["data"]["text/plain"] == "2999"
    assert [c["data"]["text/plain"] for c in cell.of("display_data")] == ["'start'", *map(str, range(100))]


def test_prints_and_displays_in_turn_are_held_back_together(kernel: Kernel) -> None:
    cell = kernel.ok(
        "%%remote --quiet\nfrom IPython.display import HTML\nfor i in range(5000):\n    print('line', i)\n    display(HTML(f'<p>{i}</p>'))"
    )
    _held_back(cell)
    assert cell.of("display_data")[-1]["data"]["text/html"] == "<p>4999</p>"
    assert cell.text().endswith("line 4999\n")
    page = _page(cell)
    everything = page.read_text() + cell.text() + "".join(c["data"]["text/html"] for c in cell.of("display_data"))
    for pattern in (r"line (\d+)", r"<p>(\d+)</p>"):
        assert sorted(map(int, re.findall(pattern, everything))) == list(range(5000))  # nothing is lost, or shown twice
    page.unlink()


def test_displays_that_wait_cost_the_kernel_little() -> None:
    queue = OutputQueue()
    left = []
    for number in range(290):
        queue.add("display_data", {"data": {"text/plain": f"<{number}>", "text/html": "x" * 900_000}})
        left += list(queue.due(lambda: 0.0))
    assert queue.display_bytes <= PENDING_BYTES
    assert [where for where, _, _ in left] == [SHOW] + [PAGE] * (289 - len(queue))
    left += list(queue.rest(0.0))
    assert [content["data"]["text/plain"] for _, _, content in left] == [f"<{number}>" for number in range(290)]
    assert not queue
    assert queue.display_bytes == 0


def test_a_display_that_cannot_be_sent_does_not_keep_others(kernel: Kernel) -> None:
    cell = kernel.ok(
        "%%remote --quiet\nround = {}\nround['again'] = round\n"
        "display({'application/json': round, 'text/plain': 'round'}, raw=True)\ndisplay('behind it')"
    )
    assert [c["data"]["text/plain"] for c in cell.of("display_data")] == ["'behind it'"]


def test_figures_are_held_to_a_megabyte_a_second(kernel: Kernel) -> None:
    cell = kernel.ok(
        "%%remote --quiet\nfrom IPython.display import HTML\n"
        "for i in range(6):\n    print('figure', i)\n    display(HTML(f'<!--{i}-->' + 'x' * 400_000))\n'done'"
    )
    _held_back(cell)
    kinds = [m["msg_type"] for m in cell.messages if m["msg_type"] in ("stream", "display_data", "execute_result")]
    assert kinds == ["stream", "display_data"] * 6 + ["execute_result"]  # all are shown, in order, before the value


def test_an_interrupt_ends_the_wait_for_displays(kernel: Kernel, tmp_path: Path) -> None:
    done = tmp_path / "done"
    cell = kernel.start(
        "%%remote --quiet\nfrom IPython.display import HTML\nfor i in range(100): display(HTML(f'<p>{i}</p>'))\n"
        f"x = 7\nopen({str(done)!r}, 'w').close()"
    )
    kernel.until(lambda: done.exists() and len(cell.of("display_data")) >= MESSAGES_PER_S)
    kernel.interrupt()
    kernel.until(lambda: cell.idle)
    assert cell.error["ename"] == "KeyboardInterrupt"
    page = _page(cell)
    shown = "".join(c["data"]["text/html"] for c in cell.of("display_data"))
    assert sorted(map(int, re.findall(r"<p>(\d+)</p>", shown + page.read_text()))) == list(range(100))
    assert len(cell.of("display_data")) < 100
    page.unlink()
    assert kernel.run("x").value == "7"  # the cell had ended


def test_a_background_cell_shows_its_displays_in_time(kernel: Kernel) -> None:
    cell = kernel.ok(
        "%%remote --async --quiet\nfor i in range(50): display(i)\nprint('last words')\nraise KeyError('at the end')"
    )
    kernel.until(lambda: bool(cell.of("error")))
    _held_back(cell)
    assert [c["data"]["text/plain"] for c in cell.of("display_data")] == [*map(str, range(50))]
    kinds = [m["msg_type"] for m in cell.messages if m["msg_type"] in ("stream", "display_data", "error")]
    assert kinds[-2:] == ["stream", "error"]


def test_displays_of_a_task_of_a_local_cell_come_before_its_end(kernel: Kernel) -> None:
    cell = kernel.ok(
        "@nbray.remote\ndef show(n):\n    from IPython.display import display\n    for i in range(n): display(i)\n"
        "nbray.get(show.remote(30))"
    )
    assert len(cell.of("display_data")) == 30
    _held_back(cell)


def test_the_page_shows_what_displays_showed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("nbray.notebook.output_overflow._folder", "")
    overflow = Overflow("cell-3-abcd")
    overflow.write_on_page("stderr", "a < b\n")
    for data in (
        {"text/plain": "<Figure>", "image/png": "iVBO\nRw0K"},
        {"text/plain": "table", "text/html": "<b>table</b>"},
        {"text/plain": "<Markdown>", "text/markdown": "**a & b**"},
        {"text/plain": "Map<int>", "application/x-unknown": {}},
    ):
        overflow.show_on_page({"data": data})
    overflow.close()
    page = Path(overflow.page).read_text()
    assert overflow.paths() == [overflow.page]
    assert page.startswith("<!DOCTYPE html>")
    for part in (
        '<pre class="stderr">a &lt; b\n</pre>',
        "data:image/png;base64,iVBORw0K",
        "<b>table</b>",
        "**a &amp; b**",
        "Map&lt;int&gt;",
    ):
        assert part in page


def test_no_file_takes_the_rest(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbray.notebook.output_overflow._folder", "")

    def refuse(**_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    router = OutputRouter(SimpleNamespace(display_pub=None, execution_count=1), "end")
    router._own_streams = (sys.stdout, sys.stderr)
    router.sink("cell", "stream", ("stdout", "line\n" * 400_000 + "the end\n"), {})
    router.finish("cell")
    router.close()
    shown = capsys.readouterr()
    assert "no file takes the rest ([Errno 28] No space left on device)" in shown.err
    assert shown.out.endswith("the end\n")
    assert not Path("cell.txt").exists()


def test_a_flood_that_c_code_writes_is_there_when_the_cell_ends(kernel: Kernel) -> None:
    cell = kernel.ok(
        "%%remote --quiet\nimport os\nline = b'y' * 999 + b'\\n'\nfor i in range(60_000): os.write(1, line)"
    )
    (found,) = re.findall(r"nbray: ([\d.]+) MB of this cell's output are in (\S+);", cell.text("stderr"))
    path = Path(found[1])
    assert path.stat().st_size + cell.text().count("\n") * 1000 >= 60_000_000
    path.unlink()


def test_what_a_cell_left_running_writes_is_told_once(kernel: Kernel, tmp_path: Path) -> None:
    go = tmp_path / "go"
    cell = kernel.ok(
        "%%remote --quiet\nimport subprocess\nprint('x' * 2_000_000)\n"
        f"subprocess.Popen(['sh', '-c', 'while [ ! -e {go} ]; do sleep 0.01; done; yes abcdefghi | head -c 30000000; echo end'])\n"
        "None"
    )
    assert cell.text("stderr").count("MB of this cell's output are in") == 1
    go.touch()
    kernel.until(lambda: cell.text("stderr").count("MB of this cell's output are in") == 2)
    kernel.until(lambda: cell.text().endswith("end\n"))
    assert cell.text("stderr").count("MB of this cell's output are in") == 2
    _held_back(cell)


def test_a_cell_does_not_wait_for_what_its_tasks_go_on_to_display(kernel: Kernel, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    cell = kernel.ok(
        "import os\n@nbray.remote\ndef talk(path):\n    from IPython.display import display\n    n = 0\n"
        "    while not os.path.exists(path):\n        n += 1\n        display(n)\n        time.sleep(0.01)\n"
        f"import time\nref = talk.remote({str(stop)!r})\ntime.sleep(2)"
    )
    # Some 200 wait by now. Of what has come until then the end of the cell waits for all; there is more and more behind it.
    assert len(cell.of("display_data")) < 400
    stop.touch()
    kernel.ok("nbray.get(ref)")
