"""What the other options of ``%%remote`` do, in a real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit import Kernel


@pytest.mark.parametrize("option", ["--lazy", "--async"])
def test_a_name_that_holds_an_error_of_the_library(kernel: Kernel, option: str) -> None:
    """It was bound, not raised: later cells have it as any other value."""
    kernel.ok(f"%%remote {option}\nfrom nbray.exceptions import GetTimeoutError\nheld = GetTimeoutError('late')")
    assert kernel.ok("%%remote\ntype(held).__name__, str(held)").value == "('GetTimeoutError', 'late')"


def test_lazy(kernel: Kernel) -> None:
    kernel.ok("%%remote --lazy\nbig = list(range(1000))\ndef fn(): return 1\nimport math\nthree = 3")
    cell = kernel.ok("type(big).__name__, len(nbray.get(big)), fn(), math.pi > 3, nbray.get(three)")
    assert cell.value == "('ObjectRef', 1000, 1, True, 3)"
    assert kernel.ok("%%remote\nlen(big)").value == "1000"
    assert "bad did not come back" in kernel.ok("%%remote --lazy\nbad = (i for i in ())").text("stderr")


def test_time(kernel: Kernel) -> None:
    cell = kernel.ok("%%remote --time\nimport time\ntime.sleep(0.05)\n5")
    assert cell.value == "5"
    assert cell.text().startswith("ran ")
    assert "on the worker (CPU" in cell.text()


def test_timeout(kernel: Kernel) -> None:
    line = "open('at-line-4', 'w').close(); time.sleep(100)"
    with kernel.patient():
        for limit in ("0.5", "5", "50"):  # in half a second a busy machine may not come to the line
            cell = kernel.run(f"%%remote --timeout {limit}\nearly = 1\nimport time\n{line}")
            assert cell.error["ename"] == "GetTimeoutError"
            assert f"{limit} s (--timeout)" in cell.error["evalue"]
            if kernel.has("at-line-4"):
                break
    assert f"----> 4 {line}" in cell.traceback
    assert kernel.ok("early").value == "1"
    assert kernel.ok("%%remote --timeout 60\n1").value == "1"
    line = "open('at-line-3', 'w').close(); time.sleep(100)"
    with kernel.patient():
        for limit in ("0.3", "3", "30"):
            cell = kernel.ok(f"%%remote --timeout {limit} --async\nimport time\n{line}")
            kernel.until(lambda cell=cell: bool(cell.of("error")))  # type: ignore[misc]
            if kernel.has("at-line-3"):
                break
    assert cell.error["ename"] == "GetTimeoutError"
    assert f"----> 3 {line}" in cell.traceback


def test_node(kernel: Kernel) -> None:
    kernel.ok("node_id = nbray.nodes()[0]['NodeID']")
    node = (kernel.ok("node_id").value or "").strip("'")
    assert kernel.ok(f"%%remote --node {node[:12]}\n1").value == "1"
    assert "names no node" in kernel.run("%%remote --node nowhere\n1").text("stderr")


def test_quiet_keeps_hints_away(kernel: Kernel) -> None:
    cell = kernel.ok("%%remote --quiet\nprint('mine')\ngen = (i for i in ())")
    assert (cell.text(), cell.text("stderr")) == ("mine\n", "")


def test_a_cell_has_the_resources_it_asks_for(fresh_kernel: Kernel) -> None:
    fresh_kernel.ok("%load_ext nbray\nimport nbray\nnbray.init(num_cpus=2, num_gpus=1)\nNone")
    asked = "nbray.get_runtime_context().get_assigned_resources()"
    cell = fresh_kernel.ok(
        f"%%remote --num-cpus 0.5 --num-gpus 1\nimport os\n{asked}, nbray.get_gpu_ids(), os.environ['CUDA_VISIBLE_DEVICES']"
    )
    assert cell.value == "({'CPU': 0.5, 'GPU': 1.0}, [0], '0')"
    assert fresh_kernel.ok(f"%%remote\n{asked}").value == "{'CPU': 1.0}"
    refused = fresh_kernel.run("%%remote --num-gpus 2\n1").error
    assert refused["ename"] == "TaskUnschedulableError" and "1 GPU, 2 are needed" in refused["evalue"]


def test_name_reaches_the_timeline(kernel: Kernel) -> None:
    kernel.ok("%%remote --name polished\npass")
    assert kernel.ok("'polished' in {event['name'] for event in nbray.timeline()}").value == "True"


def test_help_and_completion(kernel: Kernel) -> None:
    text = kernel.ok("%%remote --help\npass").text()
    for word in ("--each x=ITER", "--actor NAME", "--timeout SECONDS", "--lazy"):
        assert word in text
    assert "--max-retries N" in kernel.client_inspect("%%remote?")
    code = "%%remote --num-cpus 1 --n\nx = 1"
    assert {"--num-gpus", "--name", "--node", "--no-out"} <= set(kernel.complete(code, code.index("\n")))
    assert "--each" in kernel.complete("%%remote --ea", 13)


def test_a_cell_that_waits_says_for_what(kernel: Kernel) -> None:
    first = kernel.ok(
        "%%remote --async --num-cpus 2 --name train\nimport os, time\nprint('holds')\n"
        "while not os.path.exists('let-go'): time.sleep(0.01)"
    )
    kernel.until(lambda: first.text() == "holds\n")
    number = first.of("execute_input")[0]["execution_count"]
    # However long its worker takes to begin and to end then, it has only waited.
    kernel.ok("from nbray.notebook import waiting_cell\nwaiting_cell.SHOW_AFTER_S = 600")
    cell = kernel.start("%%remote --num-cpus 2\n7")
    kernel.until(lambda: bool(cell.of("display_data")))
    (line,) = cell.of("display_data")
    assert line["data"]["text/plain"].startswith(f"waiting for 2 CPUs: 0 of 2 free, held by train (cell {number})")
    Path(f"/proc/{kernel.pid}/cwd/let-go").touch()
    assert kernel.finish(cell).value == "7"
    last = cell.display(line)[-1]["data"]["text/plain"]
    assert last.startswith("waited ")
    assert last.endswith("(for 2 CPUs)")
    kernel.ok("waiting_cell.SHOW_AFTER_S = 2.0")


def test_a_cell_that_no_worker_may_be_started_for_says_so(fresh_kernel: Kernel) -> None:
    fresh_kernel.ok(
        "%load_ext nbray\nimport nbray\nnbray.init(num_cpus=2, _system_config={'max_processes': 1})\n"
        "from nbray.notebook import waiting_cell\nwaiting_cell.SHOW_AFTER_S = 600"
    )
    first = fresh_kernel.ok(
        "%%remote --async\nimport os, time\nprint('holds')\nwhile not os.path.exists('let-go'): time.sleep(0.01)"
    )
    fresh_kernel.until(lambda: first.text() == "holds\n")
    cell = fresh_kernel.start("%%remote\n7")
    fresh_kernel.until(lambda: bool(cell.of("display_data")))
    (line,) = cell.of("display_data")
    assert line["data"]["text/plain"].startswith("waiting for a worker: none may be started")
    Path(f"/proc/{fresh_kernel.pid}/cwd/let-go").touch()
    assert fresh_kernel.finish(cell).value == "7"


def test_an_actor_that_holds_what_a_cell_waits_for_is_named(kernel: Kernel) -> None:
    made = kernel.ok(
        "@nbray.remote(num_cpus=2)\nclass Holder:\n    def ready(self): return 1\n"
        "holder = Holder.remote()\nnbray.get(holder.ready.remote())"
    )
    number = made.of("execute_input")[0]["execution_count"]
    cell = kernel.start("%%remote\n8")
    kernel.until(lambda: bool(cell.of("display_data")))
    (line,) = cell.of("display_data")
    assert line["data"]["text/plain"].startswith(
        f"waiting for 1 CPU: 0 of 2 free, held by actor Holder 1 (cell {number})"
    )
    kernel.interrupt()
    kernel.finish(cell)
    kernel.ok("nbray.kill(holder)")
    assert kernel.ok("%%remote\n9").value == "9"
