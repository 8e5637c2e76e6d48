"""Check the keywords of ``init``: each has an effect, or is refused with the reason.

Pure but for the environment and the addresses of this machine, which it reads.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

from nbray import options as option_table
from nbray.config import RAYS_OWN, Limits
from nbray.core.logging_config import LoggingConfig
from nbray.job_config import JobConfig
from nbray.node import machine
from nbray.node.session_dir import folder, spilling_folder
from nbray.resources import MAX_AMOUNT

JOB_CONFIG_ENV = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # as Ray's job manager gives it
ENV_HOOK = "RAY_RUNTIME_ENV_HOOK"
METRICS_ENV = "NBRAY_METRICS_EXPORT_PORT"
MAX_NAME_CHARS = 1000
MAX_GPUS = 10_000  # of a node: each has a number of its own

# Keywords that Ray has for parts that nbray has not: what they may be, and the reason otherwise.
_REFUSED = {
    "_plasma_directory": "the object store is anonymous memory and lies in no folder",
    "_tracing_startup_hook": "tracing hooks are not carried out",
    "proxy_server_url": "there is no dashboard that could be proxied",
    "allow_multiple": "it belongs to Ray's client mode, which nbray does not have: drivers join a cluster directly",
    "storage": "cluster-wide storage was removed from Ray as well",
}
# Accepted without an effect, because what they ask for is always so, or there is nothing to apply them to.
_NOTHING_TO_DO = {
    "_enable_object_reconstruction", "_redis_username", "_redis_password", "_driver_object_store_memory",
}  # fmt: skip
_ISOLATION = ("cgroup_path", "system_reserved_cpu", "system_reserved_memory")
_LABEL = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")


def check_hidden(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords beyond the documented ones, in their normal form.

    Raises
    ------
    RuntimeError
        For one that Ray does not have either.
    ValueError, TypeError
        For one that nbray cannot carry out, or of a wrong form.
    """
    known = {
        "_memory", "_temp_dir", "_node_ip_address", "_system_config", "_metrics_export_port", "_node_name",
        "_skip_env_hook", "object_spilling_directory", "enable_resource_isolation", *_ISOLATION, *_REFUSED, *_NOTHING_TO_DO,
    }  # fmt: skip
    unknown = sorted(set(given) - known)
    if unknown:
        import difflib  # noqa: PLC0415 - only for who has mistyped

        near = difflib.get_close_matches(
            unknown[0], sorted(known | {"num_cpus", "num_gpus", "resources", "address"}), 1
        )
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise RuntimeError(f"Unknown keyword argument(s): {', '.join(unknown)}.{hint}")
    for name, reason in _REFUSED.items():
        if given.get(name):
            kind = RuntimeError if name in ("allow_multiple", "storage") else ValueError
            raise kind(f"{name}={given[name]!r} is refused: {reason}. Leave it out.")
    if given.get("enable_resource_isolation"):
        raise ValueError(
            "enable_resource_isolation=True is refused: nbray makes no cgroups. Start the program inside one (systemd-run, "
            "a container): nbray keeps to the limits that it finds."
        )
    for name in _ISOLATION:
        if given.get(name) is not None:
            raise ValueError(f"{name} cannot be set when resource isolation is not enabled.")
    found = {name: value for name, value in given.items() if value is not None and name not in _NOTHING_TO_DO}
    for name in (*_REFUSED, *_ISOLATION, "enable_resource_isolation"):
        found.pop(name, None)
    for name in ("_temp_dir", "object_spilling_directory", "_node_name", "_node_ip_address"):
        if name in found and not isinstance(found[name], (str, os.PathLike)):
            raise TypeError(f"{name} is a string, not {type(found[name])}.")
    if "_temp_dir" in found:
        found["_temp_dir"] = folder("_temp_dir", found["_temp_dir"])
    if "_node_ip_address" in found:
        found["_node_ip_address"] = own_address(found["_node_ip_address"])
    if "_metrics_export_port" in found:
        found["_metrics_export_port"] = port("_metrics_export_port", found["_metrics_export_port"])
    config = found.get("_system_config")
    if isinstance(config, Mapping) and "object_spilling_config" in config:
        config = dict(config)
        found.setdefault("object_spilling_directory", spilling_folder(config.pop("object_spilling_config")))
    found["_system_config"] = check_limits(config)
    if "object_spilling_directory" in found:
        found["object_spilling_directory"] = folder("object_spilling_directory", found["object_spilling_directory"])
    return found


def check_limits(value: Any) -> dict[str, float]:
    """Check ``_system_config``: rows of nbray.config.Limits, or what Ray calls them."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"The _system_config must be a dict, not {type(value)}.")
    rows = Limits.rows()
    limits = {}
    for name, amount in value.items():
        meant, meaning = Limits.of_ray(name, amount) or (name, amount)
        if meant in RAYS_OWN:
            continue
        limits[meant] = meaning
        if meant not in rows:
            import difflib  # noqa: PLC0415 - only for who has mistyped

            near = difflib.get_close_matches(str(name), rows, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"_system_config has {name!r}, which is no setting of nbray (most of Ray's have no meaning here).{hint} "
                "The settings are those of nbray.config.Limits."
            )
    return dict(Limits(limits).changed)


def check_threads() -> None:
    """Refuse a process whose threads are greenlets: one that waits in C, as nbray's service thread does, stops all others.

    Raises
    ------
    RuntimeError
        With the call that leaves the threads as they are.
    """
    for module, asked, remedy in (
        ("gevent.monkey", ("is_module_patched", "threading"), "gevent.monkey.patch_all(thread=False)"),
        ("eventlet.patcher", ("is_monkey_patched", "thread"), "eventlet.monkey_patch(thread=False)"),
    ):
        name, part = asked
        if module in sys.modules and getattr(sys.modules[module], name)(part):
            raise RuntimeError(
                f"{module.partition('.')[0]} has made this program's threads into greenlets, so that a wait of nbray would stop "
                f"all of them. Leave the threads as they are: {remedy}."
            )


def own_address(value: str) -> str:
    """Return ``value`` when it is an address of this machine.

    Raises
    ------
    ValueError
        Otherwise, with those that this machine has.
    """
    address = "127.0.0.1" if value == "localhost" else str(value)
    if not machine.has_address(address):
        raise ValueError(f"{value!r} is not an address of this machine; it has {', '.join(machine.addresses())}.")
    return address


def port(name: str, value: Any) -> int:
    """Return a TCP port, checked; 0 means any that is free."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is an int, not {value!r}.")
    if not 0 <= value <= 65535:
        raise ValueError(f"{name}={value} is not a port: give 0 (any that is free) to 65535.")
    return value


def metrics_port(given: int | None) -> int:
    """Return the port at which metrics are exported; -1: they are not."""
    text = os.environ.get(METRICS_ENV, "")
    if given is not None or not text:
        return -1 if given is None else given
    if not text.isdigit():
        raise ValueError(f"{METRICS_ENV}={text!r} is not a port.")
    return port(METRICS_ENV, int(text))


def check_namespace(value: Any) -> str:
    """Return a namespace, checked; empty when there is none."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("namespace must be None or a string.")
    if not value.strip():
        raise ValueError('"" is not a valid namespace. Pass None to not specify a namespace.')
    if len(value) > MAX_NAME_CHARS or "\0" in value:
        raise ValueError(f"A namespace has at most {MAX_NAME_CHARS} characters and no NUL character.")
    return value


def check_labels(value: Any) -> dict[str, str]:
    """Return the labels of a node, checked."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"labels is a dict of str to str, not {type(value)}.")
    for key, text in value.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(f"labels: {key!r}: {text!r} is not a pair of strings.")
        prefix, _, name = key.rpartition("/")
        if not _LABEL.match(name) or (prefix and not all(map(_LABEL.match, prefix.split(".")))):
            raise ValueError(
                f"labels: {key!r} is not a valid name: up to 63 letters, digits, '-', '_' and '.', with a letter or digit "
                "at both ends; a prefix before '/' is a domain name."
            )
        if prefix == "ray.io" or prefix.endswith(".ray.io"):
            raise ValueError(f"labels: names that begin with 'ray.io/' belong to the runtime, as {key!r} does.")
        if text and not _LABEL.match(text):
            raise ValueError(f"labels: {text!r} (of {key!r}) is not a valid value: the same rules as for names.")
    return dict(value)


def check_amounts(num_cpus: Any, num_gpus: Any, resources: Any, memory: Any) -> dict[str, int]:
    """Check and convert the node's resources to units of 1/10,000; absent ones are found out."""
    check = option_table.check("task", {"num_cpus": num_cpus, "num_gpus": num_gpus, "resources": resources})
    found: dict[str, int] = {}
    if check["num_cpus"] is not None:
        found["CPU"] = round(check["num_cpus"] * option_table.UNIT)
    if check["num_gpus"] is not None:
        if check["num_gpus"] != int(check["num_gpus"]):
            raise ValueError(
                f"num_gpus={num_gpus!r}: a node has a whole number of GPUs; a task may ask for a part of one."
            )
        found["GPU"] = round(check["num_gpus"] * option_table.UNIT)
    for name, value in (check["resources"] or {}).items():
        found[name] = round(value * option_table.UNIT)
    if memory is not None:
        if isinstance(memory, bool) or not isinstance(memory, (int, float)) or not 0 <= memory < float("inf"):
            raise ValueError(f"_memory={memory!r} is not a number of bytes.")
        found["memory"] = round(memory) * option_table.UNIT
    for name, units in found.items():
        most = MAX_GPUS if name == "GPU" else MAX_AMOUNT
        if units > most * option_table.UNIT:
            raise ValueError(f"A node has at most {most} of {name}, not {units / option_table.UNIT:g}.")
    return found


def check_store_bytes(value: Any) -> int:
    """Check ``object_store_memory``; 0 means: the default."""
    if value is None:
        return 0
    forms = "give the bytes as an int, for instance 2 * 1024**3"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"object_store_memory={value!r} is not a size; {forms}.")
    if not 0 < value < float("inf") or value != int(value):
        raise ValueError(f"object_store_memory={value!r} is not a whole number of bytes above 0; {forms}.")
    return int(value)


def job_settings(
    job_config: Any, namespace: Any, runtime_env: Any, logging_config: Any, skip_env_hook: bool = False
) -> JobConfig:
    """Return one JobConfig of all that concerns the job; keywords go before ``job_config``.

    A configuration in the environment variable RAY_JOB_CONFIG_JSON_ENV_VAR, as a job submission
    sets it, adds to it. The function that RAY_RUNTIME_ENV_HOOK names (``module.function``) is given
    the runtime_env, and what it returns counts.

    Raises
    ------
    TypeError, ValueError
        For values of a wrong form, or a runtime_env that says the same thing twice.
    """
    if job_config is not None and not isinstance(job_config, JobConfig):
        raise TypeError(f"job_config is a nbray.job_config.JobConfig, not {type(job_config)}.")
    if logging_config is not None and not isinstance(logging_config, LoggingConfig):
        raise TypeError(f"logging_config is a nbray.LoggingConfig, not {type(logging_config)}.")
    job = job_config or JobConfig()
    if os.environ.get(JOB_CONFIG_ENV):
        injected = JobConfig.from_json(json.loads(os.environ[JOB_CONFIG_ENV]))
        job.metadata.update(injected.metadata)
        job._submitted_runtime_env = injected._submitted_runtime_env
        if injected.ray_namespace and not namespace:
            job.ray_namespace = job.ray_namespace or injected.ray_namespace
        if injected.runtime_env:
            both = set(injected.runtime_env) & set(runtime_env or {})
            if both and os.environ.get("RAY_OVERRIDE_JOB_RUNTIME_ENV") != "1":
                raise ValueError(f"runtime_env: {', '.join(sorted(both))} is set by the job submission and by init().")
            runtime_env = {**injected.runtime_env, **(runtime_env or {})}
    hook = os.environ.get(ENV_HOOK)
    if hook and not skip_env_hook:
        module, _, name = hook.rpartition(".")
        if not module:
            raise ValueError(f"{ENV_HOOK}={hook!r} names no function: write module.function.")
        runtime_env = getattr(importlib.import_module(module), name)(runtime_env)
    if namespace is not None:
        job.ray_namespace = check_namespace(namespace)
    elif job.ray_namespace is not None:
        check_namespace(job.ray_namespace)
    if runtime_env:
        job.set_runtime_env(runtime_env)
    if logging_config is not None:
        job.set_py_logging_config(logging_config)
    for key, value in job.metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"metadata of a job maps strings to strings, unlike {key!r}: {value!r}.")
    return job
