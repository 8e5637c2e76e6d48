"""Join a node: map its segment, register at its daemon."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from nbray._cstore import ffi, lib
from nbray.config import Limits
from nbray.core.core_worker import CoreWorker
from nbray.exceptions import VersionMismatchError
from nbray.wire import messages as m


def attach(fd: int) -> Any:
    """Map the node's segment; closes ``fd``."""
    out = ffi.new("nbs_seg **")
    why = ffi.new("char[]", 256)
    status = lib.nbs_attach(fd, out, why, 256)
    os.close(fd)
    if status == lib.NBS_EVERSION:
        raise VersionMismatchError(
            f"The cluster was started by another build of nbray: {ffi.string(why).decode()}. Use the same one in both."
        )
    if status != 0:
        raise RuntimeError(f"cannot attach the segment: {ffi.string(why).decode()} ({status})")
    return out[0]


def join(core: CoreWorker, token: int, patience_s: float = 20.0, **facts: Any) -> m.RegisterReply:
    """Register at the daemon and take over what it tells; ``facts`` are further fields of the request."""
    core.control.send(
        m.RegisterRequest(
            version=m.PROTOCOL_VERSION,
            role=core.role,
            peer=core.peer,
            pid=core.pid,
            python=".".join(map(str, sys.version_info[:3])),
            startup_token=token,
            namespace=core.namespace,
            **facts,
        )
    )
    deadline = time.monotonic() + patience_s
    while core.registered is None and time.monotonic() < deadline:
        core.control.poll_soon(50)
    answer = core.registered
    if answer is None:
        raise RuntimeError(f"the node daemon did not answer the registration within {patience_s:g} s")
    if answer.version_error:
        raise VersionMismatchError(answer.version_error)
    if answer.error:
        raise RuntimeError(answer.error)
    core.job_id = answer.job_id
    core.node_id = answer.node_id
    core.labels = answer.labels
    core.session_dir = answer.session_dir
    core.cluster_id = answer.cluster_id
    core.daemon = answer.daemon
    core.limits = core.store.pressure.limits = Limits(answer.limits)
    core.store.pressure.spill_dir = answer.spill_dir
    return answer
