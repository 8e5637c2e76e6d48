"""How the processes of a job log: ``LoggingConfig``, its formats, the logger of nbray itself."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import Any

from nbray import ids
from nbray.core import current

ENCODINGS = ("TEXT", "JSON")
_PLAIN = logging.makeLogRecord({})
STANDARD_ATTRIBUTES = frozenset([*vars(_PLAIN), "asctime", "message"])
DEFAULT_FORMAT = "%(asctime)s\t%(levelname)s %(filename)s:%(lineno)s -- %(message)s"
LOGGER = logging.getLogger("nbray")


@dataclass
class LoggingConfig:
    """How the root loggers of a driver and of its job's workers write.

    Parameters
    ----------
    encoding : {"TEXT", "JSON"}
    log_level : str
        Name of the level from which on records are written.
    additional_log_standard_attrs : list of str
        Attributes of ``logging.LogRecord`` that are written too.

    Raises
    ------
    ValueError
        For an encoding or an attribute that there is not.
    """

    encoding: str = "TEXT"
    log_level: str = "INFO"
    additional_log_standard_attrs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise ValueError(f"Invalid encoding type: {self.encoding}. Valid encoding types are: {list(ENCODINGS)}")
        for name in self.additional_log_standard_attrs:
            if name not in STANDARD_ATTRIBUTES:
                raise ValueError(
                    f"Unknown python logging standard attribute: {name}. The valid attributes are: "
                    f"{sorted(STANDARD_ATTRIBUTES)}"
                )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict."""
        return {
            "encoding": self.encoding,
            "log_level": self.log_level,
            "additional_log_standard_attrs": list(self.additional_log_standard_attrs),
        }

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> LoggingConfig:
        """Make one from such a dict; fields that are not known are left out."""
        known = ("encoding", "log_level", "additional_log_standard_attrs")
        return cls(**{name: d[name] for name in known if name in d})

    def apply(self) -> None:
        """Have this process's root logger write so; an earlier application is replaced."""
        handler = logging.StreamHandler()
        handler.setLevel(self.log_level)
        handler.setFormatter(_Formatter(self.encoding, self.additional_log_standard_attrs))
        handler.set_name(_HANDLER)
        root = logging.getLogger()
        _drop_handler(root)
        root.setLevel(self.log_level)
        root.addHandler(handler)
        _drop_handler(LOGGER)  # its records go up to the root's

    _apply = apply  # Ray's name


_HANDLER = "nbray"


class _Formatter(logging.Formatter):
    """Writes a record with the ids of what runs: as text with key=value, or as a line of JSON."""

    def __init__(self, encoding: str, attributes: list[str]) -> None:
        super().__init__()
        self._json = encoding == "JSON"
        self._attributes = attributes

    def format(self, record: logging.LogRecord) -> str:
        shown: dict[str, Any] = {
            "asctime": self.formatTime(record),
            "levelname": record.levelname,
            "message": record.getMessage(),
            "filename": record.filename,
            "lineno": record.lineno,
            "process": record.process,
        }
        shown.update(_where())
        for name in self._attributes:
            shown[name] = getattr(record, name, shown.get(name))
        for name, value in vars(record).items():  # what the caller gave as ``extra``
            if name not in STANDARD_ATTRIBUTES and name not in shown:
                shown[name] = value
        shown["timestamp_ns"] = int(record.created * 1e9)
        error = self.formatException(record.exc_info) if record.exc_info else record.exc_text
        if self._json:
            if error:
                shown["exc_text"] = error
            return json.dumps(shown, default=str)
        head = ("asctime", "levelname", "filename", "lineno", "message")
        if "process" not in self._attributes:
            del shown["process"]
        rest = " ".join(f"{name}={value}" for name, value in shown.items() if name not in head)
        text = f"{shown['asctime']}\t{shown['levelname']} {shown['filename']}:{shown['lineno']} -- {shown['message']} {rest}"
        return f"{text}\n{error}" if error else text


def _where() -> dict[str, str]:
    """Return the ids of the job, node, worker, task and actor that log."""
    core = current.core
    if core is None or isinstance(core, current.ForkedCore):
        return {}
    found = {
        "job_id": ids.JobID.from_int(core.job_id).hex(),
        "worker_id": ids.worker_id(core.peer),
        "node_id": core.node_id,
    }
    executor = getattr(core, "executor", None)
    if executor is not None:
        owner, number, name = executor.running()
        if not number:
            return found
        found["task_id"] = ids.task_id(owner, number, core.cluster_id).hex()
        found["task_name"] = name
        found["task_func_name"] = executor.function_name()
        if executor.actor_id:
            found["actor_id"] = executor.actor_id
            if name_of_actor := executor.actor_spec["options"].get("name"):
                found["actor_name"] = name_of_actor
    return found


def configure_driver(level: Any, text_format: str | None) -> None:
    """Have the logger of nbray write to standard error, from ``level`` on (a number or a name)."""
    if isinstance(level, str):
        level = level.upper()
    LOGGER.setLevel(level)
    _drop_handler(LOGGER)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(text_format or DEFAULT_FORMAT))
    handler.set_name(_HANDLER)
    LOGGER.addHandler(handler)
    LOGGER.propagate = False


def leave_alone() -> None:
    """Take nbray's own handler away: the program configures logging itself."""
    _drop_handler(LOGGER)
    LOGGER.propagate = True


def _drop_handler(logger: logging.Logger) -> None:
    for handler in list(logger.handlers):
        if handler.get_name() == _HANDLER:
            logger.removeHandler(handler)
