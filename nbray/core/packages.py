"""Copies of the files that a runtime environment names, in the session's folder, by content.

A package is a folder ``<digest>`` among the session's: complete, or not there. The same
content is copied once; later changes of the original change nothing for what has been
submitted. Whoever is first copies, any process of the cluster may be it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

from nbray.runtime_env.runtime_env import ARCHIVES, RuntimeEnvPathError
from nbray.session_layout import PACKAGES

LEFT_OUT = ".git,.venv,venv,__pycache__"  # unless the variable says otherwise
LEFT_OUT_ENV = "RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES"
GITIGNORE, RAYIGNORE = ".gitignore", ".rayignore"
NO_GITIGNORE_ENV = "RAY_RUNTIME_ENV_IGNORE_GITIGNORE"
_LARGEST_NAMED = 5
_CHUNK = 1 << 20

_digests: dict[tuple[str, int, int, int], bytes] = {}  # (path, inode, size, time of change) -> digest of the content
_MAX_DIGESTS = 100_000


class _File:
    """One file of a package."""

    __slots__ = ("mode", "name", "path", "size", "stat")

    def __init__(self, name: str, path: str) -> None:
        self.name = name  # inside the package
        self.path = path
        self.stat = os.stat(path)
        self.size = self.stat.st_size
        self.mode = self.stat.st_mode & 0o111


def add_folder(session_dir: str, path: str, excludes: Sequence[str], limit: int, key: str, inside: str = "") -> str:
    """Copy a folder (or one file) into the session, unless it is there; return where it is.

    Parameters
    ----------
    session_dir : str
    path : str
    excludes : sequence of str
        Patterns as in .gitignore; such files in the folder count too.
    limit : int
        Bytes.
    key : str
        Of the runtime environment, for messages.
    inside : str
        Folder of the package that gets the files; ``import`` finds it under that name.

    Raises
    ------
    ValueError
        When it is larger than ``limit``, with its largest files.
    """
    files = list(_files(path, excludes, inside))
    size = sum(file.size for file in files)
    if size > limit:
        files.sort(key=lambda file: -file.size)
        largest = ", ".join(f"{file.name} ({file.size / 2**20:.1f} MiB)" for file in files[:_LARGEST_NAMED])
        raise ValueError(
            f"runtime_env[{key!r}]: {path} is too large: {size / 2**20:.1f} MiB in {len(files)} files, and the limit is "
            f"{limit / 2**20:.1f} MiB. The largest: {largest}. Leave files out with runtime_env['excludes'] or a .gitignore, "
            "put() large data, or raise the limit (NBRAY_PACKAGE_BYTES, in bytes)."
        )
    whole = hashlib.blake2b(digest_size=16)
    for file in files:
        whole.update(f"{len(file.name)}:{file.name}:{file.mode}:".encode("utf-8", "surrogateescape"))
        whole.update(_digest(file))
    target = os.path.join(session_dir, PACKAGES, whole.hexdigest())
    if not os.path.isdir(target):
        _make(target, lambda folder: _copy(files, folder))
    return target


def add_archive(session_dir: str, path: str, limit: int, key: str) -> str:
    """Unpack a .zip or .whl into the session, unless it is there; return where it is."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    target = os.path.join(session_dir, PACKAGES, digest.hexdigest())
    if os.path.isdir(target):
        return target
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > limit:
                raise ValueError(
                    f"runtime_env[{key!r}]: {path} is too large: {size / 2**20:.1f} MiB unpacked, and the limit is "
                    f"{limit / 2**20:.1f} MiB (NBRAY_PACKAGE_BYTES, in bytes)."
                )
            _make(target, archive.extractall)
    except zipfile.BadZipFile as error:
        raise RuntimeEnvPathError(f"runtime_env[{key!r}]: {path} is no zip archive: {error}.") from None
    return target


def add(session_dir: str, path: str, excludes: Sequence[str], limit: int, key: str) -> str:
    """Bring what ``working_dir`` or one of ``py_modules`` names into the session; return the folder for sys.path."""
    if os.path.dirname(path) == os.path.join(session_dir, PACKAGES):
        return path  # a parent's, brought before
    if path.endswith(ARCHIVES):
        return add_archive(session_dir, path, limit, key)
    inside = os.path.basename(path.rstrip("/")) if key == "py_modules" and os.path.isdir(path) else ""
    return add_folder(session_dir, path, excludes, limit, key, inside)


def _make(target: str, fill: Any) -> None:
    """Fill a folder and put it in its place as a whole."""
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    folder = f"{target}.{secrets.token_hex(4)}.part"
    os.mkdir(folder, 0o700)
    try:
        fill(folder)
        os.rename(folder, target)
    except OSError:
        if not os.path.isdir(target):  # else somebody was faster
            raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(files: Sequence[_File], folder: str) -> None:
    for file in files:
        place = os.path.join(folder, file.name)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        shutil.copy(file.path, place)


def _digest(file: _File) -> bytes:
    stat = file.stat
    key = (file.path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    found = _digests.get(key)
    if found is None:
        digest = hashlib.blake2b(digest_size=16)
        with open(file.path, "rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
        if len(_digests) >= _MAX_DIGESTS:
            _digests.clear()
        found = _digests[key] = digest.digest()
    return found


def _files(path: str, excludes: Sequence[str], inside: str) -> Iterator[_File]:
    """Yield the files of a folder in order of their names, links followed, special files left out."""
    if os.path.isfile(path):
        yield _File(os.path.join(inside, os.path.basename(path)), path)
        return
    ignored = _Ignored(path, excludes)
    for folder, names, files in os.walk(path, followlinks=False):
        relative = os.path.relpath(folder, path)
        relative = "" if relative == "." else relative
        ignored.enter(relative, files)
        names[:] = sorted(name for name in names if not ignored(os.path.join(relative, name), is_folder=True))
        for name in sorted(files):
            full = os.path.join(folder, name)
            if os.path.isfile(full) and not ignored(os.path.join(relative, name), is_folder=False):
                yield _File(os.path.join(inside, relative, name), full)


class _Ignored:
    """Tells which paths below a folder are left out."""

    def __init__(self, root: str, excludes: Sequence[str]) -> None:
        self._root = root
        self._left_out = {name.strip() for name in os.environ.get(LEFT_OUT_ENV, LEFT_OUT).split(",")}
        self._files = [RAYIGNORE] if os.environ.get(NO_GITIGNORE_ENV) == "1" else [GITIGNORE, RAYIGNORE]
        self._specs: list[tuple[str, Any]] = []  # (folder in which its patterns count, patterns)
        if excludes:
            self._specs.append(("", _patterns(excludes)))

    def enter(self, folder: str, files: Sequence[str]) -> None:
        """Take note of the ignore files of a folder."""
        for name in self._files:
            if name in files:
                with open(os.path.join(self._root, folder, name), encoding="utf-8", errors="replace") as file:
                    self._specs.append((folder, _patterns(file.read().splitlines())))

    def __call__(self, path: str, is_folder: bool) -> bool:
        if os.path.basename(path) in self._left_out and is_folder:
            return True
        for folder, spec in self._specs:
            if not folder or path.startswith(folder + os.sep):
                below = os.path.relpath(path, folder) if folder else path
                if spec.match_file(below + "/" if is_folder else below):
                    return True
        return False


def _patterns(lines: Sequence[str]) -> Any:
    import pathspec  # noqa: PLC0415 - only those who leave files out need it

    return pathspec.GitIgnoreSpec.from_lines(lines)
