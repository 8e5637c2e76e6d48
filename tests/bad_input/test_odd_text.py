"""Texts that are no UTF-8: in folders, names and errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nbray.exceptions import ActorDiedError
from nbray.util import state

ROOT = str(Path(__file__).parents[2])
ODD = "odd\udcff"  # a byte that is no UTF-8, as Python sees it


class Odd:
    def __init__(self, raises):
        if raises:
            raise ValueError(ODD)

    def __repr__(self):
        return ODD

    def fail(self):
        raise ValueError(ODD)


def test_errors_and_representations(ray):
    with pytest.raises(ActorDiedError, match=ODD):
        ray.get(ray.remote(Odd).remote(True).fail.remote(), timeout=60)
    actor = ray.remote(Odd).remote(False)
    with pytest.raises(ValueError, match=ODD):
        ray.get(actor.fail.remote(), timeout=60)
    assert any(row.repr_name == "odd\\udcff" for row in state.list_actors(detail=True))
    assert any("odd\\udcff" in (row.error_message or "") for row in state.list_tasks(detail=True))


def test_a_name_is_refused_at_once(ray):
    with pytest.raises(ValueError, match="surrogates"):
        ray.remote(lambda: 1).options(name=ODD)


IN_AN_ODD_FOLDER = """
import os, sys
import nbray
here = os.getcwd()
assert here.endswith("odd\\udcff")
nbray.init(num_cpus=1, object_store_memory=64 * 2**20)
assert nbray.get(nbray.remote(os.getcwd).remote()) == here
nbray.shutdown()
try:
    nbray.init(num_cpus=1, _temp_dir=here)
except OSError as error:
    assert "is not UTF-8" in str(error), error
    print("refused")
"""


def test_the_working_directory_and_the_temporary_folder(tmp_path):
    folder = os.path.join(tmp_path, ODD)
    os.mkdir(folder)
    done = subprocess.run(
        [sys.executable, "-c", IN_AN_ODD_FOLDER], cwd=folder, capture_output=True, text=True, timeout=100,
        env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip
    assert done.stdout == "refused\n", done.stderr
