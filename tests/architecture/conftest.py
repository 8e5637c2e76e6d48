"""Runs pytest on a small file under the conftest of all tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys

import pytest

from .source_tree import ROOT


@pytest.fixture
def pytester_run(tmp_path):
    """A function that runs one test file; what it leaves is ended here."""

    def run(source: str, grace: float = 30.0) -> subprocess.CompletedProcess[str]:
        shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "conftest.py")
        text = (tmp_path / "conftest.py").read_text()
        (tmp_path / "conftest.py").write_text(text.replace("GRACE_S = 30.0", f"GRACE_S = {grace}"))
        (tmp_path / "test_small.py").write_text(source)
        (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  leaky(reason)\n")
        line = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)]
        with subprocess.Popen(
            line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        ) as process:
            try:
                output = []
                while not output or not output[-1].startswith("=") or " in " not in output[-1]:
                    output.append(process.stdout.readline())
                    assert output[-1], "".join(output)
                process.wait(30)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        return subprocess.CompletedProcess(line, process.returncode, "".join(output), "")

    return run
