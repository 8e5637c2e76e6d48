"""``%nbray``: the cluster as the notebook sees it; and what refs, handles and nodes look like."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit import Kernel


def html(kernel: Kernel, code: str) -> str:
    (result,) = kernel.ok(code).of("execute_result")
    return str(result["data"].get("text/html", ""))


@pytest.fixture(scope="module")
def busy(kernel: Kernel) -> Kernel:
    """A cluster on which something has happened."""
    kernel.ok(
        "import numpy as np\n@nbray.remote\ndef square(v): return v * v\n@nbray.remote\ndef fails(): raise ValueError('on purpose')\n"
        "@nbray.remote\nclass Counter:\n    def add(self):\n        print('added by the counter')\n        return 1\n"
        "done = nbray.get([square.remote(i) for i in range(5)])\nfailed = fails.remote()\nnbray.wait([failed])\n"
        "counter = Counter.options(name='c1').remote()\nnbray.get(counter.add.remote())\nbig = nbray.put(np.ones(500_000))"
    )
    return kernel


def test_status_and_cluster(busy: Kernel) -> None:
    text = busy.ok("%nbray").value or ""
    assert "CPU" in text
    assert "of 2 in use" in text
    assert "object store" in text
    assert busy.ok("%nbray status").value
    assert "alive" in (busy.ok("%nbray cluster").value or "")
    assert "<table>" in html(busy, "%nbray cluster")


def test_the_first_status_counts_workers_and_actors(busy: Kernel) -> None:
    text = busy.ok("from nbray.core import current\ncurrent.core.latest_state = None\n%nbray status").value or ""
    figures = dict(line.split(None, 1) for line in text.split("\n") if line.startswith(("workers", "actors")))
    assert int(figures["workers"]) >= 1 and figures["actors"] == "1"


def test_tasks(busy: Kernel) -> None:
    text = busy.ok("%nbray tasks").value or ""
    assert "square" in text
    first = next(line for line in text.split("\n") if "fails" in line)
    assert text.index(first) < text.index("square")  # errors first
    assert any("fails" in line and line.endswith("ValueError: on purpose") for line in text.split("\n"))
    assert "<title>square, 5 tasks, 5 done</title>" in html(busy, "%nbray tasks")  # the graph, drawn
    assert "square" not in (busy.ok("%nbray tasks failed").value or "")
    assert "No task is like" in (busy.ok("%nbray tasks nothing-like-that").value or "")


def test_actors_and_objects_name_the_variables(busy: Kernel) -> None:
    (line,) = [line for line in (busy.ok("%nbray actors").value or "").split("\n") if "Counter" in line]
    assert "c1" in line
    assert "counter" in line
    (line,) = [line for line in (busy.ok("%nbray objects").value or "").split("\n") if " big " in line]
    assert "3.8 MiB" in line


def test_ids_in_lists_tell_actors_apart(busy: Kernel) -> None:
    busy.ok("others = [Counter.remote() for _ in range(2)]\nnbray.get([one.add.remote() for one in others])")
    text = busy.ok("%nbray actors").value or ""
    ids = [line.split()[0] for line in text.split("\n") if "Counter" in line]
    assert len(ids) == len(set(ids)) == 3
    assert "added by the counter" in busy.ok(f"%nbray log {ids[0]}").text()


def test_cells_of_actors_and_what_cells_send_are_named(busy: Kernel) -> None:
    busy.ok("%%remote --actor kept\n1")
    busy.ok("%%remote --actor kept --name second\n2")
    text = busy.ok("%nbray tasks").value or ""
    assert "kept.second" in text and "kept.cell " in text and "CellActor.run" not in text
    sent = busy.ok("sent = np.zeros(1_300_000)\n1") and busy.ok("%%remote\nsent[0]")
    number = sent.of("execute_input")[0]["execution_count"]
    (line,) = [line for line in (busy.ok("%nbray objects").value or "").split("\n") if "9.9 MiB" in line]
    assert f"In[{number}]" in line


def test_what_no_node_has_is_told_with_what_a_cell_can_do(busy: Kernel) -> None:
    cell = busy.run("%%remote --num-cpus 99\n1")
    assert cell.error["ename"] == "TaskUnschedulableError" and "%nbray scale 99." in cell.error["evalue"]
    text = busy.run("%%remote --actor huge --num-gpus 9\n1").text("stderr")
    assert "the actor huge asks for" in text and "nbray.shutdown()" in text and "wait_for" not in text


def test_gpu_and_log(busy: Kernel) -> None:
    assert busy.ok("%nbray gpu").value
    assert "added by the counter" in busy.ok("%nbray log counter").text()
    assert "no task, actor, pid" in busy.run("%nbray log ffffffff").text("stderr")
    assert "No log of process 1 is known" in busy.run("%nbray log 1").text("stderr")
    busy.ok("silent = Counter.remote()\nnbray.get(silent.__ray_ready__.remote())")
    assert busy.ok("%nbray log silent").text() == "Nothing was written there.\n"


def test_why(busy: Kernel) -> None:
    assert "ready" in busy.ok("%nbray why big").text()
    assert "is no ObjectRef" in busy.run("%nbray why done").text("stderr")


def test_timeline(busy: Kernel, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    assert str(path) in busy.ok(f"%nbray timeline {path}").text()
    assert "square" in path.read_text()


def test_help_completion_and_mistakes(busy: Kernel) -> None:
    assert "%nbray why NAME" in busy.ok("%nbray help").text()
    assert {"tasks", "timeline"} <= set(busy.complete("%nbray t", 8))
    assert "big" in busy.complete("%nbray why bi", 13)
    assert "there is no 'frobnicate'" in busy.run("%nbray frobnicate").text("stderr")
    assert "takes no more words" in busy.run("%nbray restart later").text("stderr")
    assert busy.ok("nbray.get(counter.add.remote())").value == "1"  # nothing was restarted


def test_reprs(busy: Kernel) -> None:
    shown = html(busy, "big")
    assert "ready" in shown
    assert "4.0 MB" in shown
    assert "cell " in shown
    assert "<svg" in shown
    failed = html(busy, "failed")
    assert "failed" in failed and "ValueError: on purpose" in failed
    text = html(busy, "@nbray.remote\ndef slow():\n    import time\n    time.sleep(0.5)\nslow.remote()")
    assert "made by slow" in text
    of_cell = busy.ok("%%remote --async\nof_a_cell = 1")
    busy.ok("nbray.get(of_a_cell)")
    number = of_cell.of("execute_input")[0]["execution_count"]
    assert html(busy, "of_a_cell").count(f"cell {number}") == 1
    assert "cell " in text
    assert "Counter" in html(busy, "counter")
    assert "alive" in html(busy, "counter")
    of_actor = busy.ok("another = Counter.options(name='c2').remote()\nnbray.get(another.add.remote())")
    number = of_actor.of("execute_input")[0]["execution_count"]
    shown = html(busy, "another")
    assert "named c2" in shown and f"cell {number}" in shown and "methods: add" in shown
    code = shown.partition("<code>")[2].partition("…</code>")[0]
    assert code and code != html(busy, "counter").partition("<code>")[2].partition("…</code>")[0]  # which one it is
    assert "alive" in html(busy, "nbray.nodes()") and "of 2 CPU" in html(busy, "nbray.nodes()")
    assert "2 CPU" in html(busy, "nbray.init(ignore_reinit_error=True)")
    error = html(busy, "try:\n    nbray.get(failed)\nexcept ValueError as caught:\n    error = caught\nerror")
    assert "ValueError" in error and "raised by fails" in error and "<details>" in error
    assert "made by fails" in html(busy, "board = nbray.dashboard()\nboard.close()\nfailed")


def test_reprs_of_lists_of_refs(busy: Kernel) -> None:
    busy.ok(
        "@nbray.remote\ndef third(i):\n    if i == 2: raise ValueError('two')\n    return i\n"
        "@nbray.remote(num_cpus=2)\ndef forever():\n    import time\n    print('runs')\n    time.sleep(1000)\n"
        "some = [third.remote(i) for i in range(4)]\nnbray.wait(some, num_returns=4)"
    )
    shown = html(busy, "some")
    assert "4 ObjectRefs" in shown and "1 failed" in shown and "3 ready" in shown and "cell " in shown
    assert (busy.ok("some").value or "").startswith("[ObjectRef(")  # the text is what it always is
    cell = busy.ok("long = [forever.remote() for _ in range(3)]")
    busy.until(lambda: "runs" in cell.text())
    shown = html(busy, "[*long, third.remote(long[0])]")
    assert "1 running" in shown and "2 waiting for a place" in shown and "1 waiting for inputs" in shown, shown
    busy.ok("for ref in long: nbray.cancel(ref, force=True)")
    background = busy.ok("%%remote --async --each i=range(3)\nimport time\ntime.sleep(1000)\nitems = i")
    shown = html(busy, "items")
    assert "3 ObjectRefs" in shown and "of a cell in the background" in shown and "waiting" not in shown
    assert "of a cell in the background" in background.of("execute_result")[0]["data"]["text/html"]
    busy.ok("for ref in items: nbray.cancel(ref)")
    # Other lists look as they do without nbray, those that have a look of their own, too.
    for other in ("[1, 2]", "[]", "[some[0], 1]", "[some[0]]"):
        assert "text/html" not in busy.ok(other).of("execute_result")[0]["data"]
    assert html(busy, "class Own(list):\n    def _repr_html_(self): return '<i>own</i>'\nOwn([1])") == "<i>own</i>"
    assert "text/html" not in busy.ok("class Plain(list): pass\nPlain([1])").of("execute_result")[0]["data"]


def test_reprs_of_hostile_names(busy: Kernel) -> None:
    name = "<script>alert(1)</script>"
    code = f"evil = nbray.remote(lambda: 1 / 0).options(name={name!r}).remote()\nnbray.wait([evil])\n"
    busy.ok(
        f"{code}class Evil: pass\nEvil.__name__ = {name!r}\nbad = nbray.remote(Evil).options(name={name!r}).remote()"
    )
    for shown in ("evil", "bad", "try:\n    nbray.get(evil)\nexcept Exception as e:\n    caught = e\ncaught"):
        assert "<script>" not in html(busy, shown)


def test_scale(busy: Kernel) -> None:
    assert "offers 3 CPUs now" in busy.ok("%nbray scale 3").text()
    assert busy.ok("nbray.cluster_resources()['CPU']").value == "3.0"
    assert "1 or more" in busy.run("%nbray scale 0").text("stderr")
    assert "no number of CPUs" in busy.run("%nbray scale").text("stderr")
    assert "offers 2 CPUs now" in busy.ok("%nbray scale 2").text()


def test_restart(busy: Kernel) -> None:
    busy.ok("%%remote --actor kept\nx = 1")
    busy.ok("@nbray.remote\ndef endless():\n    import time\n    time.sleep(1000)\nopen_one = endless.remote()")
    background = busy.ok("%%remote --async\nimport time\ntime.sleep(1000)\nin_background = 1")
    line = background.of("display_data")[1]
    assert "A new cluster runs" in busy.ok("%nbray restart").text()
    assert "the cluster has ended" in background.display(line)[-1]["data"]["text/plain"]
    for lost in ("big", "failed", "counter", "open_one", "in_background"):  # as getting them says, too
        shown = html(busy, lost)
        assert "lost: its cluster has ended" in shown and "ready" not in shown and "alive" not in shown, shown
    assert "nil: names no value" in html(busy, "type(big).nil()")
    assert "belongs to another cluster" in busy.run("%nbray why big").text("stderr")
    assert busy.ok("nbray.cluster_resources()['CPU']").value == "2.0"
    assert busy.ok("%%remote --actor kept\n'x' in dir(), 1").reply
    assert busy.ok("%%remote\nbig_again = 5\nbig_again").value == "5"


def test_without_a_cluster(fresh_kernel: Kernel) -> None:
    fresh_kernel.ok("%load_ext nbray")
    assert "No cluster runs" in (fresh_kernel.ok("%nbray").value or "")
    assert "No cluster runs" in fresh_kernel.run("%nbray tasks").text("stderr")
    assert fresh_kernel.ok("import nbray\nnbray.is_initialized()").value == "False"
    fresh_kernel.ok("ref = nbray.put(1)\nnbray.shutdown()")
    for looked in ("why ref", "scale 3", "timeline", "log ref", "objects"):
        assert "No cluster runs" in fresh_kernel.run(f"%nbray {looked}").text("stderr")
    assert fresh_kernel.ok("nbray.is_initialized()").value == "False"
