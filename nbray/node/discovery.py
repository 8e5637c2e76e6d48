"""Find the clusters that run on this machine, and turn an address into one of them.

A cluster is known by its session folder, in which a file names the daemon (``OWNER_FILE``). An address
is such a folder, its name, its control endpoint, ``"auto"`` (the newest one that lives) or
``"local"`` (none: start one).
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import stat
import time

from nbray import session_layout
from nbray.exceptions import InsecureConfigurationError
from nbray.node import session_dir
from nbray.node.process_control import is_alive

ENVIRONMENT = ("NBRAY_ADDRESS", "RAY_ADDRESS")  # the first that is set counts
_SCHEMES = ("ipc://", "nbray://")
_START = "Start one with `nbray start`"


class LiveSession:
    """A session whose daemon lives.

    Attributes
    ----------
    path : str
        Its folder, which is also its address.
    pid, start_time : int
        Of the daemon.
    started_by : {"init", "start", "ahead"}
        Whether a driver owns the cluster, or the command line started it.
    started_at : float
        Seconds since the epoch.
    """

    def __init__(self, path: str, owner: dict[str, object]) -> None:
        self.path = path
        self.pid = int(owner["pid"])  # type: ignore[call-overload]
        self.start_time = int(owner["start_time"])  # type: ignore[call-overload]
        self.started_by = str(owner.get("started_by", "init"))
        self.started_at = float(owner.get("started_at", 0.0))  # type: ignore[arg-type]
        self.version = str(owner.get("version", ""))

    @property
    def name(self) -> str:
        """Return the name of the session."""
        return os.path.basename(self.path)

    @property
    def control_endpoint(self) -> str:
        """Return the daemon's ZeroMQ endpoint."""
        return f"ipc://{self.path}/{session_layout.CONTROL_SOCKET}"

    @property
    def segment_socket(self) -> str:
        """Return the socket that hands out the segment."""
        return os.path.join(self.path, session_layout.SEGMENT_SOCKET)

    def is_alive(self) -> bool:
        """Tell whether the daemon still lives."""
        return is_alive(self.pid, self.start_time)


def live_sessions(base: str = "") -> list[LiveSession]:
    """Return this user's clusters under ``base``, the newest first."""
    parent = session_dir.user_dir(base or session_dir.base_dir())
    found = []
    for name in os.listdir(parent):
        if name.startswith("session_"):
            session = _read(os.path.join(parent, name))
            if session is not None and session.started_by != session_dir.AHEAD and session.is_alive():
                found.append(session)
    return sorted(found, key=lambda session: session.started_at, reverse=True)


def resolve(address: str | None, base: str = "", looking: bool = False) -> LiveSession | None:
    """Return the cluster that ``init(address)`` is to join; None: start one.

    The environment speaks where ``address`` is None or "auto". Then None joins what the command
    line started last, and "auto" the newest cluster of all. With ``looking`` nobody wants to join: errors do not speak of init().

    Raises
    ------
    ConnectionError
        When there is no such cluster, or it is dead.
    PermissionError
        When it is another user's.
    InsecureConfigurationError
        When others than its owner can get at its folder.
    """
    given = f"address={address!r}"
    how = f"{_START}." if looking else f"{_START}, or leave address out to have init() start one."
    if address is None or address == "auto":
        name = next((name for name in ENVIRONMENT if os.environ.get(name)), None)
        if name is not None:
            address = os.environ[name]
            given = f"address={address!r} (from the environment variable {name})"
            how = f"{_START}, or unset {name}{'' if looking else ' to have init() start one'}."
    if address == "local":
        return None
    if address is None:
        return next((session for session in live_sessions(base) if session.started_by == "start"), None)
    if address == "auto":
        found = live_sessions(base)
        if not found:
            folder = session_dir.user_dir(base or session_dir.base_dir())
            raise ConnectionError(
                f"Could not find any running nbray cluster of yours on this machine ({folder}). {how}"
            )
        return found[0]
    return _by_name(address, base, given, how)


def _by_name(address: str, base: str, given: str, how: str) -> LiveSession:
    path = address
    for scheme in _SCHEMES:
        path = path.removeprefix(scheme)
    path = path.rstrip("/")
    path = path.removesuffix("/" + session_layout.CONTROL_SOCKET)
    if path.startswith("session_") and "/" not in path:
        path = os.path.join(session_dir.user_dir(base or session_dir.base_dir()), path)
    if not os.path.isabs(path) and ":" not in path:
        raise ValueError(
            f"Invalid address format: {given.removeprefix('address=')}. Give 'auto', 'local', or the name or folder of a session. {how}"
        )
    if not os.path.isabs(path):
        raise ConnectionError(
            f"{given} names no cluster that nbray could join: it is reached on its own machine, by 'auto', "
            f"the name of its session or the folder of its session. {how}"
        )
    try:
        info = os.lstat(path)
    except PermissionError:
        raise PermissionError(f"{given}: that folder is not yours to look into. {how}") from None
    except OSError as error:
        raise ConnectionError(
            f"{given}: there is no cluster there ({error.strerror}); it has ended, or never was. {how}"
        ) from None
    if info.st_uid != os.geteuid():
        raise PermissionError(f"{given}: that cluster belongs to {_user(info.st_uid)}, not to you. {how}")
    if not stat.S_ISDIR(info.st_mode):
        raise InsecureConfigurationError(f"{given} is a link or a file, not the folder of a session.")
    if stat.S_IMODE(info.st_mode) & 0o077:
        raise InsecureConfigurationError(
            f"{given}: others can get at that folder (mode {stat.S_IMODE(info.st_mode):04o}); run `chmod 700 {path}`."
        )
    session = _read(path)
    if session is None:
        raise ConnectionError(f"{given}: that folder is no session of nbray, or its cluster has ended. {how}")
    if not session.is_alive():
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(session.started_at))
        raise ConnectionError(
            f"{given}: that cluster is dead. It was started {since}, its daemon (pid {session.pid}) was seen "
            f"last {_last_seen(path)}. {how}"
        )
    return session


def _read(path: str) -> LiveSession | None:
    try:
        with open(os.path.join(path, session_layout.OWNER_FILE), encoding="ascii") as file:
            return LiveSession(path, json.load(file))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _last_seen(path: str) -> str:
    newest = 0.0
    with contextlib.suppress(OSError):
        for inside in ("", session_layout.LOGS, session_layout.RUN):
            folder = os.path.join(path, inside)
            for name in os.listdir(folder):
                with contextlib.suppress(OSError):
                    newest = max(newest, os.lstat(os.path.join(folder, name)).st_mtime)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(newest)) if newest else "never"


def _user(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
