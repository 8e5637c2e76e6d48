"""Every public name of Ray 2.60's core is in nbray, with its parameters, or stands here with the reason why not."""

import json
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

HERE = Path(__file__).parent

# What nbray does not have, or has otherwise: pattern of the name -> reason.
_INNER = "Ray's inner matter, which no program can use without Ray's own processes"
_MADE = "made by the runtime only"
_GRAPHS = "compiled graphs are no part of nbray"
_CLIENT = "Ray's client mode: drivers join a cluster directly"
_JOBS = "of Ray's HTTP server for jobs; nbray's jobs are processes and files of this machine"
_JOB_ENV = "of environments that nbray refuses (conda, uv, containers, Java), or of Ray's agent for them"
DIFFERENT = {
    "ray.*ID.redis_shard_hash": _INNER,
    "ray.Object*.redis_shard_hash": _INNER,
    "ray.*ID.of": _INNER,
    "ray.TaskID.for_*": _INNER,
    "ray.client_builder.*": _CLIENT,
    "ray.ObjectRefGenerator": _MADE,
    "ray.Language.value": "an attribute of its members",
    "ray._config": _INNER,
    "ray.widgets": _INNER,
    "ray.workflow": "removed from Ray as well",
    "ray.actor.ActorClass": _MADE,
    "ray.actor.ActorHandle": _MADE,
    "ray.actor.ActorMethod": _MADE,
    "ray.actor.DEFAULT_MAX_CONCURRENCY_ASYNC": _INNER,
    "ray.actor.STREAMING_GENERATOR_RETURN": _INNER,
    "ray.remote_function.*": _MADE,
    "ray.runtime_context.RuntimeContext": _MADE,
    "ray.dag.*": _GRAPHS,
    "ray.cluster_utils.AutoscalingCluster": "nbray has one node",
    "ray.cluster_utils.FAKE_HEAD_NODE_ID": _INNER,
    "ray.cluster_utils.cluster_not_supported": _INNER,
    "ray.exceptions.*.from_bytes": _INNER,
    "ray.exceptions.*.to_bytes": _INNER,
    "ray.exceptions.*.from_ray_exception": _INNER,
    "ray.exceptions.PYTHON": _INNER,
    "ray.exceptions.RAY_EXCEPTION_TYPES": _INNER,
    "ray.exceptions.ObjectReconstructionFailedError.REASON_MESSAGES": _INNER,
    "ray.exceptions.RayTaskError.make_dual_exception_instance": "as_instanceof_cause() does it",
    "ray.experimental.internal_kv._*initialized": _INNER,
    "ray.experimental.internal_kv._pin_runtime_env_uri": _INNER,
    "ray.experimental.internal_kv.*gcs_client": "there is no client of a control store to hand out",
    "ray.experimental.tqdm_ray.*": "inner state of the bars; `n` and `total` are attributes of instances",
    "ray.job_config.JobConfig.ensure_logging_config": _INNER,
    "ray.job_submission.*": _JOBS,
    "ray.runtime_env.RuntimeEnv.*": _JOB_ENV,
    "ray.runtime_env.RuntimeEnvConfig.*": _JOB_ENV,
    "ray.util.connect": _CLIENT,
    "ray.util.disconnect": _CLIENT,
    "ray.util.get_node_instance_id": "instances of clouds",
    "ray.util.iter": "ParallelIterator, deprecated in Ray; use actors and map_unordered",
    "ray.util.ray_debugpy": "no debugger over the network; util.pdb and `nbray debug` are there",
    "ray.util.tracing": "OpenTelemetry is not carried out",
    "ray.util.accelerators.tpu": "no TPUs",
    "ray.util.collective.*_multigpu": "arrays in memory only: refused with the reason, whatever the arguments",
    "ray.util.collective.register_collective_backend": "there is one backend, shared memory",
    "ray.util.collective.types.*": "options of Ray's inner calls",
    "ray.util.dask.*": "Dask's own callbacks and optimizations serve as well",
    "ray.util.debug.Suspect": "Ray's search for leaks in its own tests",
    "ray.util.placement_group.*": _INNER,
    "ray.util.serialization.StandaloneSerializationContext": _INNER,
    "ray.util.state.StateApiClient.get_*": "no HTTP server is asked",
}


def differences(ray, mine):
    """Yield a sentence for each name of Ray that is missing, or has other parameters."""
    for module, rows in ray.items():
        if rows is None:
            continue
        own = mine.get(module)
        if own is None:
            yield module, "no such module"
            continue
        for name, row in rows.items():
            where = f"{module}.{name}"
            if name not in own:
                yield where, "missing"
                continue
            yield from _signature(where, row.get("parameters"), own[name].get("parameters"))
            missing = [base for base in row.get("bases", []) if base not in own[name].get("bases", [])]
            if missing:
                yield where, f"is no {', '.join(missing)}"
            members = own[name].get("members", {})
            for member, parameters in row.get("members", {}).items():
                if member not in members:
                    yield f"{where}.{member}", "missing"
                else:
                    yield from _signature(f"{where}.{member}", parameters, members[member])


def _signature(where, wanted, found):
    if wanted is None or found is None:
        return

    def parts(parameters):
        """Names that go by position, all names, and whether any others are taken."""
        plain = [one.rstrip("=") for one in parameters if not one.startswith("*")]
        by_name = [
            one.strip("*=") for one in parameters if one.startswith("*") and not one.startswith(("**", "*args "))
        ]
        return plain, plain + by_name, any(one.startswith("**") for one in parameters)

    asked, asked_all, _ = parts(wanted)
    names, names_all, takes_more = parts(found)
    missing = [] if takes_more else [one for one in asked_all if one not in names_all]
    if missing:
        yield where, f"does not take {', '.join(missing)}"
    common = [one for one in asked if one in names]
    if common != [one for one in names if one in asked]:
        yield where, f"takes {', '.join(names)} in another order"
    extra = [one.lstrip("*") for one in found if not one.endswith("=") and not one.startswith(("**", "*args "))]
    extra = [one for one in extra if one not in asked_all]
    if extra and not any(one.startswith(("**", "*args ")) for one in wanted):
        yield where, f"needs {', '.join(extra)} as well"


def test_every_public_name_is_there():
    text = (HERE / "names_of_ray.json").read_text()
    done = subprocess.run(
        [sys.executable, str(HERE / "walk.py"), "nbray"], input=text, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = list(differences(json.loads(text), json.loads(done.stdout)))
    unknown = [f"{where}: {what}" for where, what in found if not any(fnmatch(where, known) for known in DIFFERENT)]
    assert not unknown, "\n".join(unknown)
    stale = [known for known in DIFFERENT if not any(fnmatch(where, known) for where, _ in found)]
    assert not stale, f"no difference any more: {stale}"
