"""The server of these tests leaves nothing behind, however they end."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

BRIEF_OWNER = """\
import os, signal, sys, pathlib
sys.path.insert(0, sys.argv[1])
from lab import LabServer
server = LabServer(pathlib.Path(sys.argv[2]))
print(server.process.pid, server._runtime.name, flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_server_ends_with_whoever_started_it(tmp_path):
    here = str(Path(__file__).parent)
    owner = subprocess.Popen(
        [sys.executable, "-c", BRIEF_OWNER, here, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        pid, runtime = owner.stdout.readline().split()
        server = os.pidfd_open(int(pid))
        owner.communicate("\n")
    ended, _, _ = select.select([server], [], [], 120)
    os.close(server)
    shutil.rmtree(runtime, ignore_errors=True)
    assert ended
