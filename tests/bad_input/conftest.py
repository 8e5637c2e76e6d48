"""What nbray says to mistakes. The rows are those of the table of bad input; every test ends with a working cluster."""

import os
import subprocess
import sys
import textwrap

import pytest

import nbray

CLUSTER = {"num_cpus": 2, "num_gpus": 1, "resources": {"widget": 2, "gadget": 1}, "object_store_memory": 64 * 2**20}
TIME_LIMIT_S = 150


@pytest.fixture(scope="module")
def cluster():
    """One small cluster for the tests of a file that need not start their own."""
    nbray.shutdown()
    nbray.init(**CLUSTER)
    yield nbray
    nbray.shutdown()


@pytest.fixture
def ray(cluster):
    """The cluster, which must still work when the test is over."""

    @cluster.remote
    def add(a, b):
        return a + b

    yield cluster
    assert cluster.get([add.remote(i, cluster.put(1)) for i in range(4)], timeout=60) == [1, 2, 3, 4]


@pytest.fixture
def run_script(tmp_path):
    """Run a program in a fresh interpreter, with `ray` imported in it; returns the completed process."""

    def run(text, check=True, env=None, before=""):
        path = tmp_path / "program.py"
        path.write_text("import nbray as ray\n" + before + textwrap.dedent(text))
        done = subprocess.run(
            [sys.executable, str(path)],
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_S,
            cwd=tmp_path,
            env={**os.environ, **(env or {})},
        )
        if check:
            assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run
