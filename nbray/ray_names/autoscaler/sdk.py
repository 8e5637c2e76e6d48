"""The functions of Ray's cluster launcher. Each raises ImportError when it is called.

hydra-ray-launcher, for one, imports this module and uses it only to launch on AWS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
request_resources = _absent("request_resources")
