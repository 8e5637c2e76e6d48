"""Find the interpreter that has Ray, or make a virtual environment with it."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

RAY = "ray==2.60.0"
# For the benchmarks, and for the conformance tests on the original.
TOOLS = ["numpy", "pytest", "dask[array,dataframe]", "joblib"]
PYTHON_VARIABLE = "NBRAY_BENCH_RAY_PYTHON"


def ray_python(root: Path) -> str:
    """The interpreter that the environment names, or that of `root/.venv-ray`, made when it is missing."""
    given = os.environ.get(PYTHON_VARIABLE)
    if given:
        return given
    folder = root / ".venv-ray"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"Making {folder.name} with {RAY} (set {PYTHON_VARIABLE} to use another) ...", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", RAY, *TOOLS], check=True)
        (folder / "complete").touch()
    return str(python)


if __name__ == "__main__":
    print(ray_python(Path(__file__).resolve().parents[2]))
