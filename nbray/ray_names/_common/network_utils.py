"""Addresses as text, and what is free of them."""

from __future__ import annotations

import ipaddress
import socket

_LOCAL = ("localhost", "127.0.0.1", "::1")


def build_address(host: str, port: int | str) -> str:
    """Return ``host:port``, with brackets around what has colons of its own."""
    return f"[{host}]:{port}" if is_ipv6(host) else f"{host}:{port}"


def parse_address(address: str) -> tuple[str, str] | None:
    """Return host and port of ``host:port``, both as text; None where there is no port."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], port
    return (host, port) if colon and ":" not in host else None


def is_ipv6(host: str) -> bool:
    """Tell whether ``host`` is an IPv6 address."""
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def is_localhost(host: str) -> bool:
    """Tell whether ``host`` is this machine's address for itself."""
    return host in _LOCAL


def get_localhost_ip() -> str:
    """Return this machine's address for itself."""
    return "127.0.0.1"


def find_free_port(family: int = socket.AF_INET) -> int:
    """Return the number of a port that nobody listens at now."""
    with socket.socket(family, socket.SOCK_STREAM) as found:
        found.bind(("", 0))
        return int(found.getsockname()[1])


__all__ = ["build_address", "find_free_port", "get_localhost_ip", "is_ipv6", "is_localhost", "parse_address"]
