"""``nbray start``, ``nbray stop`` and ``nbray scale``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import sys
from typing import Any

from nbray.api import init_options
from nbray.core.scaling import set_cpus
from nbray.node import discovery, process_control, session_dir
from nbray.node.discovery import LiveSession
from nbray.node.launcher import NodeConfig, NodeProcess, start_node
from nbray.util.state import collect
from nbray.util.state.tables import size

_KILL_WAIT_S = 5.0


def start(given: argparse.Namespace) -> int:
    """Start a cluster that no driver owns."""
    if given.address is not None:
        raise ValueError("joining a cluster as a node is not possible yet: nbray has one node. Leave --address out.")
    base = session_dir.folder("--temp-dir", given.temp_dir) if given.temp_dir else ""
    spill = given.object_spilling_directory
    config = NodeConfig(
        resources=init_options.check_amounts(
            _number(given.num_cpus), _number(given.num_gpus), _json("--resources", given.resources), given.memory
        ),
        object_store_memory=init_options.check_store_bytes(given.object_store_memory), base_dir=base,
        limits=init_options.check_limits(_json("--system-config", given.system_config)), end_with_driver=False,
        node_ip=init_options.own_address(given.node_ip_address or "127.0.0.1"), started_by="start",
        node_name=given.node_name or "", labels=init_options.check_labels(_labels(given.labels)),
        metrics_port=init_options.metrics_port(_port(given.metrics_port)),
        spill_base=session_dir.folder("--object-spilling-directory", spill) if spill else "",
    )  # fmt: skip
    running = [session for session in discovery.live_sessions(base) if session.started_by == "start"]
    if running and not given.another:
        raise RuntimeError(
            f"a cluster runs already: {running[0].path} (daemon pid {running[0].pid}). Stop it with `nbray stop`, or start "
            "one more with --another."
        )
    if given.block:
        for signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signo, _interrupt)
    node = None
    try:
        node = start_node(config)
        _tell(node, given)
        if not given.block:
            return 0
        node.wait_dead()
    except KeyboardInterrupt:
        if node is None:
            raise
        node.stop()
        print("nbray has ended.")
        return 0
    print(f"The node daemon ended by itself; see {node.session_dir}/logs/daemon.log", file=sys.stderr)
    return 1


def _interrupt(signo: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _tell(node: NodeProcess, given: argparse.Namespace) -> None:
    if given.format == "json":
        print(
            json.dumps({"name": os.path.basename(node.session_dir), "path": node.session_dir, "pid": node.pid}),
            flush=True,
        )
        return
    cpus, gpus = (node.resources.get(name, 0) / 10_000 for name in ("CPU", "GPU"))
    where = f" --temp-dir {shlex.quote(given.temp_dir)}" if given.temp_dir else ""
    address = f" --address {shlex.quote(node.session_dir)}" if given.temp_dir else ""
    joined = f"address={node.session_dir!r}" if given.temp_dir else ""
    print(
        f"nbray runs: {_count(cpus, 'CPU')}, {_count(gpus, 'GPU')}, object store {size(node.capacity)}, daemon pid {node.pid}"
    )
    print(f"  session    {node.session_dir}")
    if node.metrics_port:
        print(f"  metrics    http://127.0.0.1:{node.metrics_port}/metrics")
    print(f"  join it    nbray.init({joined})        in Python on this machine")
    print(f"  look       nbray status{address}        and: nbray list tasks, nbray memory, nbray stack")
    print(f"  end it     {'Ctrl-C' if given.block else f'nbray stop{where}'}", flush=True)
    if os.geteuid() == 0:
        print("You are root: every task of this cluster runs as root.", file=sys.stderr)


def _count(number: float, what: str) -> str:
    return f"{number:g} {what}" if number == 1 else f"{number:g} {what}s"


def _port(value: int | None) -> int | None:
    return None if value is None else init_options.port("--metrics-port", value)


def _number(value: float | None) -> Any:
    return int(value) if value is not None and value == int(value) else value


def _json(name: str, text: str | None) -> Any:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{name}={text!r} is not JSON ({error}); write for instance '{{\"name\": 1}}'.") from None
    if not isinstance(value, dict):
        raise ValueError(f"{name}={text!r} is not a JSON object; write for instance '{{\"name\": 1}}'.")
    return value


def _labels(text: str | None) -> Any:
    if text is None or text.lstrip().startswith("{"):
        return _json("--labels", text)
    labels = {}
    for pair in text.split(","):
        name, sign, value = pair.partition("=")
        if not sign:
            raise ValueError(f"--labels: {pair!r} is not name=value.")
        labels[name.strip()] = value.strip()
    return labels


def stop(given: argparse.Namespace) -> int:
    """Stop the clusters that the command line started (or the one at ``--address``)."""
    base = given.temp_dir or ""
    if given.address is not None:
        session = discovery.resolve(given.address, base, looking=True)
        sessions = [session] if session is not None else []
    else:
        sessions = [one for one in discovery.live_sessions(base) if given.all or one.started_by == "start"]
    if not sessions:
        others = [] if given.address else discovery.live_sessions(base)
        hint = f" {len(others)} of drivers go on; they end with them (or with --all)." if others else ""
        print(f"No cluster that `nbray start` began is running.{hint}")
    failed = [session for session in sessions if not _end(session, 0.0 if given.force else given.grace_period)]
    cleaned = session_dir.remove_dead(base)
    if cleaned:
        print(f"Removed {len(cleaned)} leftover session folder{'s' if len(cleaned) > 1 else ''}.")
    return 1 if failed else 0


def scale(given: argparse.Namespace) -> int:
    """Change how many CPUs a cluster offers."""
    with collect.source(given.address) as where:
        offered = set_cpus(where, given.num_cpus)
        name = os.path.basename(where.session_dir)
    print(f"{name} offers {offered} CPU{'' if offered == 1 else 's'} now.")
    return 0


def _end(session: LiveSession, grace_s: float) -> bool:
    """End one cluster; False when its daemon cannot be ended."""
    pidfd = process_control.open_pidfd(session.pid)
    if pidfd < 0 or not session.is_alive():
        return True
    try:
        if grace_s > 0:
            process_control.send_signal(pidfd, signal.SIGTERM)
        if grace_s <= 0 or not process_control.readable(pidfd, grace_s):
            process_control.send_signal(pidfd, signal.SIGKILL)
            if not process_control.readable(pidfd, _KILL_WAIT_S):
                print(f"The daemon (pid {session.pid}) of {session.path} does not end.", file=sys.stderr)
                return False
            with contextlib.suppress(OSError):
                session_dir.clear(session.path)
    finally:
        os.close(pidfd)
    print(f"Stopped {session.name} (daemon pid {session.pid}).")
    return True
