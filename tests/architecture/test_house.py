"""The house: one version everywhere, lock files that name no host, skips that are counted."""

from __future__ import annotations

import importlib.util
import json
import re

from .source_tree import ROOT


def project_version() -> str:
    match = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert match
    return match.group(1)


def test_the_version_is_the_same_everywhere():
    package = json.loads((ROOT / "labextension" / "package.json").read_text())
    assert package["version"] == project_version()
    assert f"[{project_version()}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_lock_file_names_no_host():
    text = (ROOT / "labextension" / "yarn.lock").read_text()
    assert not re.search(r"https?://", text)
    assert not re.search(r"^\s+resolved ", text, re.MULTILINE)


def test_the_kernelspec_is_found_by_any_interpreter():
    spec = json.loads((ROOT / "nbray_ext" / "data" / "kernel" / "kernel.json").read_text())
    assert spec["argv"][0] == "python"  # jupyter_client puts the right interpreter in its place
    assert spec["argv"][-2:] == ["--ext", "nbray"]


def test_the_library_stays_small():
    """What the wheel brings of it, without the byte code that pip makes of that."""
    files = [path for folder in ("nbray", "nbray_ext") for path in (ROOT / folder).rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files if path.suffix != ".pyc")
    assert size < 5_000_000


def test_both_ends_of_the_feed_agree():
    panel_comm = (ROOT / "nbray" / "notebook" / "panel_comm.py").read_text()
    feed = (ROOT / "labextension" / "src" / "model" / "feed.ts").read_text()
    for python_name, ts_name in (
        ("PANEL_TARGET", "PANEL_TARGET"),
        ("HELLO_TARGET", "HELLO_TARGET"),
        ("VERSION", "PROTOCOL_VERSION"),
    ):
        here = re.search(rf"^{python_name} = (.+)$", panel_comm, re.MULTILINE)
        there = re.search(rf"^export const {ts_name} = (.+);$", feed, re.MULTILINE)
        assert here and there
        assert here.group(1).strip("\"'") == there.group(1).strip("\"'")


def test_every_test_is_in_one_group():
    spec = importlib.util.spec_from_file_location("side_by_side", ROOT / "tests" / "side_by_side.py")
    assert spec and spec.loader
    side_by_side = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(side_by_side)
    listed = [word for _, command in side_by_side.commands(["-x"]) for word in command if word.startswith("tests/")]
    folders = {str(path.parent.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")}
    missing = {folder for folder in folders if not any(f"{folder}/".startswith(f"{name}/") for name in listed)}
    assert len(listed) == len(set(listed))
    assert {folder.split("/")[1] for folder in missing} == side_by_side.NOT_HERE - {"benchmarks"}


def test_a_skip_without_an_accepted_reason_fails_the_run(pytester_run):
    done = pytester_run("import pytest\ndef test_it(): pytest.skip('no time')\n")
    assert done.returncode == 1
    assert "skips that nobody expects" in done.stdout
    assert done.stdout.strip().splitlines()[-1].startswith("=")


def test_a_leak_fails_the_file_that_leaks(pytester_run):
    done = pytester_run("import subprocess\ndef test_it(): subprocess.Popen(['sleep', '30'])\n", grace=0.3)
    assert done.returncode == 1
    assert "left behind by this file" in done.stdout
    assert "sleep 30" in done.stdout
