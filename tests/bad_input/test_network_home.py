"""Row 75: the home directory lies on a network file system. None is mounted here: the kernel's table is made to say so."""

import argparse
import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

import nbray
from nbray.api import runtime
from nbray.cli import doctor
from nbray.node import mounts, session_dir

SMALL = {"num_cpus": 1, "object_store_memory": 64 * 2**20}


@pytest.fixture
def folder():
    """A short path, with a home and a folder that is not in it."""
    nbray.shutdown()
    path = Path(tempfile.mkdtemp(prefix="nbh", dir="/tmp"))
    for name in ("home/tmp", "home/run", "local"):
        (path / name).mkdir(parents=True, mode=0o700)
    yield path
    nbray.shutdown()
    shutil.rmtree(path)


@pytest.fixture
def home(folder, monkeypatch, tmp_path):
    """A home on NFS, to which all variables point that name temporary folders, but one."""
    home = folder / "home"
    table = tmp_path / "mounts"
    table.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/homes {home} nfs4 rw,vers=4.2 0 0\n")
    monkeypatch.setattr(mounts, "TABLE", str(table))
    for name, value in {
        "HOME": home, "XDG_CACHE_HOME": home / ".cache", "XDG_RUNTIME_DIR": home / "run", "TMPDIR": home / "tmp",
        "TEMP": folder / "local",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    for name in ("RAY_TMPDIR", "NBRAY_ADDRESS", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    return home


def said_by_doctor(capsys):
    capsys.readouterr()
    code = doctor.doctor(argparse.Namespace(format="json"))
    return code, json.loads(capsys.readouterr().out)


def test_row_75_nothing_of_a_session_lies_in_a_home_on_the_network(home, folder, monkeypatch, capsys):
    warned = []
    monkeypatch.setattr(runtime._logger, "warning", lambda text, *args: warned.append(text % args))
    context = nbray.init(**SMALL)
    session = context.address_info["session_dir"]
    assert session.startswith(str(folder / "local"))
    (notice,) = (one for one in warned if "network" in one)
    assert "nfs4" in notice and str(home / "run") in notice and str(folder / "local") in notice

    @nbray.remote
    class Worker:
        def open_files(self):
            import os

            print("a line for the log")
            return [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")[:-1]]

    worker = Worker.remote()
    refs = [nbray.put(bytes([i]) * (10 << 20)) for i in range(12)]  # twice the store: some are spilled
    assert [nbray.get(ref)[0] for ref in refs] == list(range(12))
    opened = nbray.get(worker.open_files.remote())
    for process in (os.getpid(), runtime._node.pid):
        for fd in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                opened.append(os.readlink(fd))
    assert len(opened) > 10 and not [name for name in opened if name.startswith(str(home))]
    files = [path for path in home.rglob("*") if not path.is_dir()]
    assert [path for path in files if ".cache/nbray/said" not in str(path)] == []

    code, rows = said_by_doctor(capsys)
    assert code == 0
    assert any(row["what"] == "home" and "nfs4" in row["found"] for row in rows)
    assert any(row["what"] == "session folder" and row["level"] == "note" and "nfs4" in row["found"] for row in rows)


def test_row_75_where_there_is_only_the_network(home, folder, monkeypatch, capsys):
    monkeypatch.setattr(session_dir, "_usable_folders", lambda: [str(home / "tmp")])
    assert session_dir.base_dir() == str(home / "tmp")  # better than nothing: many a network takes sockets
    assert "TMPDIR" in session_dir.moved()
    code, rows = said_by_doctor(capsys)
    assert code == 1
    assert any(row["what"] == "session folder" and row["level"] == "ERROR" and "nfs4" in row["found"] for row in rows)


def test_the_file_system_is_that_of_the_longest_mount(monkeypatch, tmp_path):
    table = tmp_path / "mounts"
    table.write_text(
        "/dev/sda1 / ext4 rw 0 0\nauto /net autofs rw 0 0\nserver:/x /net nfs rw 0 0\n"
        "tmpfs /net/a\\040b tmpfs rw 0 0\n/dev/sdb1 /network ext4 rw 0 0\nbroken\n"
    )
    monkeypatch.setattr(mounts, "TABLE", str(table))
    assert mounts.file_system("/") == ""  # a table that is not understood says nothing
    table.write_text(table.read_text().removesuffix("broken\n"))
    kinds = {path: mounts.file_system(path) for path in ("/", "/net", "/net/ab", "/net/a b/c", "/network/x")}
    assert kinds == {"/": "ext4", "/net": "nfs", "/net/ab": "nfs", "/net/a b/c": "tmpfs", "/network/x": "ext4"}
    assert mounts.is_on_network("/net") and not mounts.is_on_network("/network")
    assert mounts.is_in_memory("/net/a b")
    table.write_text("none / 9p rw,trans=fd,rfdno=4 0 0\nC: /c 9p rw,aname=drvfs;path=C:,trans=fd 0 0\n")
    assert not mounts.is_on_network("/") and mounts.is_on_network("/c")  # gVisor's root, a disk of Windows
    monkeypatch.setattr(mounts, "TABLE", str(tmp_path / "missing"))
    assert mounts.file_system("/") == "" and not mounts.is_on_network("/")
