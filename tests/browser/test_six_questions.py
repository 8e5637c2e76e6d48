"""A person who sees the panel for the first time finds six answers, each by one click; hostile names make no element."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from .lab import LabServer

GIB = 1 << 30
HOSTILE = "<img src=x onerror=window.hostile=1>"

SETUP = """\
import os, time
import numpy as np
import nbray
nbray.init(num_cpus=2, num_gpus=1)
frame = nbray.put(np.ones(300_000))
1"""

WORK = """\
@nbray.remote(num_gpus=1)
def train(data, gpus):
    print("training")
    with open(gpus, "a") as file:
        file.write(f"process 0 {os.getpid()} 1073741824\\n")
    while not os.path.exists("go-on"):
        time.sleep(0.01)

@nbray.remote(max_retries=0)
def clean(text):
    raise ValueError("empty file" + text)

@nbray.remote
class Counter:
    def count(self):
        return 1

counter = Counter.options(name=os.environ["HOSTILE"]).remote()
nbray.get(counter.count.remote())
bad = clean.remote(os.environ["HOSTILE"])
named = clean.options(name=os.environ["HOSTILE"]).remote("")
nbray.wait([bad, named], num_returns=2)
refs = [train.remote(frame, os.environ["NBRAY_FAKE_NVML"]) for _ in range(2)]
2"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A JupyterLab on a machine that seems to have a GPU."""
    folder = tmp_path_factory.mktemp("gpu-lab")
    source = Path(__file__).parents[1] / "gpu" / "fake_nvml.c"
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run([*compiler, "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", source], check=True)
    gpus = folder / "gpus"
    gpus.write_text(f"gpu One {2 * GIB} {80 * GIB} 37\n")
    server = LabServer(folder, LD_LIBRARY_PATH=str(folder), NBRAY_FAKE_NVML=str(gpus), HOSTILE=HOSTILE)
    yield server
    server.stop()


def test_six_questions(lab, server):
    lab.new_notebook()
    lab.show_panel("main")
    assert lab.run_cell(SETUP) == "1"
    assert "2" in lab.run_cell(WORK)  # what train prints may stand beside it
    panel = lab.panel

    # What is running now? The counts say it; one click on the group names the task.
    panel.get_by_label("1 running", exact=True).wait_for()
    lab.group("train, 2 tasks, 1 running, 1 waiting for a place").focus()
    lab.page.keyboard.press("Enter")
    details = panel.get_by_role("complementary", name="train", exact=True)
    details.get_by_role("region", name="Running").get_by_role("button", name="train[0]").wait_for()

    # What is it waiting for? One click, a sentence.
    details.get_by_role("region", name="Waiting").get_by_role("button", name="train[1]").click()
    waiting = panel.get_by_role("complementary", name="train[1]")
    waiting.get_by_role("region", name="Why").get_by_text(
        re.compile(r"^Needs 1 GPU; 0 of 1 free; held by train\[0\] from cell 2 for ([\d.]+ m?s|\d+ min \d+ s)\.$")
    ).wait_for()
    for heading in ("Why", "History", "Arguments", "Results", "Log", "Who holds", "Lineage"):
        waiting.get_by_role("heading", name=heading, exact=True).wait_for()
    assert waiting.get_by_role("button", name="Retry: it is not over yet").is_disabled()

    # Who holds the memory?
    waiting.get_by_text("notebook: variable").first.wait_for()
    lab.show_tab("Objects")
    objects = panel.get_by_role("grid", name="Objects")
    objects.get_by_role("row", name="frame").click()
    held = panel.get_by_role("complementary", name="frame")
    held.get_by_text("a view of its memory in").wait_for()
    # Which cell made it? It is a link.
    held.get_by_role("button", name="cell 1, line 5").wait_for()

    # Who used the GPU?
    lab.show_tab("Timeline")
    panel.get_by_role("treeitem", name="used by train").wait_for(state="attached")

    # What failed, and why?
    lab.show_tab("Graph")
    # Before: the calls of an actor are a lane, and a large value stands in the graph.
    lab.group("Counter.count, 1 task, 1 done").focus()
    lab.page.keyboard.press("ArrowRight")
    lab.group("1 call, 1 done")
    panel.get_by_role("button", name="Objects", exact=True).click()
    lab.group("frame, object of 2.4 MB, cell 1, taken by train").focus()
    lab.page.keyboard.press("Enter")
    panel.get_by_role("complementary", name="frame").get_by_text("a view of its memory in").wait_for()
    lab.show_tab("Graph")
    lab.group("clean, 1 task, 1 failed").focus()
    lab.page.keyboard.press("Enter")
    panel.get_by_role("complementary", name="clean", exact=True).get_by_role("button", name="clean[0]").click()
    failed = panel.get_by_role("complementary", name="clean[0]")
    failed.get_by_role("region", name="Why").get_by_text("ValueError: empty file").wait_for()
    failed.locator("pre").filter(has_text="ValueError: empty file<img").first.wait_for()
    # Which cell made this task? One click shows it.
    failed.get_by_role("button", name="cell 2", exact=True).click()
    assert lab.page.evaluate("() => window.jupyterapp.shell.currentWidget !== null")

    # A task is cancelled, and the log of another is read while it runs.
    lab.group("train, 2 tasks").focus()
    lab.page.keyboard.press("Enter")
    panel.get_by_role("complementary", name="train", exact=True).get_by_role("button", name="train[1]").click()
    panel.get_by_role("complementary", name="train[1]").get_by_role("button", name="Cancel").click()
    lab.group("train, 2 tasks, 1 cancelled, 1 running")
    lab.show_tab("Tasks")
    panel.get_by_role("grid", name="Tasks").get_by_text("train[0]").click()
    log = panel.get_by_role("complementary", name="train[0]").get_by_label("Log", exact=True)
    log.and_(lab.page.locator(":text('training')")).wait_for()

    # Actors and workers; names that look like elements are text.
    lab.show_tab("Actors")
    panel.get_by_role("grid", name="Actors").get_by_role("row", name="Counter").click()
    panel.get_by_role("complementary", name="Counter").get_by_role("button", name="Counter.count[0]").wait_for()
    lab.show_tab("Nodes")
    panel.get_by_role("grid", name="Workers").get_by_text("train[0]").wait_for()
    (server.folder / "work" / "go-on").touch()
    assert lab.page.evaluate("() => window.hostile === undefined")
    assert panel.locator("img").count() == 0
