"""Names of the module ``ray`` that programs mention and nbray has no use for; found there when they are asked for."""

from __future__ import annotations

import enum
import logging
from typing import Any, NoReturn

from nbray.ids import ActorClassID, ClusterID, FunctionID, UniqueID
from nbray.ray_names.client_builder import ClientBuilder, client

SCRIPT_MODE, WORKER_MODE, SPILL_WORKER_MODE, RESTORE_WORKER_MODE = 0, 1, 2, 3

#: Programs take it for their own messages, too.
logger = logging.getLogger("ray")


class Language(enum.Enum):
    """Languages of tasks; nbray runs Python."""

    PYTHON = 0
    JAVA = 1
    CPP = 2


def _other_language(*args: Any, **kwargs: Any) -> NoReturn:
    raise NotImplementedError("nbray runs Python alone: there are no functions and classes in Java or C++.")


java_function = java_actor_class = cpp_function = _other_language

__all__ = [
    "ActorClassID",
    "ClientBuilder",
    "ClusterID",
    "FunctionID",
    "Language",
    "RESTORE_WORKER_MODE",
    "SCRIPT_MODE",
    "SPILL_WORKER_MODE",
    "UniqueID",
    "WORKER_MODE",
    "client",
    "cpp_function",
    "java_actor_class",
    "java_function",
    "logger",
]
