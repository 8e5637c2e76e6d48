"""nbray's side of the Jupyter server: what a page can ask when it has no kernel to ask.

The panel itself talks to the kernel of the notebook in front, over a comm; nothing of that goes
through here. The built panel lies in `labextension/` beside this file, which is not in git.
"""

from __future__ import annotations

from typing import Any

from nbray_ext.app import load

__all__ = ["_jupyter_labextension_paths", "_jupyter_server_extension_points", "_load_jupyter_server_extension"]

_load_jupyter_server_extension = load


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell the Jupyter server which module is the extension."""
    return [{"module": "nbray_ext"}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Tell `jupyter-builder develop` where the built panel is."""
    return [{"src": "labextension", "dest": "nbray-labextension"}]
