"""What the daemon and its zygote say to each other over their socket pair."""

from __future__ import annotations

from typing import Any, Union, cast

import msgspec

MAX_BYTES = 64 * 1024


class ZygoteMessage(msgspec.Struct, tag=True):
    """Base of these messages."""


class WorkerBootstrap(msgspec.Struct, frozen=True):
    """What a worker needs to join its node."""

    segment_socket: str
    control_endpoint: str
    session_dir: str
    node_id: str
    num_cpus: int
    startup_token: int = 0
    log_path: str = ""


class Fork(ZygoteMessage):
    """Daemon -> zygote: fork a worker."""

    bootstrap: WorkerBootstrap
    env: dict[str, str] = {}


class End(ZygoteMessage):
    """Daemon -> zygote: end all workers (SIGTERM, then SIGKILL), then yourself."""

    grace_s: float


class Forked(ZygoteMessage):
    """Zygote -> daemon: this is its pid, 0 when the fork failed."""

    token: int
    pid: int
    error: str = ""


class Exited(ZygoteMessage):
    """Zygote -> daemon: a worker ended; ``status`` as of waitpid."""

    token: int
    pid: int
    status: int


_decode = msgspec.msgpack.Decoder(cast(Any, Union[Fork, End, Forked, Exited])).decode  # noqa: UP007
encode = msgspec.msgpack.Encoder().encode


def decode(data: bytes) -> ZygoteMessage:
    """Return the message in ``data``; raises msgspec.MsgspecError when it is none."""
    return cast(ZygoteMessage, _decode(data))
