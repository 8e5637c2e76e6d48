"""The layers of nbray, top to bottom. `nbray/ARCHITECTURE.md` says why they are so."""

from __future__ import annotations

# One line per layer: its name, and what is in it (a module, or a package with all below it). A longer name wins.
LAYERS: list[tuple[str, list[str]]] = [
    ("front", ["nbray.notebook", "nbray.cli", "nbray.__main__"]),
    (
        "api",
        [
            "nbray",
            "nbray.api",
            "nbray.collective",
            "nbray.util",
            "nbray.experimental",
            "nbray.actor",
            "nbray.remote_function",
            "nbray.job_config",
            "nbray.job_submission",
            "nbray.ray_names",
        ],
    ),
    ("processes", ["nbray.worker", "nbray.node", "nbray.control.service"]),
    ("library", ["nbray.core"]),
    ("decisions", ["nbray.scheduling", "nbray.control", "nbray.ownership"]),
    ("carriers", ["nbray.wire", "nbray.store", "nbray.serialization", "nbray._cstore"]),
    ("record", ["nbray.events"]),
    (
        "vocabulary",
        [
            "nbray.ids",
            "nbray.exceptions",
            "nbray.notes",
            "nbray.wrong_input",
            "nbray.config",
            "nbray.clock",
            "nbray.options",
            "nbray.placement",
            "nbray.runtime_env",
            "nbray.resources",
            "nbray.task_spec",
            "nbray.object_ref",
            "nbray.object_ref_generator",
            "nbray.cluster_info",
            "nbray.session_layout",
            "nbray.ray_alias",
            "nbray.version",
        ],
    ),
]

# The Jupyter server's side is no part of the cluster: it may know the vocabulary and the carriers.
SERVER_SIDE = "nbray_ext"
SERVER_SIDE_MAY_IMPORT = {"vocabulary", "record", "carriers"}

# Decisions are pure: an event in, effects out. A module of these may import from outside nbray only what knows of no file,
# process, clock or chance.
PURE = ["nbray.scheduling", "nbray.control", "nbray.events"]
PURE_MAY_IMPORT = {
    "__future__", "abc", "array", "bisect", "collections", "dataclasses", "difflib", "enum", "functools", "heapq", "itertools", "math",
    "msgspec", "operator", "re", "struct", "typing",
}  # fmt: skip

# Started by command line or by IPython: what these run may be imported late.
ENTRY_POINTS = {
    "nbray",  # load_ipython_extension; a plain `import nbray` must not bring the notebook along
    "nbray.notebook",  # the same
    "nbray.cli.main",  # loads what the command needs, and no more
    "nbray.node.boot",  # the command line of a node daemon
    "nbray.node.__main__",
    "nbray.worker.__main__",
    "nbray.control.__main__",
}

# Imported in the function that needs them, since what they import takes time at every start and few need it.
LOADED_LATE = {
    "nbray.core.packages",  # zipfile, shutil, pathspec: for runtime environments with files
    "nbray.api.node_ahead",  # the same
    "nbray.api.driver",  # and with it ZeroMQ and the runtime, half of what `import nbray` would take: with the cluster
    "nbray.notebook.cluster_pages",  # all of the library and of the lists of state, a quarter of what %load_ext would take
    "nbray.core.actor_calls",
    "nbray.core.core_worker",
    "nbray.core.joining",
    "nbray.worker.debugger",  # pdb, 20 ms
    "nbray.worker.async_calls",  # asyncio, 40 ms: for actors with coroutines
}

# Sockets of ZeroMQ belong to the wire. The library has one, to its node daemon.
MAY_IMPORT_ZMQ = ("nbray.wire", "nbray.core.control_client")


def layer_of(module: str) -> str | None:
    """The layer of a module of nbray; None when the table does not name it."""
    best: tuple[int, str] | None = None
    for layer, members in LAYERS:
        for member in members:
            inside = module == member or (module.startswith(member + ".") and member != "nbray")
            if inside and (best is None or len(member) > best[0]):
                best = (len(member), layer)
    return best[1] if best else None


def depth(layer: str) -> int:
    """0 for the top layer."""
    return [name for name, _ in LAYERS].index(layer)


def is_pure(module: str) -> bool:
    """Whether a module is part of the decisions."""
    return any(module == name or module.startswith(name + ".") for name in PURE)
