"""What a page asks about the cluster while a cell runs, over a real kernel's comm on a subshell."""

from __future__ import annotations

import uuid

import pytest
from kit import LIMIT_S, Cell, Kernel
from test_widgets import Page

PUT = "kept = nbray.put(bytes(2_000_000))\nnbray.get(nbray.remote(lambda: 1).remote())\nNone"
BUSY = "import os, time\nwhile not os.path.exists({path!r}):\n    time.sleep(0.01)"


class Panel(Page):
    """A page with the panel open."""

    def open(self) -> str:
        """Open the feed's comm; returns its id once the first view has come."""
        session, comm_id = self.kernel.client.session, uuid.uuid4().hex
        message = session.msg("comm_open", {"comm_id": comm_id, "target_name": "nbray.panel", "data": {"v": 1}})
        message["header"]["subshell_id"] = self.subshell
        self.kernel.client.shell_channel.send(message)
        self.kernel.until(lambda: bool(self.said(comm_id)))
        return comm_id

    def said(self, comm_id: str) -> list[dict]:
        """Everything that the kernel has sent over a comm."""
        messages = [m for of_one in self.kernel.messages.values() for m in of_one if m["msg_type"] == "comm_msg"]
        return [m["content"]["data"] for m in messages if m["content"]["comm_id"] == comm_id]

    def ask(self, comm_id: str, number: int, what: str) -> dict:
        """The answer to a question."""
        self.send(comm_id, {"v": 1, "request": number, "what": what})

        def answers() -> list[dict]:
            return [data for data in self.said(comm_id) if data.get("reply") == number]

        self.kernel.until(lambda: bool(answers()))
        return answers()[0]


@pytest.mark.timeout(4 * LIMIT_S)
def test_questions_are_answered_while_a_cell_runs(kernel: Kernel, tmp_path):
    """Also once the feed's own thread has sent something, after which ipykernel would have them wait for the main thread."""
    panel = Panel(kernel)
    if panel.subshell is None:
        pytest.skip("needs a kernel with subshells")
    comm_id = panel.open()
    kernel.ok(PUT)
    kernel.until(lambda: len(panel.said(comm_id)) > 1)  # from the feed's thread: the view has changed
    gate = tmp_path / "go-on"
    cell: Cell = kernel.start(BUSY.format(path=str(gate)))
    try:
        kernel.until(lambda: any(m["content"].get("execution_state") == "busy" for m in cell.messages))
        answer = panel.ask(comm_id, 1, "objects")
        assert "kept" in str(answer["value"]["objects"]), answer
        assert not cell.idle
    finally:
        gate.touch()
        kernel.finish(cell)


@pytest.mark.timeout(4 * LIMIT_S)
def test_a_page_is_told_which_cells_made_the_tasks(kernel: Kernel):
    """It may be of another client, or have been opened later: then it saw no cell run."""
    panel = Panel(kernel)
    content = {"code": PUT, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    message = kernel.client.session.msg("execute_request", content, metadata={"cellId": "a-cell"})
    kernel.client.shell_channel.send(message)
    comm_id = panel.open()
    panel.send(comm_id, {"v": 1, "tasks": True})

    def cells() -> list:
        return [cell for data in panel.said(comm_id) for cell in data.get("frame", {}).get("cells", ())]

    kernel.until(lambda: bool(cells()))
    (origin, number, cell_id), *_ = cells()
    assert (origin, cell_id) == (message["header"]["msg_id"], "a-cell") and number >= 1
