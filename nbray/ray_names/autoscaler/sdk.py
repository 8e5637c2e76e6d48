"""The functions of Ray's cluster launcher. Each raises ImportError when it is called, but for ``request_resources``.

hydra-ray-launcher, for one, imports this module and uses it only to launch on AWS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbray.api.runtime import is_initialized
from nbray.ray_alias import absent


def _absent(name: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise absent(f"ray.autoscaler.sdk.{name}")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Raise ImportError."
    return function


create_or_update_cluster = _absent("create_or_update_cluster")
teardown_cluster = _absent("teardown_cluster")
run_on_cluster = _absent("run_on_cluster")
rsync = _absent("rsync")
get_head_node_ip = _absent("get_head_node_ip")
get_worker_node_ips = _absent("get_worker_node_ips")


def request_resources(
    num_cpus: int | None = None,
    bundles: list[dict[str, float]] | None = None,
    bundle_label_selectors: list[dict[str, str]] | None = None,
) -> None:
    """Take a hint at what will be wanted; it changes nothing, as in a cluster of Ray's that cannot grow.

    Raises
    ------
    RuntimeError
        There is no cluster yet.
    AssertionError
        ``bundle_label_selectors`` are not as many as ``bundles``.
    """
    if not is_initialized():
        raise RuntimeError("nbray has not been started yet: call init() first.")
    if bundle_label_selectors and len(bundles or []) != len(bundle_label_selectors):
        raise AssertionError("bundle_label_selectors must be as many as bundles")
