"""``nbray COMMAND``: the command line, and what each command calls.

A command is a function of the parsed arguments that returns an exit code. What goes wrong is
said in one line, with what to do; the code is 1 then, and 2 for a command that is not understood.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from nbray.version import __version__

LISTED = (
    "tasks", "actors", "objects", "nodes", "workers", "jobs", "placement-groups", "runtime-envs", "cluster-events",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    given = _understood(sys.argv[1:] if arguments is None else list(arguments))
    if given.command is None:
        _parser()[0].print_help()
        return 2
    try:
        return _run(given)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:
        if given.debug:
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        print(f"nbray {given.command}: {text}", file=sys.stderr)
        return 1


def _run(given: argparse.Namespace) -> int:
    """Load what the command needs, and no more."""
    command = given.command
    if command in ("start", "stop", "scale"):
        from nbray.cli import clusters  # noqa: PLC0415 - loaded when needed

        return getattr(clusters, command)(given)
    if command in ("clusters", "feed"):
        from nbray.cli import watch  # noqa: PLC0415

        return watch.show_clusters(given) if command == "clusters" else watch.feed(given)
    if command == "doctor":
        from nbray.cli import doctor  # noqa: PLC0415

        return doctor.doctor(given)
    if command == "job":
        from nbray.cli import jobs  # noqa: PLC0415

        return getattr(jobs, given.job_command)(given)
    if command == "debug":
        from nbray.cli import debug  # noqa: PLC0415

        return debug.debug(given)
    if command == "stack":
        from nbray.cli import stacks  # noqa: PLC0415

        return stacks.stack(given)
    from nbray.cli import show  # noqa: PLC0415

    return getattr(show, f"show_{command}")(given)


def _understood(arguments: list[str]) -> argparse.Namespace:
    """Return what the arguments say; ends the program with its usage where they say nothing that there is."""
    parser, commands = _parser()
    command = next((word for word in arguments if not word.startswith("-")), None)
    if command is not None and command not in commands:
        parser.error(f"there is no command {command!r}.{_near(command, commands)} `nbray --help` shows them.")
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        at = commands.get(given.command, parser)
        near = _near(unknown[0].partition("=")[0], at._option_string_actions)
        at.error(f"unrecognized arguments: {' '.join(unknown)}.{near}")
    return given


def _near(word: str, known: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415 - only for who has mistyped

    near = difflib.get_close_matches(word, list(known), 1)
    return f" Did you mean {near[0]}?" if near else ""


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog="nbray", description="Start, stop and look at nbray clusters of this machine.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"nbray {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _clusters(commands)
    _lists(commands)
    _others(commands)
    return parser, commands.choices


def _add(commands: Any, name: str, text: str, *, joins: bool = True, formats: bool = False) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
    if joins:
        command.add_argument(
            "--address", default=None, help="folder or name of the cluster's session; default: the newest"
        )
    if formats:
        command.add_argument("--format", choices=("table", "json"), default="table", help="how to write it")
    return command


# Options of `ray start` for servers and processes that nbray does not have: scripts that give them work here as well.
_OF_RAYS_SERVERS = (
    "--port", "--object-manager-port", "--node-manager-port", "--min-worker-port", "--max-worker-port",
    "--worker-port-list", "--ray-client-server-port", "--include-dashboard", "--dashboard-host", "--dashboard-port",
    "--dashboard-agent-listen-port", "--dashboard-agent-grpc-port", "--runtime-env-agent-port", "--include-log-monitor",
    "--log-style", "--log-color",
)  # fmt: skip
_OF_RAYS_JOBS = ("--verify", "--headers", "--log-style", "--log-color")
_RAYS_SWITCHES = ("--disable-usage-stats", "--verbose", "-v")


def _accept(command: argparse.ArgumentParser, values: Iterable[str], switches: Iterable[str]) -> None:
    """Let a command take options of Ray's, with a value or without, that have no effect."""
    for name in values:
        command.add_argument(name, help=argparse.SUPPRESS)
    command.add_argument(*switches, action="store_true", dest="_no_effect", help=argparse.SUPPRESS)


def _clusters(commands: Any) -> None:
    start = _add(commands, "start", "start a cluster that runs until it is stopped", joins=False)
    start.add_argument("--head", action="store_true", help="as in Ray; there is one node, which is the head")
    start.add_argument("--address", default=None, help=argparse.SUPPRESS)
    start.add_argument("--num-cpus", type=float, help="CPUs that the node offers; default: those of the machine")
    start.add_argument("--num-gpus", type=float, help="GPUs that the node offers")
    start.add_argument("--resources", help="custom resources as JSON: '{\"name\": 2}'")
    start.add_argument("--labels", help="labels of the node: a=b,c=d or JSON")
    start.add_argument("--memory", type=int, help="bytes of memory that tasks may ask for")
    start.add_argument(
        "--object-store-memory", type=int, help="bytes of the object store; default: 30 %% of what is free"
    )
    start.add_argument("--object-spilling-directory", help="folder for objects that have no room in the store")
    start.add_argument("--temp-dir", help="folder in which the session is made")
    start.add_argument(
        "--another", action="store_true", help="also where a cluster that `nbray start` began runs already"
    )
    start.add_argument("--node-ip-address", help="address of this node; default: 127.0.0.1")
    start.add_argument("--node-name", help="name of this node")
    start.add_argument(
        "--metrics-port", type=int, help="export metrics for Prometheus on this port of 127.0.0.1; 0: any"
    )
    start.add_argument("--system-config", help="rows of nbray.config.Limits as JSON")
    start.add_argument("--block", action="store_true", help="stay in the foreground, end the cluster with Ctrl-C")
    start.add_argument("--format", choices=("text", "json"), default="text", help="how to say what was started")
    _accept(start, _OF_RAYS_SERVERS, _RAYS_SWITCHES)
    stop = _add(commands, "stop", "stop the clusters that `nbray start` began")
    stop.add_argument("--temp-dir", help="folder in which the sessions are")
    stop.add_argument("-f", "--force", action="store_true", help="kill at once")
    stop.add_argument(
        "-g", "--grace-period", type=float, default=10.0, help="seconds until what has not ended is killed"
    )
    stop.add_argument("--all", action="store_true", help="also the clusters that belong to a driver")
    _accept(stop, ("--log-style", "--log-color"), ("--verbose", "-v"))

    scale = _add(
        commands, "scale", "change how many CPUs a running cluster offers, and so how many tasks run side by side"
    )
    scale.add_argument("num_cpus", type=int, help="CPUs from now on; what runs goes on")
    clusters = _add(commands, "clusters", "list the clusters of this machine that are yours", joins=False, formats=True)
    clusters.add_argument("--follow", action="store_true", help="go on: a line of JSON whenever something has changed")
    feed = commands.add_parser("feed", description="Write what a cluster does as messages for the panel.")
    feed.add_argument("--address", required=True, help="folder or name of the cluster's session")


_RAYS_ORDERS = {"OBJECT_SIZE": "size", "PID": "holders", "REFERENCE_TYPE": "holders"}


def _add_timeout(command: argparse.ArgumentParser) -> None:
    command.add_argument("--timeout", type=float, default=30, help="seconds that the processes have to answer")


def _lists(commands: Any) -> None:
    status = _add(commands, "status", "show resources, workers and tasks in figures", formats=True)
    _accept(status, (), ("--verbose", "-v"))
    lists = _add(commands, "list", "list tasks, actors, objects ...", formats=True)
    lists.add_argument("resource", choices=LISTED)
    lists.add_argument(
        "-f", "--filter", action="append", default=[], help="column=value or column!=value; may be repeated"
    )
    lists.add_argument("--limit", type=int, default=100, help="most rows")
    lists.add_argument("--detail", action="store_true", help="all columns")
    _add_timeout(lists)
    get = _add(commands, "get", "show one task, actor, object ...", formats=True)
    get.add_argument("resource", choices=LISTED[:7])
    get.add_argument("id")
    _add_timeout(get)
    summary = _add(commands, "summary", "count tasks, actors or objects by kind and state", formats=True)
    summary.add_argument("resource", choices=("tasks", "actors", "objects"))
    _add_timeout(summary)
    memory = _add(commands, "memory", "show who holds what in the object store", formats=True)
    memory.add_argument(
        "--sort-by", choices=("size", "holders"), type=lambda word: _RAYS_ORDERS.get(word.upper(), word), default="size"
    )
    memory.add_argument("-n", "--limit", "--num-entries", type=int, default=50, help="most rows")
    memory.add_argument("--stats-only", action="store_true", help="only the figures of the store")
    _accept(memory, ("--group-by", "--units"), ("--no-format",))
    logs = _add(commands, "logs", "list the logs, or show one", formats=True)
    logs.add_argument("filename", nargs="?", help="name of a log, or a pattern of names; default: list them")
    logs.add_argument("pattern", nargs="?", help=argparse.SUPPRESS)  # of Ray's `logs cluster PATTERN`
    logs.add_argument("--id", help=argparse.SUPPRESS)  # of its `logs actor` and `logs task`
    logs.add_argument("--actor-id", help="the log of this actor")
    logs.add_argument("--task-id", help="what this task printed")
    logs.add_argument("--pid", type=int, help="the log of this worker")
    logs.add_argument("--tail", type=int, default=1000, help="only the last lines; -1: all")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what is written later")
    _accept(logs, ("--timeout", "--node-id", "--node-ip", "--interval", "--encoding-errors"), ("--err",))


def _others(commands: Any) -> None:
    timeline = _add(commands, "timeline", "write the tasks so far as a Chrome trace")
    timeline.add_argument("-o", "--output", help="file to write; default: nbray-timeline-DATE.json")
    stack = _add(commands, "stack", "show what the threads of drivers and workers do now")
    stack.add_argument("--pid", type=int, help="only of this process")
    debug = _add(commands, "debug", "look into a task that waits at a breakpoint, with Python's debugger")
    debug.add_argument("number", nargs="?", type=int, help="which one, where several wait")
    debug.add_argument("--list", action="store_true", help="only say which wait")
    _add(commands, "doctor", "say what is wrong with this machine", joins=False, formats=True)
    job = commands.add_parser("job", help="run scripts as drivers of the running cluster", allow_abbrev=False)
    jobs = job.add_subparsers(dest="job_command", required=True)
    submit = jobs.add_parser("submit", help="run a script or a command, show its output, return its exit code")
    submit.add_argument("--address", default=None, help="folder or name of the cluster's session; default: the newest")
    submit.add_argument(
        "--no-wait", action="store_true", help="return at once, and print the id; `nbray job logs ID` shows the output"
    )
    submit.add_argument("--submission-id", help="a name for the job in lists")
    submit.add_argument("--metadata-json", help="metadata of the job, as JSON")
    submit.add_argument("--runtime-env", metavar="FILE", help="file of YAML with the runtime environment of the job")
    submit.add_argument("--runtime-env-json", help="runtime environment of the job, as JSON")
    submit.add_argument("--working-dir", help="folder to run it in")
    submit.add_argument("--job-id", help=argparse.SUPPRESS)  # its old name in Ray
    for name in ("cpus", "gpus"):
        submit.add_argument(f"--entrypoint-num-{name}", type=float, help=argparse.SUPPRESS)
    submit.add_argument("--entrypoint-memory", type=int, help=argparse.SUPPRESS)
    for name in ("resources", "label-selector"):
        submit.add_argument(f"--entrypoint-{name}", help=argparse.SUPPRESS)
    _accept(submit, _OF_RAYS_JOBS, _RAYS_SWITCHES)
    submit.add_argument("entrypoint", nargs=argparse.REMAINDER, help="script.py and its arguments, or -- and a command")
    for name, text in (
        ("list", "list the jobs that were submitted"), ("status", "show one of them"),
        ("logs", "show what it wrote"), ("stop", "end it"), ("delete", "forget it, once it is over"),
    ):  # fmt: skip
        command = jobs.add_parser(name, help=text)
        command.add_argument(
            "--address", default=None, help="folder or name of the cluster's session; default: the newest"
        )
        _accept(command, _OF_RAYS_JOBS, _RAYS_SWITCHES)
        if name != "list":
            command.add_argument("id")
        if name == "stop":
            command.add_argument("--no-wait", action="store_true", help="do not wait until it has ended")
        if name == "logs":
            command.add_argument("-f", "--follow", action="store_true", help="go on until the job is over")
        if name == "list":
            command.add_argument("--format", choices=("table", "json"), default="table", help="how to write it")


if __name__ == "__main__":
    sys.exit(main())
