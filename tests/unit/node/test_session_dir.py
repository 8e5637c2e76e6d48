"""Session folders: private, short enough, removed only when dead."""

import json
import os
import stat
import tempfile
from pathlib import Path

import pytest

from nbray.node import mounts, session_dir
from nbray.node.process_control import start_time
from nbray.node.spill_files import SpillFiles
from nbray.session_layout import LOGS, OWNER_FILE, SPILLED


@pytest.fixture
def base(tmp_path, monkeypatch):
    short = Path("/tmp") / f"nbs{os.getpid()}-{tmp_path.name[-8:]}"
    short.mkdir(mode=0o700)
    yield str(short)
    session_dir.remove(str(short))


def parent(base):
    return os.path.join(base, f"nbray-{os.geteuid()}")


def test_made_private(base):
    path = session_dir.create(base)
    for folder in (parent(base), path, os.path.join(path, LOGS)):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert os.path.basename(path).startswith("session_")


def test_an_open_folder_is_closed(base):
    os.mkdir(parent(base), 0o755)
    session_dir.create(base)
    assert stat.S_IMODE(os.stat(parent(base)).st_mode) == 0o700


def test_a_link_and_a_foreign_folder_are_refused(base, monkeypatch):
    os.symlink("/", parent(base))
    with pytest.raises(session_dir.SessionError, match="link"):
        session_dir.create(base)
    os.unlink(parent(base))
    os.mkdir(parent(base), 0o700)
    folder = parent(base)
    monkeypatch.setattr(session_dir.os, "geteuid", lambda: 4242)
    monkeypatch.setattr(session_dir.os.path, "join", lambda *parts: folder)
    with pytest.raises(session_dir.SessionError, match="belongs to uid"):
        session_dir.user_dir(base)


def test_too_long_for_a_socket(base):
    deep = os.path.join(base, "d" * 70)
    os.mkdir(deep)
    with pytest.raises(session_dir.SessionError, match="too long"):
        session_dir.create(deep)


def test_only_dead_sessions_are_removed(base):
    making, living, dead, ended, broken = (session_dir.create(base) for _ in range(5))
    session_dir.own(living)
    session_dir.own(dead)
    Path(dead, OWNER_FILE).write_text(json.dumps({"pid": os.getpid(), "start_time": 1}))
    session_dir.own(ended)
    session_dir.clear(ended)
    assert os.listdir(ended) == [LOGS] and not os.listdir(os.path.join(ended, LOGS))
    Path(broken, OWNER_FILE).write_text("{")
    os.mkdir(os.path.join(parent(base), "other"))
    assert sorted(session_dir.remove_dead(base)) == sorted([dead, ended, broken])
    assert sorted(os.listdir(parent(base))) == sorted(["other", *(os.path.basename(p) for p in (making, living))])


def test_one_in_the_making_whose_maker_died_is_removed(base):
    path = session_dir.create(base)
    os.utime(path, (1, 1))
    assert session_dir.remove_dead(base) == [path]


def test_one_in_the_making_is_not_dead_for_a_moment(base, monkeypatch):
    """Whatever another process that starts a node sees of it, at whatever step."""
    steps = []
    session_dir.user_dir(base)

    def then_look(patch, name):
        function = getattr(os, name)

        def call(*arguments, **named):
            result = function(*arguments, **named)
            steps.append(name)
            assert session_dir.dead(base) == [], f"after {steps}"
            return result

        patch.setattr(session_dir.os, name, call)

    with monkeypatch.context() as patch:
        for name in ("mkdir", "close", "rename", "unlink"):
            then_look(patch, name)
        session_dir.own(session_dir.create(base))
    assert {"mkdir", "close", "rename", "unlink"} <= set(steps)


def test_a_daemon_may_take_over_between_two_looks(base, monkeypatch):
    path = session_dir.create(base)

    def open_then_own(*arguments, **named):
        monkeypatch.undo()
        try:
            return open(*arguments, **named)
        finally:
            session_dir.own(path)

    monkeypatch.setattr(session_dir, "open", open_then_own, raising=False)
    assert session_dir.dead(base) == []
    assert os.path.exists(os.path.join(path, OWNER_FILE))


def test_what_a_maker_left_that_died_at_once_is_removed(base):
    path = session_dir.create(base)
    unfinished = os.path.join(parent(base), "." + os.path.basename(path))
    os.rename(path, unfinished)
    assert session_dir.dead(base) == []
    os.utime(unfinished, (1, 1))
    assert session_dir.remove_dead(base) == [unfinished]


def test_removal_follows_no_links(base, tmp_path):
    (tmp_path / "precious").write_text("x")
    path = session_dir.create(base)
    os.symlink(tmp_path, os.path.join(path, "link"))
    session_dir.remove(path)
    assert (tmp_path / "precious").exists() and not os.path.exists(path)


def test_base_dir_prefers_the_runtime_dir_and_skips_the_unusable(base, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", base)
    assert session_dir.base_dir() == base
    odd = os.path.join(base, "odd\udcff")
    os.mkdir(odd)
    with pytest.raises(session_dir.SessionError, match="UTF-8"):
        session_dir.create(odd)
    for bad in ("/does/not/exist", "relative", "/" + "x" * 80, "", odd):
        monkeypatch.setenv("XDG_RUNTIME_DIR", bad)
        monkeypatch.setenv("TMPDIR", base)
        assert session_dir.base_dir() == base


def test_ray_tmpdir_is_used_before_all_others_and_made(base, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", base)
    folder = os.path.join(base, "not", "there")
    monkeypatch.setenv("RAY_TMPDIR", folder)
    assert session_dir.base_dir() == folder and os.path.isdir(folder)
    open(os.path.join(base, "file"), "w").close()
    monkeypatch.setenv("RAY_TMPDIR", os.path.join(base, "file", "in"))
    with pytest.raises(session_dir.SessionError, match="RAY_TMPDIR"):
        session_dir.base_dir()


def test_spilled_objects_go_to_a_disk_and_their_links_stay_with_the_session(base, tmp_path, monkeypatch):
    path = session_dir.create(base)
    inside = os.path.join(path, SPILLED)
    monkeypatch.setattr(mounts, "is_in_memory", lambda folder: folder == path)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    disk, links = session_dir.spill_dirs(path)
    assert (disk, links) == (str(tmp_path), inside)
    files = SpillFiles(disk, links, 1 << 20, 1.0, lambda: None)
    files.write(b"i" * 28, memoryview(b"precious"))
    assert os.listdir(disk) == [] and b"precious" in Path(files.path(1)).read_bytes()
    files.close()
    assert not os.path.exists(links)
    monkeypatch.setattr(mounts, "is_in_memory", lambda folder: False)
    assert session_dir.spill_dirs(path) == (inside, inside)


def test_start_time_tells_the_dead():
    assert start_time(os.getpid()) > 0
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert start_time(pid) == 0  # a zombie
    os.waitpid(pid, 0)
    assert start_time(pid) == 0
