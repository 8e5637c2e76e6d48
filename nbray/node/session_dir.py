"""The folder of one session: its sockets, its logs, and who owns it.

``<base>/nbray-<uid>/session_<date>_<pid>_<random>``, all 0700; ``session_layout`` says what lies where in it.
``owner.json`` names the daemon by pid and start time; a folder whose daemon is dead is removed by the next start.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from typing import Any

from nbray.node import mounts
from nbray.node.process_control import is_alive, start_time
from nbray.session_layout import CONTROL_SOCKET, LOGS, OWNER_FILE, RUN, SEGMENT_SOCKET, SPILL_DIR, SPILLED, STARTING

MAX_SOCKET_PATH = 107  # bytes, of sockaddr_un
_YOUNG_S = 60.0  # a folder may be in the making for this long
_LONGEST_BASE = 40  # so that a socket's path fits
_UNFINISHED = "."  # before the name of a folder in which that file is not yet
_RAYS_SPILLING = ("RAY_object_spilling_directory", "RAY_object_spilling_config")
AHEAD = "ahead"  # in it as ``started_by``: for a driver that is still to come, and for nobody else


class SessionError(OSError):
    """The session folder cannot be made safely."""


def base_dir() -> str:
    """Return where sessions of this user live: RAY_TMPDIR, else XDG_RUNTIME_DIR if it can be used, else a temporary folder.

    What lies on a network is used only where nothing else can be.
    """
    asked = os.environ.get("RAY_TMPDIR", "")
    if asked:  # made where it is missing, as in Ray
        path = os.path.abspath(asked)
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            raise SessionError(f"RAY_TMPDIR={asked!r} cannot be used: {error.strerror}") from error
        return path
    usable = _usable_folders()
    for path in usable:
        if not mounts.is_on_network(path):
            return path
    if usable:
        return usable[0]
    raise SessionError("no temporary folder can be written to; set TMPDIR to one")


def moved() -> str:
    """Say that sessions do not live where they would but for the network; empty when they do."""
    first, base = next(iter(_usable_folders()), ""), base_dir()
    if not first or os.environ.get("RAY_TMPDIR") or not mounts.is_on_network(first):
        return ""
    what = (
        f"{first} lies on a network file system ({mounts.file_system(first)}), where sockets and locks are not reliable"
    )
    if base == first:
        return f"{what}, and no other folder can be used for the cluster's sockets and logs: set TMPDIR to a local one."
    return f"{what}: the cluster's sockets and logs are in {base}."


def _usable_folders() -> list[str]:
    candidates = [os.environ.get(name, "") for name in ("XDG_RUNTIME_DIR", "TMPDIR", "TEMP", "TMP")]
    return [path for path in [*candidates, "/tmp", "/var/tmp"] if _can_hold_sessions(path)]


def _can_hold_sessions(path: str) -> bool:
    fits = bool(path) and os.path.isabs(path) and len(os.fsencode(path)) <= _LONGEST_BASE and _is_text(path)
    return fits and os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def user_dir(base: str) -> str:
    """Make and check ``<base>/nbray-<uid>``; refuse a link or somebody else's folder."""
    path = os.path.join(base, f"nbray-{os.geteuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    info = os.lstat(path)
    if not stat.S_ISDIR(info.st_mode):
        raise SessionError(f"{path} is a link or a file, not a folder; remove it, or set TMPDIR to another place")
    if info.st_uid != os.geteuid():
        raise SessionError(f"{path} belongs to uid {info.st_uid}, not to you; set TMPDIR to another place")
    if stat.S_IMODE(info.st_mode) & 0o077:
        os.chmod(path, 0o700)
    return path


def create(base: str = "") -> str:
    """Make a new session folder and return its path."""
    if not _is_text(base or base_dir()):
        raise SessionError(
            f"{base or base_dir()!r} is not UTF-8, which the sockets' addresses are; set TMPDIR to another folder"
        )
    parent = user_dir(base or base_dir())
    date = time.strftime("%Y%m%d-%H%M%S")
    path = os.path.join(parent, f"session_{date}_{os.getpid()}_{os.urandom(3).hex()}")
    if len(os.fsencode(os.path.join(path, CONTROL_SOCKET))) > MAX_SOCKET_PATH:
        raise SessionError(f"{path} is too long for a socket ({MAX_SOCKET_PATH} bytes); set TMPDIR to a shorter one")
    fresh = os.path.join(parent, _UNFINISHED + os.path.basename(path))
    os.mkdir(fresh, 0o700)
    os.mkdir(os.path.join(fresh, LOGS), 0o700)
    os.mkdir(os.path.join(fresh, RUN), 0o700)
    os.close(os.open(os.path.join(fresh, STARTING), os.O_WRONLY | os.O_CREAT, 0o600))
    os.rename(fresh, path)  # whole: another start removes a session that nobody makes and nobody owns
    return path


def own(path: str, **facts: object) -> None:
    """Note that this process is the daemon of the session, which thereby is no longer in the making.

    ``facts`` go along, for those who look for a cluster to join.
    """
    owner = {"pid": os.getpid(), "start_time": start_time(os.getpid()), "started_at": time.time(), **facts}
    fresh = os.path.join(path, OWNER_FILE + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        json.dump(owner, file)
    os.rename(fresh, os.path.join(path, OWNER_FILE))  # whole or not at all: others read it at any time
    with contextlib.suppress(FileNotFoundError):  # it says it again
        os.unlink(os.path.join(path, STARTING))


def folder(name: str, value: Any) -> str:
    """Return the path of a folder, made if need be; raises ValueError unless it is absolute."""
    path = os.fspath(value)
    if not os.path.isabs(path):
        raise ValueError(f"{name}={path!r} must be an absolute path.")
    if not os.path.isdir(path):
        os.makedirs(path, mode=0o700, exist_ok=True)
    return path


def spilling_folder(text: Any) -> str:
    """Return the folder of Ray's ``object_spilling_config``, which is JSON."""
    try:
        config = json.loads(text) if isinstance(text, str) else text
        kind, path = config["type"], config["params"]["directory_path"]
    except (ValueError, TypeError, KeyError):
        raise ValueError(
            f"object_spilling_config={text!r} is not understood; give a folder: object_spilling_directory='/path'."
        ) from None
    if kind != "filesystem":
        raise ValueError(
            f"object_spilling_config has the type {kind!r}; nbray spills to a folder of this machine only."
        )
    return str(path[0] if isinstance(path, list) and path else path)


def spill_dirs(session: str, base: str = "") -> tuple[str, str]:
    """Return where a session's objects go that have no room in memory, and where the links to their files lie.

    The files have no names, so that only links are left when every process is killed at once: among the session's
    logs, unless the user wants to see them elsewhere. A folder that is not there is made when it is needed.

    Parameters
    ----------
    session : str
    base : str
        A folder of the user's choice. Default: what Ray's variables say (RAY_object_spilling_directory,
        RAY_object_spilling_config); else the session itself, unless that lies in memory.

    Raises
    ------
    ValueError
        When such a variable is not understood.
    """
    name = "" if base else next((name for name in _RAYS_SPILLING if os.environ.get(name)), "")
    if name:
        text = os.environ[name]
        base = folder(name, spilling_folder(text) if name.endswith("config") else text)
    if not base and mounts.is_in_memory(session):
        import tempfile  # noqa: PLC0415 - its imports take time at every start

        candidates = (tempfile.gettempdir(), "/var/tmp", "/tmp")
        disks = [path for path in candidates if os.access(path, os.W_OK | os.X_OK) and not mounts.is_in_memory(path)]
        disk = min(disks, key=mounts.is_on_network, default="")  # the first that is of this machine
        if disk:
            return disk, os.path.join(session, SPILLED)
    if not base:
        return os.path.join(session, SPILLED), os.path.join(session, SPILLED)
    path = os.path.join(os.path.abspath(base), _spill_name(session))
    descriptor = os.open(os.path.join(session, SPILL_DIR), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(path)  # so that it is removed with the session, by whoever does that
    return path, path


def _spill_name(session: str) -> str:
    return f"nbray-{os.geteuid()}-spill-{os.path.basename(session)}"


def _remove_spill_dir(session: str) -> None:
    try:
        with open(os.path.join(session, SPILL_DIR), encoding="utf-8") as file:
            path = file.read()
    except (OSError, ValueError):
        return
    if os.path.basename(path) == _spill_name(session):
        _remove(path)


def is_whole(path: str) -> bool:
    """Tell whether a session's sockets are still there."""
    return all(os.path.lexists(os.path.join(path, name)) for name in (CONTROL_SOCKET, SEGMENT_SOCKET, OWNER_FILE))


def touch(path: str) -> None:
    """Make a session look young to those who remove old files."""
    for name in ("", LOGS, RUN, CONTROL_SOCKET, SEGMENT_SOCKET, OWNER_FILE):
        with contextlib.suppress(OSError):
            os.utime(os.path.join(path, name), follow_symlinks=False)


def clear(path: str) -> None:
    """Remove all of a session but its logs."""
    _remove_spill_dir(path)
    for name in os.listdir(path):
        if name != LOGS:
            _remove(os.path.join(path, name))
    _remove(os.path.join(path, RUN))


def remove(path: str) -> None:
    """Remove a session with its logs."""
    _remove_spill_dir(path)
    _remove(path)


def dead(base: str = "") -> list[str]:
    """Return the sessions of this user whose daemon is dead."""
    parent = user_dir(base or base_dir())
    return [
        os.path.join(parent, name)
        for name in sorted(os.listdir(parent))
        if name.removeprefix(_UNFINISHED).startswith("session_") and not _is_used(os.path.join(parent, name), name)
    ]


def remove_dead(base: str = "") -> list[str]:
    """Remove the sessions of this user whose daemon is dead; return their paths."""
    removed = dead(base)
    for path in removed:
        remove(path)
    return removed


def _is_used(path: str, name: str) -> bool:
    # Looked at before the owner's file: once it is gone that is there.
    making = name.startswith(_UNFINISHED) or os.path.exists(os.path.join(path, STARTING))
    try:
        with open(os.path.join(path, OWNER_FILE), encoding="ascii") as file:
            owner = json.load(file)
        return is_alive(int(owner["pid"]), int(owner["start_time"]))
    except FileNotFoundError:
        pass  # in the making, or ended cleanly: then only the logs are left
    except (OSError, ValueError, KeyError, TypeError):
        return False
    try:
        creator = int(name.split("_")[2])
        young = time.time() - os.lstat(path).st_mtime < _YOUNG_S
    except (OSError, ValueError, IndexError):
        return False
    return young and making and start_time(creator) != 0


def _remove(path: str) -> None:
    """Remove a file or a tree of ours, following no links; what vanishes meanwhile is fine."""
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(os.lstat(path).st_mode):
            for name in os.listdir(path):
                _remove(os.path.join(path, name))
            os.rmdir(path)
        else:
            os.unlink(path)
