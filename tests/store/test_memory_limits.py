"""Too little memory: an error with the figures, never SIGBUS, never the OOM killer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MIB = 1 << 20
V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def _new_group(limit: int) -> Path:
    """Make a memory cgroup below our own; skips where the machine does not let us."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if controllers == "memory":
            parent, limit_file = V1 / path.lstrip("/"), "memory.limit_in_bytes"
        elif number == "0" and (V2 / "cgroup.controllers").exists():
            parent, limit_file = V2 / path.lstrip("/"), "memory.max"
        else:
            continue
        group = parent / f"nbray-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit_file).write_text(str(limit))
        except OSError as error:
            if group.exists():
                group.rmdir()
            pytest.skip(f"needs root and a writable memory cgroup: {error}")
        return group
    pytest.skip("needs a memory cgroup: none is mounted")


def _python_in(group: Path, code: str) -> subprocess.CompletedProcess[str]:
    def enter() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    return subprocess.run(
        [sys.executable, "-c", code],
        preexec_fn=enter, env=ENV, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_cgroup_smaller_than_the_store():
    """S9. Refused before anything is allocated, with the limit."""
    group = _new_group(256 * MIB)
    try:
        refused = _python_in(
            group,
            "from nbray.store.segment import create\n"
            "from nbray.exceptions import SharedMemoryTooSmallError\n"
            "try: create(1 << 30)\n"
            "except SharedMemoryTooSmallError as e: print(e)\n",
        )
        assert refused.returncode == 0, refused.stderr
        assert "limit 256 MiB" in refused.stdout and group.name in refused.stdout
    finally:
        group.rmdir()


def test_cgroup_filled_after_the_store_was_made():
    """The store fits when it is made; then its own processes eat the memory."""
    group = _new_group(256 * MIB)
    try:
        filled = _python_in(
            group,
            "from nbray.store.segment import Segment\n"
            "from nbray.store.errors import StoreMemoryError, StoreFullError\n"
            "s = Segment.make(180 << 20)\n"
            "eaten = bytearray(100 << 20)\n"
            "eaten[::4096] = bytes(len(eaten) // 4096)\n"
            "held = []\n"
            "try:\n"
            "    for i in range(200): held.append(s.put(b'%028d' % i, bytes(1 << 20)))\n"
            "except (StoreMemoryError, StoreFullError) as e: print(len(held), type(e).__name__)\n"
            "s.validate()\n"
            "s.release(held.pop()); s.put(b'y' * 28, bytes(1 << 20))\n",
        )
        assert filled.returncode == 0, (filled.returncode, filled.stderr)
        count, name = filled.stdout.split()
        assert name == "StoreMemoryError"
        assert 40 < int(count) < 140
    finally:
        group.rmdir()


def test_small_dev_shm_does_not_matter():
    """S8. Containers have 64 MiB of /dev/shm, full here; a memfd is not on it. 10,000 creates: each ok or refused."""
    code = (
        "from nbray.store.segment import Segment\n"
        "from nbray.store.errors import StoreFullError\n"
        "s = Segment.make(200 << 20)\n"
        "obj = s.put(b'x' * 28, bytes(150 << 20))\n"
        "view = s.view(obj)\n"
        "assert len(view) == 150 << 20 and view[-1] == 0\n"
        "del view; s.release(obj)\n"
        "held, full = [], 0\n"
        "for i in range(10_000):\n"
        "    try: held.append(s.create(b'%028d' % i, 1 << 20))\n"
        "    except StoreFullError:\n"
        "        full += 1\n"
        "        while held: s.abort(held.pop())\n"
        "assert full > 10\n"
        "s.validate(); print('fits')\n"
    )
    script = (
        "mount -t tmpfs -o size=64m tmpfs /dev/shm && head -c 60m /dev/zero > /dev/shm/full && "
        f'exec {sys.executable} -c "$CODE"'
    )
    assert _in_own_mounts(script, CODE=code) == "fits"


def test_the_tightest_limit_of_cgroup_v2(tmp_path):
    """Pictured by files where the kernel shows them: the limit of a group above counts, file cache does not."""
    (tmp_path / "cgroup").write_text("0::/pod/box\n")
    script = (
        "mount -t tmpfs none /sys/fs/cgroup && cd /sys/fs/cgroup && mkdir -p pod/box && "
        "touch cgroup.controllers pod/cgroup.procs pod/box/cgroup.procs && "
        "echo max > pod/box/memory.max && echo 1000 > pod/box/memory.current && "
        f"echo {256 * MIB} > pod/memory.max && echo {64 * MIB} > pod/memory.current && "
        f"printf 'anon 1\\ninactive_file {32 * MIB}\\nactive_file {16 * MIB}\\n' > pod/memory.stat && "
        f'mount --bind {tmp_path}/cgroup /proc/$$/cgroup && exec {sys.executable} -c "$CODE"'
    )
    code = (
        "from nbray.store.segment import create, memory_available\n"
        "from nbray.exceptions import SharedMemoryTooSmallError\n"
        "create(128 << 20)\n"
        "try: create(256 << 20)\n"
        "except SharedMemoryTooSmallError as e: print(memory_available()[0] >> 20, e)\n"
    )
    available, _, words = _in_own_mounts(script, CODE=code).partition(" ")
    assert available == str(256 - 64 + 32 + 16 // 2)
    assert "cgroup /sys/fs/cgroup/pod: limit 256 MiB, used 64 MiB, of that 40 MiB file cache" in words


def _in_own_mounts(script: str, **env: str) -> str:
    """Return what a shell script prints that may mount; skips where the machine does not let us."""
    try:
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script],
            env={**ENV, **env}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("needs the unshare command")
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"needs root and mount namespaces: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
