"""Makes the pictures of the panel in the README, from a real JupyterLab with the installed nbray.

Run by `make picture`. Writes panel-light.png and panel-dark.png beside this file.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "browser"))

from lab import LabPage, LabServer, browser_tab

HERE = Path(__file__).resolve().parent
LIMIT_BYTES = 200_000

SEARCH = """\
import nbray
import numpy as np

@nbray.remote
def prepare(seed):
    return np.random.default_rng(seed).normal(size=(5_000, 100))

@nbray.remote
def score(block, seed):
    weights = np.random.default_rng(seed).normal(size=block.shape[1])
    return float(sum(np.linalg.norm(block @ weights) for _ in range(60)))

blocks = [prepare.remote(seed) for seed in range(8)]
scores = [score.remote(blocks[seed % 8], seed) for seed in range(400)]"""

REMOTE = """\
%%remote
best = max(nbray.get(scores))
print(f"the best of {len(scores)}: {best:,.0f}")"""


def take(tab: LabPage, theme: str, target: Path) -> None:
    """Run the notebook and take its picture in the middle of the work."""
    tab.open()
    tab.set_theme(theme)
    tab.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    notebook = {"cells": [], "metadata": {"kernelspec": {"name": "nbray"}}, "nbformat": 4, "nbformat_minor": 5}
    (tab.server.folder / "work" / "scores.ipynb").write_text(json.dumps(notebook))
    tab.run_command("docmanager:open", path="scores.ipynb")
    tab.wait_idle()
    tab.show_panel()
    tab.set_panel_width(640)
    tab.run_cell(SEARCH)
    tab.start_cell(REMOTE)
    tab.wait_for_count("FINISHED", 120)
    tab.group("score, 400 tasks").focus()
    tab.page.keyboard.press("Enter")
    tab.panel.get_by_role("button", name="Close details").click()
    tab.wait_for_count("FINISHED", 200)
    tab.page.mouse.move(5, 700)
    tab.page.screenshot(path=str(target))
    size = target.stat().st_size
    if size > LIMIT_BYTES:
        raise SystemExit(f"{target.name} has {size} bytes, more than {LIMIT_BYTES}")
    print(f"{target.relative_to(ROOT)}: {size} bytes")
    tab.shut_down_kernels()


def main() -> None:
    """Make both pictures."""
    with tempfile.TemporaryDirectory() as folder:
        server = LabServer(Path(folder))
        try:
            for theme, name in (("JupyterLab Light", "panel-light.png"), ("JupyterLab Dark", "panel-dark.png")):
                with browser_tab(server, width=1280, height=640) as tab:
                    take(tab, theme, HERE / name)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
