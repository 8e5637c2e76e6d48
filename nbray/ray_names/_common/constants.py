"""Names of resources that packages compare with."""

from __future__ import annotations

NODE_ID_PREFIX = "node:"
HEAD_NODE_RESOURCE_NAME = "node:__internal_head__"
RAY_WARN_BLOCKING_GET_INSIDE_ASYNC_ENV_VAR = "RAY_WARN_BLOCKING_GET_INSIDE_ASYNC"
