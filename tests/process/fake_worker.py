"""A worker that does as little as the protocol allows; the daemon's zygote forks it.

SIGUSR1: say BlockedNotice, SIGUSR2: say UnblockedNotice. As an actor it obeys its spec id:
``raise``, ``exit:N``, ``hang`` or anything else, which succeeds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from nbray._cstore import ffi, lib

from nbray.wire import messages as m
from nbray.wire.channel import Dealer
from nbray.wire.segment_socket import receive_segment


def run(bootstrap):
    """Register, then obey."""
    if os.environ.get("FAKE_WORKER_FAILS"):
        raise RuntimeError("this worker was told to fail")
    descriptor = receive_segment(bootstrap.segment_socket)
    out, why = ffi.new("nbs_seg **"), ffi.new("char[]", 256)
    assert lib.nbs_attach(descriptor, out, why, 256) == 0, ffi.string(why)
    os.close(descriptor)
    peer = lib.nbs_self(out[0])
    dealer = Dealer(bootstrap.control_endpoint, "worker", peer)
    signal.signal(signal.SIGUSR1, lambda *_: dealer.send(m.BlockedNotice()))
    signal.signal(signal.SIGUSR2, lambda *_: dealer.send(m.UnblockedNotice()))
    print("hello from the worker", flush=True)  # before it can be leased, and killed
    dealer.send(
        m.RegisterRequest(
            version=m.PROTOCOL_VERSION,
            role="worker",
            peer=peer,
            pid=os.getpid(),
            python=sys.version.split()[0],
            startup_token=bootstrap.startup_token,
        )
    )
    if os.environ.get("FAKE_WORKER_HAS_CHILD"):
        own = os.environ["FAKE_WORKER_HAS_CHILD"] == "session"
        subprocess.Popen(["sleep", "1000"], start_new_session=own)
    while True:
        message = dealer.receive(1000)
        if isinstance(message, m.StopNotice):
            if os.environ.get("FAKE_WORKER_STUBBORN") and not message.graceful:
                continue
            return
        if isinstance(message, m.BecomeActorNotice):
            become(dealer, message)


def become(dealer, message):
    spec = message.spec_id.decode()
    if spec.startswith("exit:"):
        os._exit(int(spec[5:]))
    if spec == "hang":
        return
    error = b"pickled error" if spec == "raise" else b""
    text = "ValueError: no" if spec == "raise" else ""
    dealer.send(m.ActorReadyNotice(message.actor_id, message.incarnation, error, text))
