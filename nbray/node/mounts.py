"""On what kind of file system a folder lies."""

from __future__ import annotations

import os
import re

TABLE = "/proc/self/mounts"
_MEMORY = {"tmpfs", "ramfs"}
_NETWORK = {"nfs", "nfs4", "cifs", "smbfs", "smb3", "9p", "fuse.sshfs", "lustre", "gpfs", "ceph", "beegfs", "afs"}


def file_system(path: str) -> str:
    """Return the kind of a folder's file system, as the kernel names it; empty when that cannot be found out."""
    return _mount(path)[0]


def _mount(path: str) -> tuple[str, str]:
    """Return the kind and the options of what is mounted where a folder lies."""
    path = os.path.realpath(path)
    best, kind, options = "", "", ""
    try:
        with open(TABLE, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                _, where, its_kind, its_options = line.split(" ")[:4]
                where = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), where).rstrip("/")
                if (path == where or path.startswith(where + "/")) and len(where) >= len(best):
                    best, kind, options = where, its_kind, its_options
    except (OSError, ValueError):
        return "", ""
    return kind, options


def is_in_memory(path: str) -> bool:
    """Tell whether a folder lies in a file system that is made of memory."""
    return file_system(path) in _MEMORY


def is_on_network(path: str) -> bool:
    """Tell whether a folder lies on another machine, where sockets and locks cannot be relied on."""
    kind, options = _mount(path)
    if kind == "9p" and "trans=fd" in options.split(",") and "drvfs" not in options:
        return False  # how gVisor mounts what is its own
    return kind in _NETWORK
