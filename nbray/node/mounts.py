"""On what kind of file system a folder lies."""

from __future__ import annotations

import os
import re

TABLE = "/proc/self/mounts"
_MEMORY = {"tmpfs", "ramfs"}
_NETWORK = {"nfs", "nfs4", "cifs", "smbfs", "smb3", "9p", "fuse.sshfs", "lustre", "gpfs", "ceph", "beegfs", "afs"}


def file_system(path: str) -> str:
    """Return the kind of a folder's file system, as the kernel names it; empty when that cannot be found out."""
    path = os.path.realpath(path)
    best, kind = "", ""
    try:
        with open(TABLE, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                _, where, this_kind = line.split(" ")[:3]
                where = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), where).rstrip("/")
                if (path == where or path.startswith(where + "/")) and len(where) >= len(best):
                    best, kind = where, this_kind
    except (OSError, ValueError):
        return ""
    return kind


def is_in_memory(path: str) -> bool:
    """Tell whether a folder lies in a file system that is made of memory."""
    return file_system(path) in _MEMORY


def is_on_network(path: str) -> bool:
    """Tell whether a folder lies on another machine, where sockets and locks cannot be relied on."""
    return file_system(path) in _NETWORK
