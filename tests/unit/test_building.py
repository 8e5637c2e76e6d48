"""What a machine lacks for the build of the C core is told in words, before the compiler speaks."""

import importlib.util
import sys
import sysconfig
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "csrc" / "ffi_build.py"


@pytest.fixture
def ffi_build():
    spec = importlib.util.spec_from_file_location("nbray_ffi_build", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refusal(ffi_build, tmp_path) -> str:
    with pytest.raises(RuntimeError) as caught:
        ffi_build.build(tmp_path)
    assert list(tmp_path.iterdir()) == []
    return str(caught.value)


def test_this_machine_lacks_nothing(ffi_build):
    assert ffi_build.what_is_missing() is None


def test_another_system_is_named(ffi_build, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "Linux" in refusal(ffi_build, tmp_path)


def test_a_free_threaded_python_is_refused(ffi_build, tmp_path, monkeypatch):
    real = sysconfig.get_config_var
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: 1 if name == "Py_GIL_DISABLED" else real(name))
    text = refusal(ffi_build, tmp_path)
    assert "free-threaded" in text
    assert sys.executable in text


def test_a_missing_compiler_is_named_with_what_installs_one(ffi_build, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler -O1")
    text = refusal(ffi_build, tmp_path)
    assert "'no-such-compiler'" in text
    assert "apt install gcc" in text


def test_missing_headers_of_python_are_named_with_what_installs_them(ffi_build, tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_path", lambda name, *rest: str(tmp_path))
    text = refusal(ffi_build, tmp_path)
    assert "Python.h" in text
    assert "python3-dev" in text
