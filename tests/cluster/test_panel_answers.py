"""What the kernel answers when the panel asks about a task, the objects, the actors, the nodes."""

import cluster_kit as kit
import numpy
import pytest

from nbray.core import current, output
from nbray.notebook.panel_answers.requests import PanelRequests
from nbray.notebook.panel_answers.task_output import TaskOutput
from nbray.notebook.task_stream import TaskStream

HOSTILE = "<img src=x onerror=alert(1)>"


class Panel:
    """A page, as the kernel sees it: tasks by index, and questions."""

    def __init__(self):
        self.names = {}
        self.output = TaskOutput()
        self.stream = TaskStream()
        self.requests = PanelRequests(self.stream, lambda: self.names, self.output)
        self.stream.poll()

    def ask(self, what, **more):
        return self.requests.answer({"request": 1, "what": what, **more})

    def about(self, index, what="task", **more):
        return self.ask(what, task=index, generation=self.stream._generation, **more)

    def index(self, name, state=None):
        """The newest task with this name, once it is in this state."""
        found = []

        def there():
            self.stream.poll()
            table = self.stream._feed.table
            found[:] = [
                i
                for i, function in enumerate(table.function)
                if function < len(table.functions)
                and table.functions[function]["name"] == name
                and (state is None or table.state[i] == state)
            ]
            return bool(found)

        kit.eventually(there, f"{name} in state {state}")
        return found[-1]


@pytest.fixture
def panel(ray):
    panel = Panel()
    output.set_recorder(lambda task, _, text: panel.output.add(task, text, current.core))
    yield panel
    output.set_recorder(None)


def english(said):
    """What a page in English makes of a sentence: a text, or a template with its values."""
    if isinstance(said, str):
        return said
    template, *values = said
    for place, value in enumerate(values, 1):
        template = template.replace(f"%{place}", english(value))
    return template


RUNS, DONE, FAILED, CANCELLED = 3, 4, 5, 6


def test_what_failed_why_and_once_more(ray, panel, gate):
    @ray.remote(max_retries=0)
    def clean(n, path, note=None):
        import os

        print("cleaning")
        if not os.path.exists(path):
            raise ValueError(note)
        return n

    ref = clean.remote(7, str(gate.path), note=HOSTILE)
    ray.wait([ref], num_returns=1)
    index = panel.index("clean", FAILED)
    told = panel.about(index)["value"]
    assert (told["error"]["type"], told["error"]["message"]) == ("ValueError", HOSTILE)
    assert "raise ValueError(note)" in told["error"]["traceback"] and told["error"]["at"].startswith(
        "test_panel_answers.py:"
    )
    assert [(row["label"], row["text"]) for row in told["arguments"]] == [
        ("#1", "7"), ("#2", repr(str(gate.path))), ("note", repr(HOSTILE)),
    ]  # fmt: skip
    assert told["log"] == {"text": "cleaning\n", "cut": False} and not told["open"] and not told["no_retry"]
    trace = panel.about(index, "trace")["value"]
    assert [event["args"]["status"] for event in trace if event["ph"] == "X"] == ["failed"]
    gate.open()
    assert panel.about(index, "retry") == {"value": True}
    kit.eventually(lambda: ray.wait([ref], timeout=0)[0], "it has run again")
    assert ray.get(ref) == 7
    assert panel.index("clean", DONE) == index and panel.stream._feed.table.attempt[index] == 1
    assert "has succeeded" in panel.about(index, "retry")["error"]


def test_runs_before_the_last_are_tries_however_they_ended(ray, panel, gate, ledger):
    @ray.remote(max_retries=5, retry_exceptions=True)
    def fragile():
        import os

        ledger.add(os.getpid())
        run = len(ledger.lines())
        if run in (1, 3):
            os.kill(os.getpid(), 9)
        if run == 2:
            raise ValueError(HOSTILE)
        gate.wait()

    ref = fragile.remote()
    pids = list(map(int, ledger.await_lines(4)))
    index = panel.index("fragile", RUNS)
    table = panel.stream._feed.table
    kit.eventually(lambda: panel.stream.poll() is not None and table.attempt[index] == 3, "three runs are over")
    told = panel.about(index)["value"]
    assert told["retries"] == 2
    assert [(row["attempt"], row["type"], row["pid"]) for row in told["tries"]] == [
        (0, "WorkerCrashedError", pids[0]), (1, "ValueError", pids[1]), (2, "WorkerCrashedError", pids[2]),
    ]  # fmt: skip
    assert told["tries"][1]["message"] == HOSTILE
    ends = [row["end"] for row in told["tries"]]
    assert ends == sorted(ends) and 0 < table.made[index] / 1e6 < ends[0]
    gate.open()
    ray.get(ref)
    panel.index("fragile", DONE)
    assert table.attempt[index] == 3


def test_runs_of_a_task_that_another_task_submitted_are_tries_too(ray, panel, gate, ledger, tmp_path):
    @ray.remote(max_retries=2, retry_exceptions=True)
    def inner():
        import os

        ledger.add(os.getpid())
        run = len(ledger.lines())
        if run == 1:
            os.kill(os.getpid(), 9)
        if run == 2:
            raise ValueError(HOSTILE)
        if run == 3:
            gate.wait()
            os.kill(os.getpid(), 9)

    @ray.remote(max_calls=1)
    def outer():
        try:
            ray.get(inner.remote())
        except ray.exceptions.WorkerCrashedError:
            gate2.wait()

    gate2 = kit.Gate(tmp_path / "second gate")
    ref = outer.remote()
    pids = list(map(int, ledger.await_lines(3)))
    index = panel.index("inner", RUNS)
    table = panel.stream._feed.table
    kit.eventually(lambda: panel.stream.poll() is not None and table.attempt[index] == 2, "two runs are over")
    told = panel.about(index)["value"]
    tries = [(0, "WorkerCrashedError", pids[0]), (1, "ValueError", pids[1])]
    assert [(row["attempt"], row["type"], row["pid"]) for row in told["tries"]] == tries
    assert told["tries"][1]["message"] == HOSTILE and told["error"] is None
    gate.open()
    assert panel.index("inner", FAILED) == index  # no worker tells of it, its owner does
    told = panel.about(index)["value"]
    assert told["error"]["type"] == "WorkerCrashedError" and "SIGKILL" in told["error"]["message"]
    assert [(row["attempt"], row["type"], row["pid"]) for row in told["tries"]] == tries
    gate2.open()
    ray.get(ref)

    def owner_is_gone():
        told = panel.about(index)["value"]
        return [(row["attempt"], row["pid"]) for row in told["tries"]] == [row[::2] for row in tries] and (
            told["tries"][1]["message"] == ""  # what it raised only its owner knew
        )

    kit.eventually(owner_is_gone, "the records tell how it went")
    told = panel.about(index)["value"]
    assert [row["type"] for row in told["tries"]] == ["WorkerCrashedError", "error"]
    assert "SIGKILL" in told["tries"][0]["message"] and "SIGKILL" in told["error"]["message"]


def test_a_failure_is_known_without_a_ref_and_its_arguments_are_made_again(ray, panel, gate):
    @ray.remote
    def load(n):
        return bytes(n)

    @ray.remote(max_retries=0)
    def check(data, path):
        import os

        if not os.path.exists(path):
            raise KeyError("gone")
        return len(data)

    ray.wait([check.remote(load.remote(100_000), str(gate.path))], num_returns=1)
    index = panel.index("check", FAILED)
    told = panel.about(index)["value"]
    assert told["error"]["type"] == "KeyError" and told["arguments"][0]["task"] == panel.index("load")
    gate.open()
    assert panel.about(index, "retry") == {"value": True}
    assert panel.index("check", DONE) == index


def test_why_it_waits_who_holds_its_argument_and_cancel(ray, panel, gate, ledger):
    @ray.remote(num_cpus=2)
    def held(data, number):
        ledger.add(number)  # its argument is in view
        gate.wait()

    panel.names["frame"] = ray.put(numpy.zeros(30_000))
    refs = panel.names["refs"] = [held.remote(panel.names["frame"], number) for number in range(2)]
    ledger.await_lines(1)
    panel.index("held", RUNS)
    last = panel.index("held")
    words = "it needs {CPU: 2}, and there is 0 of 2 CPU free, held by held (pid"
    kit.eventually(lambda: words in english(panel.about(last)["value"]["why"]), "the daemon knows of the second")
    told = panel.about(last)["value"]
    assert told["open"] and words in english(told["why"])
    assert told["waits"]["short"] == [{"needs": "2 CPUs", "free": "0", "total": "2"}]
    (holder,) = told["waits"]["holders"]
    assert holder["task"] == panel.index("held", RUNS) and holder["name"] == "held" and holder["pid"] > 0
    (argument,) = [row for row in told["holds"] if row["part"] == "argument"]
    assert argument["name"] == "frame" and argument["made"].startswith("test_panel_answers.py:")
    by = {holder["kind"]: holder for holder in argument["by"]}
    assert by["variable"]["names"] == ["frame"] and by["task"]["task"] is not None and by["view"]["task"] is not None
    assert by["view"]["peer"] in {
        row["peer"] for row in panel.ask("nodes")["value"]["workers"] if row["role"] == "worker"
    }
    (row,) = [row for row in panel.ask("objects")["value"]["objects"] if row["id"] == panel.names["frame"].hex()]
    assert row["names"] == ["frame"] and row["views"] == 1 and row["size"] > 200_000 and not row["no_free"]
    assert panel.about(last, "cancel") == {"value": True}
    assert panel.index("held", CANCELLED) == last
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(refs[1])
    gate.open()
    ray.get(refs[0])
    assert panel.ask("free", object=panel.names["frame"].hex()) in (
        {"value": ""},
        {"value": "others use it still: it goes when they let go of it"},
    )
    with pytest.raises(ray.exceptions.ObjectFreedError):
        ray.get(panel.names["frame"])
    panel.names.clear()


def test_actors_nodes_and_what_cannot_be_asked(ray, panel):
    @ray.remote(num_cpus=1)
    class Trainer:
        def train(self):
            return 1

    actor = Trainer.options(name=HOSTILE).remote()
    ray.get(actor.train.remote())
    rows = panel.ask("actors")["value"]["actors"]
    mine = [row for row in rows if row["name"] == HOSTILE]
    assert [(row["class"], row["state"], row["pending"]) for row in mine] == [("Trainer", "ALIVE", 0)]
    answer = panel.ask("nodes")["value"]
    assert answer["nodes"][0]["total"]["CPU"] == 2.0 and answer["nodes"][0]["free"]["CPU"] == 1.0
    assert [row["actor"] for row in answer["workers"] if row["pid"] == mine[0]["pid"]] == [HOSTILE]
    assert "moved on" in panel.about(10**9)["error"] and "moved on" in panel.ask("task", task="x")["error"]
    assert "does not know" in panel.ask(HOSTILE)["error"] and "no id" in panel.ask("free", object="zz")["error"]
