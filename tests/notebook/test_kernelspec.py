"""The kernel "nbray (Python 3)": the magics, the name ``nbray``, and all that Jupyter expects of a kernel."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jupyter_kernel_test
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from kit import ROOT, Kernel


def spec_folder(folder: Path) -> Path:
    """Return a folder of kernelspecs with that of this checkout in it."""
    shutil.copytree(ROOT / "nbray_ext" / "data" / "kernel", folder / "kernels" / "nbray")
    return folder / "kernels"


@pytest.fixture
def of_spec(tmp_path: Path) -> Iterator[Kernel]:
    specs = KernelSpecManager(kernel_dirs=[str(spec_folder(tmp_path))])
    kernel = Kernel(tmp_path, load=False, kernel_name="nbray", kernel_spec_manager=specs)
    try:
        yield kernel
    finally:
        kernel.close()


@pytest.mark.slow
def test_it_has_the_name_and_a_node_that_is_there_before_its_first_use(of_spec: Kernel) -> None:
    assert of_spec.ok("nbray.__name__, nbray.is_initialized()").value == "('nbray', False)"
    of_spec.ok("import time\nfrom nbray.api import runtime\nwhile not (node := runtime._ahead._node): time.sleep(0.01)")
    assert of_spec.ok("import os; os.environ.get('NBRAY_KERNEL')").value is None
    assert of_spec.ok("%%remote\nnbray.__name__").value == "'nbray'"
    assert of_spec.ok("runtime._node is node").value == "True"


@pytest.mark.slow
class TestAsAnyKernel(jupyter_kernel_test.KernelTests):
    """What Jupyter expects of a kernel."""

    kernel_name = "nbray"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = ({"text": "zi", "matches": {"zip"}}, {"text": "%%remo", "matches": {"%%remote"}})
    complete_code_samples = ("1",)
    incomplete_code_samples = ("def f(x):",)
    invalid_code_samples = ("import = 7q",)
    code_page_something = "zip?"
    code_generate_error = "raise"
    code_execute_result = ({"code": "1+2+3", "result": "6"}, {"code": "%%remote\n6 * 7", "result": "42"})
    code_display_data = (
        {"code": "from IPython.display import HTML, display; display(HTML('<b>1</b>'))", "mime": "text/html"},
        {"code": "%%remote\nfrom IPython.display import HTML, display\ndisplay(HTML('<b>1</b>'))", "mime": "text/html"},
    )
    supported_history_operations = ("tail", "search")  # those of ipykernel
    code_history_pattern = "1?2*"
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"

    @classmethod
    def setUpClass(cls) -> None:
        cls.before = {name: os.environ.get(name) for name in ("JUPYTER_PATH", "PYTHONPATH", "IPYTHONDIR")}
        cls.folder = Path(tempfile.mkdtemp(prefix="nbk"))
        spec_folder(cls.folder)
        os.environ["JUPYTER_PATH"] = str(cls.folder)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), cls.before["PYTHONPATH"]]))
        os.environ["IPYTHONDIR"] = str(cls.folder / "ipython")
        super().setUpClass()

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        shutil.rmtree(cls.folder)
        for name, value in cls.before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
