"""Print the public names of the modules of `ray`, with the parameters of what can be called, as JSON.

`python walk.py` walks the Ray that is installed: that is how names_of_ray.json was made, by version 2.60.0.
`python walk.py nbray` walks nbray in its place.
"""

import enum
import importlib
import inspect
import json
import sys
import warnings

MODULES = [
    "ray", "ray.actor", "ray.cluster_utils", "ray.exceptions", "ray.job_config", "ray.job_submission",
    "ray.remote_function", "ray.runtime_context", "ray.runtime_env", "ray.types", "ray.experimental.internal_kv",
    "ray.experimental.tqdm_ray", "ray.util", "ray.util.accelerators", "ray.util.actor_pool", "ray.util.annotations",
    "ray.util.collective", "ray.util.collective.types", "ray.util.dask", "ray.util.debug", "ray.util.helpers", "ray.util.iter",
    "ray.util.joblib", "ray.util.metrics", "ray.util.multiprocessing", "ray.util.placement_group", "ray.util.queue",
    "ray.util.rpdb", "ray.util.scheduling_strategies", "ray.util.serialization", "ray.util.state",
    "ray.util.state.exception", "ray.util.tracing", "ray.dag", "ray.client_builder",
]  # fmt: skip
PRIVATE_TOO = ("ray.experimental.internal_kv",)
ROOTS = ("ray", "nbray")


def parameters(function):
    """Names of the parameters, `=` behind those with a default, `*` before them from where they are by name only."""
    try:
        found = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return None
    stars = {
        inspect.Parameter.VAR_POSITIONAL: "*args ", inspect.Parameter.VAR_KEYWORD: "**",
        inspect.Parameter.KEYWORD_ONLY: "*",
    }  # fmt: skip
    return [
        stars.get(one.kind, "") + one.name + ("=" if one.default is not one.empty else "")
        for one in found
        if not one.name.startswith("_")
    ]


def of_its_own(thing):
    return (getattr(thing, "__module__", None) or "ray").split(".")[0] in ROOTS


def members(cls, inherited=False):
    found = {}
    for name in dir(cls):
        if name.startswith("_"):
            continue
        owner = next((base for base in cls.__mro__ if name in vars(base)), cls)
        if inherited or of_its_own(owner):
            thing = getattr(cls, name)
            found[name] = parameters(thing) if callable(thing) and not inspect.isclass(thing) else None
    return found


def public(module, name):
    """Names of a module: those that it exports, or else those that it defines itself."""
    if hasattr(module, "__all__"):
        return sorted(set(module.__all__))
    found = []
    for key, value in vars(module).items():
        if key.startswith("__") or (key.startswith("_") and name not in PRIVATE_TOO) or inspect.ismodule(value):
            continue
        if (
            key != "TYPE_CHECKING"
            and getattr(value, "__module__", name) == name
            and not type(value).__name__.startswith(("TypeVar", "Logger"))
        ):
            found.append(key)
    return sorted(found)


def walk(name, names=None):
    """Names of one module -> what they are; None when there is no such module."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        return None
    rows = {}
    for key in public(module, name) if names is None else names:
        try:
            thing = getattr(module, key)
        except Exception as error:  # what the Ray at hand cannot load counts as there
            if names is None and not isinstance(error, AttributeError):
                rows[key] = {}
            continue
        if inspect.isclass(thing):
            rows[key] = {"members": members(thing, names is not None)}
            if issubclass(thing, BaseException):
                rows[key]["bases"] = [base.__name__ for base in thing.__mro__[1:] if base is not object]
            elif thing.__init__ is not object.__init__ and not issubclass(thing, enum.Enum):  # Python's, by version
                rows[key]["parameters"] = parameters(thing)
        elif callable(thing):
            rows[key] = {"parameters": parameters(thing)}
        else:
            rows[key] = {}
    return rows


def main():
    warnings.simplefilter("ignore")
    if sys.argv[1:2] != ["nbray"]:
        json.dump({name: walk(name) for name in MODULES}, sys.stdout, indent=1, sort_keys=True)
        return
    import nbray

    nbray.as_ray()
    wanted = json.load(sys.stdin)
    json.dump({name: walk(name, rows) for name, rows in wanted.items() if rows is not None}, sys.stdout)


if __name__ == "__main__":
    main()
