"""``JobConfig``: settings of one job, for ``init(job_config=...)``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class JobConfig:
    """Settings of the job that a driver is.

    Parameters
    ----------
    jvm_options : list of str, optional
        Refused when not empty: there are no Java workers.
    code_search_path : list of str, optional
        Folders that workers search for modules before all others.
    runtime_env : dict, optional
        As ``init(runtime_env=...)``, which goes before this.
    metadata : dict of str to str, optional
        Shown by ``list_jobs``.
    ray_namespace : str, optional
        As ``init(namespace=...)``, which goes before this.
    default_actor_lifetime : {"non_detached", "detached"}
        Lifetime of actors that do not say theirs.

    Raises
    ------
    TypeError, ValueError
        For values of another form.
    """

    def __init__(
        self, jvm_options: list[str] | None = None, code_search_path: list[str] | None = None,
        runtime_env: Any = None, _client_job: bool = False, metadata: dict[str, str] | None = None,
        ray_namespace: str | None = None, default_actor_lifetime: str = "non_detached",
        _py_driver_sys_path: list[str] | None = None, **others: Any,
    ) -> None:  # fmt: skip
        if jvm_options:
            raise ValueError("jvm_options: nbray has no Java workers; leave it out.")
        if code_search_path is not None and not isinstance(code_search_path, (list, tuple)):
            raise TypeError(f"code_search_path is a list of folders, not {type(code_search_path)}.")
        unknown = set(others) - {"_disable_job_level_lineage_reconstruction"}
        if unknown:
            raise TypeError(f"JobConfig got an unexpected keyword argument {sorted(unknown)[0]!r}")
        self.jvm_options: list[str] = []
        self.code_search_path = list(code_search_path or [])
        self.metadata = dict(metadata or {})
        self.ray_namespace = ray_namespace
        self.runtime_env: Any = None
        self.set_runtime_env(runtime_env)
        self.set_default_actor_lifetime(default_actor_lifetime)
        self._py_driver_sys_path = list(_py_driver_sys_path or [])
        self.py_logging_config: Any = None
        self._submitted_runtime_env: dict[str, Any] = {}  # of a job that was submitted: whole, for lists

    def set_metadata(self, key: str, value: str) -> None:
        """Add one entry to the metadata."""
        self.metadata[key] = value

    def set_runtime_env(self, runtime_env: Any, validate: bool = False) -> None:
        """Set the job's runtime environment."""
        if runtime_env is not None and not isinstance(runtime_env, Mapping):
            raise TypeError(f"runtime_env must be a dict, not {type(runtime_env)}.")
        self.runtime_env = dict(runtime_env) if runtime_env else None

    def set_ray_namespace(self, ray_namespace: str) -> None:
        """Set the job's namespace."""
        self.ray_namespace = ray_namespace

    def set_default_actor_lifetime(self, default_actor_lifetime: str) -> None:
        """Set the lifetime of actors that do not say theirs."""
        if default_actor_lifetime not in ("detached", "non_detached"):
            raise ValueError(f"default_actor_lifetime is 'detached' or 'non_detached', not {default_actor_lifetime!r}.")
        self._default_actor_lifetime = default_actor_lifetime

    @property
    def default_actor_lifetime(self) -> str:
        """The lifetime of actors that do not say theirs."""
        return self._default_actor_lifetime

    def set_py_logging_config(self, logging_config: Any = None) -> None:
        """Set how the job's workers log."""
        self.py_logging_config = logging_config

    @classmethod
    def from_json(cls, job_config_json: str | Mapping[str, Any]) -> JobConfig:
        """Make one from JSON text or a mapping, as the command line gives it."""
        fields: Mapping[str, Any] = json.loads(job_config_json) if isinstance(job_config_json, str) else job_config_json
        config = cls(
            code_search_path=fields.get("code_search_path"),
            runtime_env=fields.get("runtime_env"),
            metadata=fields.get("metadata"),
            ray_namespace=fields.get("ray_namespace"),
            default_actor_lifetime=fields.get("default_actor_lifetime", "non_detached"),
        )
        config._submitted_runtime_env = dict(fields.get("submitted_runtime_env") or {})
        return config
