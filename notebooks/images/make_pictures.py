"""Makes the pictures in the README, from a real JupyterLab with the installed nbray.

Run by `make picture`. Writes panel-light.png, panel-dark.png, cells-light.png, cells-dark.png and panel-run.gif beside
this file; with `panel`, `cells` or `film` as an argument only those.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "browser"))

from lab import LabPage, LabServer, browser_tab

HERE = Path(__file__).resolve().parent
LIMIT_BYTES = 200_000

FILM_LIMIT_BYTES = 1_500_000
FILM_S = 14.0
FRAME_S = 0.35  # between two pictures of the film
FILM_COLOURS = 64

SEARCH = """\
import nbray
import numpy as np

@nbray.remote
def prepare(seed):
    return np.random.default_rng(seed).normal(size=(5_000, 100))

@nbray.remote
def score(block, seed):
    weights = np.random.default_rng(seed).normal(size=block.shape[1])
    return float(sum(np.linalg.norm(block @ weights) for _ in range(100)))

blocks = [prepare.remote(seed) for seed in range(8)]
scores = [score.remote(blocks[seed % 8], seed) for seed in range(400)]"""

REMOTE = """\
%%remote
best = max(nbray.get(scores))
print(f"the best of {len(scores)}: {best:,.0f}")"""


PIPELINE = """\
import nbray, time
import numpy as np

@nbray.remote
def load(day):
    return np.random.default_rng(day).normal(size=(40_000, 10))

@nbray.remote
def clean(table, day):
    if day == 31:
        raise ValueError(f"empty file: day-{day}.csv")
    time.sleep(0.05)
    return table - table.mean(axis=0)

@nbray.remote
def weights(*tables):
    return np.linalg.svd(np.vstack(tables), full_matrices=False)[2][0]

tables = [clean.remote(load.remote(day), day) for day in range(32)]
first = weights.remote(*tables[:24])
nbray.wait(tables, num_returns=32)
dashboard = nbray.dashboard()"""

EACH = """\
%%remote --each batch=range(120)
part = np.random.default_rng(batch).normal(size=(20_000, 10))
time.sleep(0.25)
spread = float((part @ first).std())
if batch % 40 == 0:
    print(f"batch {batch}: {spread:.3f}")"""


def take_cells(tab: LabPage, theme: str, target: Path) -> None:
    """Take a picture of a dashboard and of a cell that runs."""
    tab.open()
    tab.set_theme(theme)
    tab.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    notebook = {"cells": [], "metadata": {"kernelspec": {"name": "nbray"}}, "nbformat": 4, "nbformat_minor": 5}
    (tab.server.folder / "work" / "batches.ipynb").write_text(json.dumps(notebook))
    tab.run_command("docmanager:open", path="batches.ipynb")
    tab.wait_idle()
    tab.run_cell(PIPELINE)
    tab.start_cell(EACH)
    tab.page.get_by_text("batch 40").wait_for()
    tab.page.wait_for_function("() => /[5-9]\\d of 120 items/.test(document.body.innerText)")
    tab.page.evaluate(
        "() => document.querySelectorAll('.jp-Notebook .jp-Cell')[0].querySelector('.jp-OutputArea').scrollIntoView()"
    )
    tab.page.wait_for_timeout(300)  # the scroll bar fades
    tab.page.screenshot(path=str(target))
    keep(target)
    tab.shut_down_kernels()


def keep(target: Path) -> None:
    """Refuse a picture that is too large for the repository."""
    size = target.stat().st_size
    if size > LIMIT_BYTES:
        raise SystemExit(f"{target.name} has {size} bytes, more than {LIMIT_BYTES}")
    print(f"{target.relative_to(ROOT)}: {size} bytes")


def open_notebook(tab: LabPage) -> None:
    """An empty notebook with the panel beside it."""
    tab.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    notebook = {"cells": [], "metadata": {"kernelspec": {"name": "nbray"}}, "nbformat": 4, "nbformat_minor": 5}
    (tab.server.folder / "work" / "scores.ipynb").write_text(json.dumps(notebook))
    tab.run_command("docmanager:open", path="scores.ipynb")
    tab.wait_idle()
    tab.show_panel()


def take(tab: LabPage, theme: str, target: Path) -> None:
    """Run the notebook and take its picture in the middle of the work."""
    tab.open()
    tab.set_theme(theme)
    open_notebook(tab)
    tab.set_panel_width(640)
    tab.run_cell(SEARCH)
    tab.start_cell(REMOTE)
    tab.wait_for_count("FINISHED", 40)
    tab.group("score, 400 tasks").focus()
    tab.page.keyboard.press("Enter")
    tab.panel.get_by_role("button", name="Close details").click()
    tab.wait_for_count("FINISHED", 120)
    tab.page.mouse.move(5, 700)
    tab.page.screenshot(path=str(target))
    keep(target)
    tab.shut_down_kernels()


def film(tab: LabPage, target: Path) -> None:
    """Run the notebook and film it: the counts move, a card opens, the badge at the cell goes along, the timeline grows."""
    tab.open()
    open_notebook(tab)
    tab.set_theme("JupyterLab Light")
    tab.set_panel_width(560)
    tab.page.mouse.move(5, 500)
    tab.run_cell("import nbray\nnbray.init()")
    tab.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets[0].model.outputs.clear()")
    tab.start_cell(SEARCH.replace("range(100)", "range(250)"))  # there is something to look at for a while
    tab.group("score")
    pictures, start, opened, lanes = [], time.monotonic(), False, False
    while time.monotonic() - start < FILM_S and (not pictures or tab.count("FINISHED") < 408):
        due = start + (len(pictures) + 1) * FRAME_S
        pictures.append(Image.open(io.BytesIO(tab.page.screenshot())).convert("RGB"))
        card = tab.panel.get_by_role("treeitem", name="score")
        if not opened and len(pictures) > 4 and card.count():
            card.first.focus()
            tab.page.keyboard.press("Enter")
            tab.panel.get_by_role("button", name="Close details").click()
            opened = True
        if opened and not lanes and tab.count("FINISHED") > 240:
            tab.show_tab("Timeline")
            lanes = True
        time.sleep(max(0.0, due - time.monotonic()))
    took = time.monotonic() - start
    pictures += pictures[-1:] * int(2 / FRAME_S)  # time to look at how it ended
    # The colours of the beginning, the middle and the end: each has some of its own.
    some = [pictures[len(pictures) * part // 4] for part in (1, 2, 3)] + pictures[-1:]
    strip = Image.new("RGB", (some[0].width, some[0].height * len(some)))
    for n, picture in enumerate(some):
        strip.paste(picture, (0, n * picture.height))
    colours = strip.quantize(FILM_COLOURS)
    frames = [picture.quantize(palette=colours, dither=Image.Dither.NONE) for picture in pictures]
    milliseconds = int(1000 * (took + 2) / len(frames))
    frames[0].save(target, save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, optimize=True)
    size = target.stat().st_size
    if size > FILM_LIMIT_BYTES:
        raise SystemExit(f"{target.name} has {size} bytes, more than {FILM_LIMIT_BYTES}")
    print(f"{target.relative_to(ROOT)}: {size} bytes, {len(frames)} pictures")
    tab.shut_down_kernels()


def main() -> None:
    """Make the pictures."""
    wanted = sys.argv[1:] or ["panel", "cells", "film"]
    with tempfile.TemporaryDirectory() as folder:
        server = LabServer(Path(folder))
        try:
            for theme in ("light", "dark"):
                title = f"JupyterLab {theme.title()}"
                if "panel" in wanted:
                    with browser_tab(server, width=1280, height=640) as tab:
                        take(tab, title, HERE / f"panel-{theme}.png")
                if "cells" in wanted:
                    with browser_tab(server, width=1000, height=660) as tab:
                        take_cells(tab, title, HERE / f"cells-{theme}.png")
            if "film" in wanted:
                with browser_tab(server, width=1100, height=560) as tab:
                    film(tab, HERE / "panel-run.gif")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
