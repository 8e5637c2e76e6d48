"""Constants that packages take from Ray's inner modules: names of environment variables, defaults, limits."""

from __future__ import annotations

import os

from nbray.ray_names._common.utils import env_bool, env_float, env_integer


def env_set_by_user(key: str) -> bool:
    """Tell whether an environment variable is set."""
    return key in os.environ


# Environment variables.
RAY_ADDRESS_ENVIRONMENT_VARIABLE = "RAY_ADDRESS"
RAY_API_SERVER_ADDRESS_ENVIRONMENT_VARIABLE = "RAY_API_SERVER_ADDRESS"
RAY_NAMESPACE_ENVIRONMENT_VARIABLE = "RAY_NAMESPACE"
RAY_RUNTIME_ENV_ENVIRONMENT_VARIABLE = "RAY_RUNTIME_ENV"
RESOURCES_ENVIRONMENT_VARIABLE = "RAY_OVERRIDE_RESOURCES"
LABELS_ENVIRONMENT_VARIABLE = "RAY_OVERRIDE_LABELS"
WORKER_PROCESS_SETUP_HOOK_ENV_VAR = "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR"

# Messages, of the program and of workers.
LOGGER_FORMAT = "%(asctime)s\t%(levelname)s %(filename)s:%(lineno)s -- %(message)s"
LOGGER_LEVEL = "info"
LOGGER_LEVEL_CHOICES = ["debug", "info", "warning", "error", "critical"]
RAY_LOG_TO_DRIVER = env_bool("RAY_LOG_TO_DRIVER", True)
RAY_DEDUP_LOGS = env_bool("RAY_DEDUP_LOGS", True)
RAY_DEDUP_LOGS_AGG_WINDOW_S = env_integer("RAY_DEDUP_LOGS_AGG_WINDOW_S", 5)
LOG_PREFIX_ACTOR_NAME = ":actor_name:"
LOG_PREFIX_TASK_NAME = ":task_name:"

# Tasks and actors.
DEFAULT_TASK_MAX_RETRIES = 3
DEFAULT_ACTOR_METHOD_NUM_RETURN_VALS = 1
DEFAULT_ACTOR_METHOD_CPU_SIMPLE = 1
DEFAULT_ACTOR_METHOD_CPU_SPECIFIED = 0
DEFAULT_ACTOR_CREATION_CPU_SIMPLE = 0
DEFAULT_ACTOR_CREATION_CPU_SPECIFIED = 1
DEFAULT_MAX_CONCURRENCY_THREADED = 1
DEFAULT_MAX_CONCURRENCY_ASYNC = 1000
MAX_INT64_VALUE = 9223372036854775807

# Objects, functions and resources.
ID_SIZE = 28
FUNCTION_SIZE_WARN_THRESHOLD = 10_000_000
FUNCTION_SIZE_ERROR_THRESHOLD = env_integer("FUNCTION_SIZE_ERROR_THRESHOLD", 100_000_000)
DEFAULT_OBJECT_STORE_MEMORY_PROPORTION = 0.3
DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES = 200 * 10**9
OBJECT_STORE_MINIMUM_MEMORY_BYTES = 75 * 1024 * 1024
MAX_RESOURCE_QUANTITY = 1e14
MIN_RESOURCE_GRANULARITY = 0.0001
GPU = "GPU"
DEFAULT_RESOURCES = {"CPU", "GPU", "memory", "object_store_memory"}
RAY_DEFAULT_LABEL_KEYS_PREFIX = "ray.io/"

# Ports of Ray's servers, of which nbray has none.
DEFAULT_PORT = 6379
DEFAULT_DASHBOARD_PORT = 8265
DEFAULT_DASHBOARD_AGENT_LISTEN_PORT = 52365
REDIS_DEFAULT_PASSWORD = ""
REDIS_DEFAULT_USERNAME = ""

SESSION_LATEST = "session_latest"
IS_WINDOWS_OR_OSX = False

__all__ = [name for name in dir() if name.isupper()] + ["env_bool", "env_float", "env_integer", "env_set_by_user"]
