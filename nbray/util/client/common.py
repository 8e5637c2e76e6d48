"""Classes of Ray's client mode, for ``isinstance``: nothing in nbray is an instance of them."""

from __future__ import annotations


class ClientObjectRef:
    """A ref of the client mode."""


class ClientActorRef:
    """An actor's id in the client mode."""


class ClientActorHandle:
    """An actor's handle in the client mode."""


class ClientActorClass:
    """An actor class in the client mode."""


class ClientRemoteFunc:
    """A remote function in the client mode."""
