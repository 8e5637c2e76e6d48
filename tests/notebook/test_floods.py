"""A cell that prints too much neither freezes the front end nor costs the kernel its memory."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from kit import Kernel

from nbray.notebook.output_flow import BURST_BYTES, BURST_MESSAGES, BYTES_PER_S, MESSAGES_PER_S, Flow
from nbray.notebook.output_router import PENDING_BYTES, PENDING_MESSAGES, OutputRouter


def test_flow_of_text() -> None:
    flow = Flow(0.0)
    assert flow.share(1000, 0.0) == 1000
    assert flow.share(5_000_000, 0.1) <= BURST_BYTES
    assert flow.flooded
    assert flow.share(100_000, 0.2) == 0  # all of a flood goes to the file, in one piece
    for tenth in range(3, 60):
        assert flow.share(200_000, tenth / 10) == 0  # it goes on
    assert flow.share(1000, 8.0) == 1000  # it has ebbed
    assert not flow.flooded
    shown = sum(flow.share(50_000, 10 + at / 100) for at in range(1000))
    assert shown <= BURST_BYTES + 10 * BYTES_PER_S


def test_flow_of_messages() -> None:
    flow = Flow(0.0)
    sent = 0
    for at in range(1000):
        if flow.may_send(at / 100):
            flow.sent()
            sent += 1
    assert BURST_MESSAGES + 9 * MESSAGES_PER_S <= sent <= BURST_MESSAGES + 10 * MESSAGES_PER_S


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
    cell.flow = Flow(time.monotonic())  # as after a quiet second
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
    assert 0.9 * BURST_BYTES <= len(shown.encode()) <= BURST_BYTES
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


def test_a_hundred_megabytes(kernel: Kernel) -> None:
    kernel.ok("%%remote\nprint('warm')")
    process = psutil.Process(kernel.pid)
    before = process.memory_info().rss
    cell = kernel.ok("%%remote\nline = 'x' * 999\nfor i in range(100_000): print(line)\nprint('the end')")
    grown = (process.memory_info().rss - before) / 1e6
    assert grown < 50, f"{grown} MB"
    assert len(cell.text()) < 30e6
    assert cell.text().endswith("the end\n")
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
    states = cell.display(cell.of("display_data")[0])
    assert len(states) < 500
    assert states[-1]["data"]["text/plain"] == "2999"
    assert [c["data"]["text/plain"] for c in cell.of("display_data")] == ["'start'", *map(str, range(100))]


def test_prints_and_displays_in_turn_are_held_back_together(kernel: Kernel) -> None:
    start = time.monotonic()
    cell = kernel.ok(
        "%%remote --quiet\nfrom IPython.display import HTML\nfor i in range(5000):\n    print('line', i)\n    display(HTML(f'<p>{i}</p>'))"
    )
    took = time.monotonic() - start
    shown = cell.of("stream", "display_data")
    # What waits when the cell ends is shown at once.
    assert len(shown) <= BURST_MESSAGES + MESSAGES_PER_S * took + PENDING_MESSAGES + 10, len(shown)
    assert cell.of("display_data")[-1]["data"]["text/html"] == "<p>4999</p>"
    assert cell.text().endswith("line 4999\n")
    found = re.search(r"more than 20 displays a second: the rest goes to (\S+)\n", cell.text("stderr"))
    assert found, cell.text("stderr")
    path = Path(found[1])
    lines = re.findall(r"line (\d+)", path.read_text() + cell.text())
    assert sorted(map(int, set(lines))) == list(range(5000))  # nothing is lost
    path.unlink()


def test_displays_that_wait_cost_the_kernel_little(capsys: pytest.CaptureFixture[str]) -> None:
    shell = SimpleNamespace(
        display_pub=None, execution_count=1, history_manager=SimpleNamespace(input_hist_parsed=[""])
    )
    router = OutputRouter(shell, "ended")
    origin = router.enter_cell()
    sent: list[str] = []
    router._send = lambda origin, kind, content: sent.append(content.get("data", {}).get("text/plain", ""))  # type: ignore[method-assign]
    for number in range(290):
        router.sink(origin, "display_data", {"data": {"text/plain": f"<{number}>", "text/html": "x" * 1_000_000}}, {})
    cell = router._cells[origin]
    assert cell.overflow is not None
    path = Path(cell.overflow.path)
    assert sum(len(entry[1]["data"]["text/html"]) for entry in cell.pending) <= PENDING_BYTES
    router.finish(origin)
    router.close()
    assert sent[0] == "<0>"
    assert "<289>" in sent
    assert cell.pending_bytes == 0
    in_file = re.findall("<(\\d+)>", path.read_text())
    assert len(in_file) + sum(bool(text) for text in sent) == 290
    path.unlink()
