"""Join a node: map its segment, register at its daemon."""

from __future__ import annotations

import os
import sys
from typing import Any

from nbray._cstore import ffi, lib
from nbray.core.core_worker import CoreWorker
from nbray.wire import messages as m


def attach(fd: int) -> Any:
    """Map the node's segment; closes ``fd``."""
    out = ffi.new("nbs_seg **")
    why = ffi.new("char[]", 256)
    status = lib.nbs_attach(fd, out, why, 256)
    os.close(fd)
    if status != 0:
        raise RuntimeError(f"cannot attach the segment: {ffi.string(why).decode()} ({status})")
    return out[0]


def join(core: CoreWorker, token: int) -> m.RegisterReply:
    """Register at the daemon and take over what it tells."""
    core.control.send(
        m.RegisterRequest(
            version=m.PROTOCOL_VERSION,
            role=core.role,
            peer=core.peer,
            pid=core.pid,
            python=".".join(map(str, sys.version_info[:3])),
            startup_token=token,
            namespace=core.namespace,
        )
    )
    for _ in range(400):
        core.control.poll_soon(50)
        if core.registered is not None:
            break
    answer = core.registered
    if answer is None:
        raise RuntimeError("the node daemon did not answer the registration within 20 s")
    if answer.error:
        raise RuntimeError(answer.error)
    core.job_id = answer.job_id
    core.node_id = answer.node_id
    core.session_dir = answer.session_dir
    core.cluster_id = answer.cluster_id
    core.daemon = answer.daemon
    return answer
