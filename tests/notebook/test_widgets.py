"""Widgets of remote cells, as a front end sees them: the messages of comms, both ways."""

from __future__ import annotations

import sys
import types
import uuid
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from kit import LIMIT_S, Cell, Kernel

from nbray.notebook import ipywidgets_travel
from nbray.notebook.output_queue import _with_earlier

pytest.importorskip("ipywidgets")

VIEW = "application/vnd.jupyter.widget-view+json"


class Page:
    """The front end's part: it talks to widgets on a subshell, as JupyterLab does, so that it is heard while a cell runs.

    Kernels before ipykernel 7 have none: there it is heard when the cell is over.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        client = kernel.client
        self.subshell: str | None = None
        if not self.is_heard_meanwhile:
            return
        asked = client.session.msg("create_subshell_request", {})
        client.control_channel.send(asked)
        reply = client.get_control_msg(timeout=LIMIT_S)
        while reply["parent_header"].get("msg_id") != asked["header"]["msg_id"]:
            reply = client.get_control_msg(timeout=LIMIT_S)
        self.subshell = reply["content"]["subshell_id"]

    @property
    def is_heard_meanwhile(self) -> bool:
        """Whether the kernel has subshells."""
        asked = self.kernel._ask(self.kernel.client.kernel_info())
        return "kernel subshells" in asked.get("supported_features", ())

    def send(self, comm_id: str, data: dict[str, Any], buffers: tuple[bytes, ...] = ()) -> str:
        """Send a message to a comm; returns its id."""
        session = self.kernel.client.session
        message = session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        if self.subshell is not None:
            message["header"]["subshell_id"] = self.subshell
        message["buffers"] = list(buffers)
        self.kernel.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def set(self, comm_id: str, **state: Any) -> str:
        return self.send(comm_id, {"method": "update", "state": state, "buffer_paths": []})

    def answers(self, msg_id: str) -> list[dict[str, Any]]:
        """Return what came with the header of a message of ours, once it was dealt with."""
        self.kernel.until(
            lambda: any(
                m["msg_type"] == "status" and m["content"]["execution_state"] == "idle"
                for m in self.kernel.messages.get(msg_id, ())
            )
        )
        return [m["content"]["data"] for m in self.kernel.messages[msg_id] if m["msg_type"] == "comm_msg"]

    def state(self, comm_id: str) -> dict[str, Any]:
        """Ask for the state of a widget."""
        (answer,) = self.answers(self.send(comm_id, {"method": "request_state"}))
        state: dict[str, Any] = answer["state"]
        return state


@pytest.fixture(scope="module")
def ready(kernel: Kernel) -> Iterator[Kernel]:
    code = "%%remote\nimport sys\nprint(sorted({'comm', 'ipywidgets', 'IPython'} & set(sys.modules)))\nimport ipywidgets as W, time"
    assert kernel.ok(code).text() == "[]\n"  # which a worker loads only for those that use it
    yield kernel


@pytest.fixture(scope="module")
def page(ready: Kernel) -> Page:
    return Page(ready)


@pytest.fixture(scope="module")
def quick_page(page: Page) -> Page:
    """One that is heard while a cell runs."""
    if page.subshell is None:
        pytest.skip("needs a kernel with subshells")
    return page


def shown_models(cell: Cell) -> list[str]:
    """Return the ids of the widgets that a cell has shown so far."""
    data = [content["data"] for content in cell.of("display_data", "execute_result")]
    return [part[VIEW]["model_id"] for part in data if VIEW in part]


def last_state(cell: Cell, comm_id: str) -> dict[str, Any]:
    """Return the state of a widget after all that its cell has told the front end."""
    state: dict[str, Any] = {}
    for content in cell.of("comm_open", "comm_msg"):
        if content["comm_id"] == comm_id:
            state.update(content["data"].get("state", {}))
    return state


def started(kernel: Kernel, code: str, shown: int = 1) -> tuple[Cell, list[str]]:
    """Start a cell; returns it and the widgets that it shows, once it has shown so many."""
    cell = kernel.start(code)
    kernel.until(lambda: len(shown_models(cell)) >= shown)
    return cell, shown_models(cell)


def test_of_updates_that_wait_the_last_state_is_sent() -> None:
    def update(comm_id: str, buffers: dict[str, bytes] | None = None, **state: Any) -> Any:
        paths = [[name] for name in buffers or ()]
        data = {"method": "update", "state": state, "buffer_paths": paths}
        return {"comm_id": comm_id, "data": data}, {"parent": "", "buffers": list((buffers or {}).values())}

    pending: deque[list[Any]] = deque()
    for content in (
        update("a", x=1, y=1),
        update("b", {"z": b"1", "w": b"2"}, x=1),
        update("a", x=2),
        update("out", msg_id="cell"),
        update("b", {"z": b"3"}, y=4),
        update("out", msg_id=""),
        update("a", y=3),
    ):
        pending.append(["comm_msg", _with_earlier(pending, content)])
    sent = [(body["comm_id"], body["data"]["state"], extra["buffers"]) for _, (body, extra) in pending]
    assert sent == [
        ("out", {"msg_id": "cell"}, []),
        ("b", {"x": 1, "y": 4}, [b"2", b"3"]),
        ("out", {"msg_id": ""}, []),
        ("a", {"x": 2, "y": 3}, []),
    ]
    assert pending[1][1][0]["data"]["buffer_paths"] == [["w"], ["z"]]


def test_a_progress_bar_moves_under_its_cell_and_rests_where_it_ended(ready: Kernel, page: Page) -> None:
    pytest.importorskip("tqdm")
    cell = ready.ok("%%remote --quiet\nfrom tqdm.auto import tqdm\nfor i in tqdm(range(300), mininterval=0): pass")
    opened = {c["comm_id"]: c["data"]["state"] for c in cell.of("comm_open")}
    (bar,) = [name for name, state in opened.items() if state["_model_name"] == "FloatProgressModel"]
    (box,) = shown_models(cell)
    assert opened[box]["_model_name"] == "HBoxModel" and f"IPY_MODEL_{bar}" in opened[box]["children"]
    assert last_state(cell, bar)["value"] == 300 and last_state(cell, bar)["bar_style"] == "success"
    # What is loaded anew asks the kernel: which comms there are, and what they show.
    comms = ready._ask(ready.client.comm_info(target_name="jupyter.widget"))["comms"]
    assert set(opened) <= set(comms)
    assert page.state(bar)["value"] == 300
    known = ready.ok(f"import ipywidgets\nipywidgets.Widget.get_manager_state()['state'][{bar!r}]['state']['value']")
    assert known.value == "300.0"


def test_what_a_person_moves_is_heard_by_the_cell_that_runs_and_by_what_comes_back(
    ready: Kernel, quick_page: Page
) -> None:
    code = (
        "%%remote --quiet\nslider = W.IntSlider(1); clicks = []; button = W.Button()\n"
        "button.on_click(lambda button: clicks.append(slider.value))\ndisplay(slider, button)\n"
        "while not clicks: time.sleep(0.01)"
    )
    cell, (slider, button) = started(ready, code, 2)
    quick_page.set(slider, value=7)
    quick_page.send(button, {"method": "custom", "content": {"event": "click"}})
    ready.finish(cell)
    assert ready.ok("slider.value, clicks").value == "(7, [7])"
    assert last_state(ready.ok("slider.max = 50"), slider) == {"max": 50}
    assert ready.ok("slider").of("execute_result")[0]["data"][VIEW]["model_id"] == slider
    quick_page.answers(quick_page.set(slider, value=8))
    quick_page.answers(quick_page.send(button, {"method": "custom", "content": {"event": "click"}}))
    assert ready.ok("slider.value, clicks").value == "(8, [7, 8])"
    assert ready.ok("%%remote\nslider.value").value == "8"


def test_a_widget_made_here_is_moved_by_a_cell_and_heard_by_it(ready: Kernel, quick_page: Page) -> None:
    cell = ready.ok("stop = ipywidgets.ToggleButton(); bar = ipywidgets.IntProgress(); moves = []; stop")
    (stop,) = shown_models(cell)
    ready.ok("bar.observe(lambda change: moves.append(change.new), 'value')")
    bar = ready.ok("bar.model_id").value.strip("'")
    cell, _ = started(
        ready,
        "%%remote --quiet\ndisplay(W.Label())\nwhile not stop.value:\n    bar.value = 40\n    time.sleep(0.01)\nbar.value = 50",
    )
    ready.until(lambda: last_state(cell, bar).get("value") == 40)
    quick_page.set(stop, value=True)
    ready.finish(cell)
    assert last_state(cell, bar)["value"] == 50
    assert ready.ok("stop.value, bar.value, moves").value == "(True, 50, [50])"


def test_what_an_observer_notes_of_a_cell_comes_on_top_of_what_the_cell_notes(ready: Kernel) -> None:
    ready.ok(
        "noted, dial = [], ipywidgets.IntSlider(3)\ndial.observe(lambda change: noted.append((change['new'], made)), 'value')\nmade = 0"
    )
    ready.ok("%%remote\ndial.value = 7\nnoted.append('cell')\nmade = 1\nNone")
    assert ready.ok("noted").value == "['cell', (7, 1)]"


def test_an_output_takes_what_is_shown_in_it_also_when_the_worker_dies(ready: Kernel) -> None:
    cell = ready.run(
        "%%remote --quiet\nout = W.Output()\nwith out:\n    print('in')\n    1 / 0\nprint('out')\n"
        "out.__enter__()\nprint('again', flush=True)\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    seen: list[Any] = []
    for message in cell.messages:
        content = message["content"]
        if message["msg_type"] == "comm_msg" and "msg_id" in content["data"]["state"]:
            seen.append(content["data"]["state"]["msg_id"] == cell.msg_id)
        elif message["msg_type"] == "error":
            seen.append(content["ename"])
        elif message["msg_type"] == "stream" and content["text"] in ("in\n", "out\n", "again\n"):
            seen.append(content["text"])
    assert seen == [True, "in\n", "ZeroDivisionError", False, "out\n", True, "again\n", False, cell.error["ename"]]


def test_what_nobody_listens_to_any_more_keeps_what_a_person_sets(ready: Kernel, page: Page) -> None:
    cell = ready.ok("%%remote --quiet\ndisplay(W.FloatSlider(1.0))")
    (slider,) = shown_models(cell)
    (echo,) = page.answers(page.set(slider, value=4.0))
    assert echo["method"] == "echo_update" and echo["state"] == {"value": 4.0}
    assert page.state(slider)["value"] == 4.0


def test_buffers_go_along(ready: Kernel, quick_page: Page) -> None:
    data = uuid.uuid4().bytes
    cell, (image, upload) = started(
        ready,
        f"%%remote --quiet\nimage = W.Image(value=bytes.fromhex({data.hex()!r}))\nupload = W.Image()\ndisplay(image, upload)\n"
        "while not upload.value: time.sleep(0.01)\nbytes(upload.value).hex()",
        2,
    )
    (opened,) = [m for m in cell.messages if m["msg_type"] == "comm_open" and m["content"]["comm_id"] == image]
    assert opened["content"]["data"]["buffer_paths"] == [["value"]] and bytes(opened["buffers"][0]) == data
    quick_page.send(upload, {"method": "update", "state": {}, "buffer_paths": [["value"]]}, (data,))
    assert ready.finish(cell).value == repr(data.hex())


def test_widgets_of_an_actor_live_from_cell_to_cell(ready: Kernel, page: Page) -> None:
    cell = ready.ok(
        "%%remote --quiet --actor keeper\nkept = W.IntSlider(2); lock = __import__('threading').Lock(); display(kept)"
    )
    (kept,) = shown_models(cell)
    page.answers(page.set(kept, value=5))
    assert ready.ok("kept.value").value == "5"
    ready.ok("%%remote --quiet --actor keeper\nwhile kept.value != 5: time.sleep(0.01)\nkept.value = 6")
    assert ready.ok("kept.value").value == "6"


def test_what_a_cell_shows_lives_on_without_a_name(ready: Kernel, page: Page) -> None:
    cell = ready.ok("%%remote --quiet\ndef twice(x):\n    print('twice', 2 * x)\nW.interact(twice, x=(0, 9));")
    states = {c["comm_id"]: c["data"]["state"] for c in cell.of("comm_open")}
    (slider,) = [name for name, state in states.items() if state["_model_name"] == "IntSliderModel"]
    moved = page.set(slider, value=3)
    page.answers(moved)
    ready.until(lambda: "twice 6\n" in [c["text"] for c in Cell(ready, moved).of("stream")])


def test_a_bar_that_has_a_name_goes_on_here(ready: Kernel) -> None:
    cell = ready.ok("%%remote --quiet\nfrom tqdm.auto import tqdm\nbar = tqdm(total=8, mininterval=0)\nbar.update(3)")
    assert cell.text("stderr") == ""
    opened = {c["comm_id"]: c["data"]["state"]["_model_name"] for c in cell.of("comm_open")}
    (moves,) = [name for name, model in opened.items() if model == "FloatProgressModel"]
    here = ready.ok("bar.update(5); bar.close()")
    assert last_state(here, moves) == {"value": 8.0, "bar_style": "success"} and not here.of("comm_open")
    # A bar that is gone leaves its widget behind.
    assert ready.ok("%%remote --quiet\nsum(tqdm(range(4)))").value == "6"


def test_a_module_that_another_thread_is_loading_is_not_asked_for_widgets(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", types.ModuleType("ipywidgets"))  # as it begins
    ipywidgets_travel.connect([1])
    assert ipywidgets_travel.unconnected([1]) == []
    assert ipywidgets_travel.state_of(1) is None
