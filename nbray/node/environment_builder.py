"""Make a virtual environment with packages over an interpreter's own: a process of its own.

What it prints is its log. It ends with 0 when the environment is complete. The environment sees
everything that this interpreter sees; what pip installs stands before that.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.metadata
import json
import os
import shutil
import signal
import site
import subprocess
import sys
import sysconfig
import venv
from typing import Any, NoReturn

from nbray.node.environment_folder import COMPLETE

PARENT = "_nbray_parent.pth"
PIP_OPTIONS = ["--disable-pip-version-check", "--no-input", "--retries", "2", "--timeout", "15"]
_PR_SET_PDEATHSIG = 1


def main() -> NoReturn:
    """Entry point: ``argv`` has the folder and what to install, as JSON."""
    daemon_pid = int(sys.argv[1])
    _die_with(daemon_pid)
    folder, wanted = sys.argv[2], json.loads(sys.argv[3])
    with open(f"{folder}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another node of this user may be at it
        if not os.path.exists(os.path.join(folder, COMPLETE)):
            shutil.rmtree(folder, ignore_errors=True)  # what a killed builder left
            try:
                build(folder, wanted)
            except subprocess.CalledProcessError as error:
                shutil.rmtree(folder, ignore_errors=True)
                print(f"{error.cmd[0]} ended with exit code {error.returncode}", flush=True)
                os._exit(1)
    os._exit(0)


def build(folder: str, wanted: dict[str, Any]) -> None:
    """Make the environment."""
    command = wanted["command"]
    if command:
        _run([*command, "-m", "venv", "--without-pip", folder])
    else:
        venv.create(folder, with_pip=False, symlinks=True)
    python = os.path.join(folder, "bin", "python")
    paths = _site_folders() if not command else _site_folders_of(command)
    own = sysconfig.get_path("purelib", vars={"base": folder})
    if command:
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        own = subprocess.check_output([python, "-c", code], text=True).strip()
    with open(os.path.join(own, PARENT), "w", encoding="utf-8") as file:
        for path in paths:
            file.write(f"import site; site.addsitedir({path!r})\n")
    pip = [sys.executable, "-m", "pip", "--python", python]
    if wanted["pip_version"] or command or not _has_pip():
        _run([python, "-m", "ensurepip", "--default-pip"])
        pip = [python, "-m", "pip"]
        if wanted["pip_version"]:
            _run([*pip, "install", *PIP_OPTIONS, f"pip{wanted['pip_version']}"])
    _run([*pip, "install", *PIP_OPTIONS, *wanted["options"], *wanted["packages"]])
    if wanted["check"]:
        _run([*pip, "check"])
    with open(os.path.join(folder, COMPLETE), "w", encoding="utf-8") as file:
        json.dump(wanted, file)


def _run(command: list[str]) -> None:
    print("$", *command, flush=True)
    own_pid = os.getpid()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, preexec_fn=lambda: _die_with(own_pid))


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _has_pip() -> bool:
    try:
        version = importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError:
        return False
    return tuple(int(part) for part in version.split(".")[:2]) >= (22, 3)  # the first with --python


def _site_folders() -> list[str]:
    """Return where this interpreter looks for packages, besides the standard library."""
    standard = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    known = {*site.getsitepackages(), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    paths = [path for path in sys.path if os.path.isdir(path) and not any(path.startswith(str(s)) for s in standard)]
    return list(dict.fromkeys([*paths, *(path for path in sorted(known) if path and os.path.isdir(path))]))


def _site_folders_of(command: list[str]) -> list[str]:
    code = "import json, site, sysconfig; print(json.dumps([*site.getsitepackages(), sysconfig.get_path('purelib')]))"
    return list(dict.fromkeys(json.loads(subprocess.check_output([*command, "-c", code], text=True))))
