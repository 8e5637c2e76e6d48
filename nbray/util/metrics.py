"""Metrics of applications, for Prometheus: ``Counter``, ``Gauge``, ``Histogram``. Mirrors ``ray.util.metrics``.

They appear as ``ray_NAME`` at the endpoint that ``init(_metrics_export_port=...)``, the environment
variable NBRAY_METRICS_EXPORT_PORT or ``nbray start --metrics-port`` asks for; without one of these
they are kept and go nowhere.

Values carry Ray's labels Component, NodeAddress, SessionName and Version, gauges WorkerId too; counters and
histograms are the sums of all processes. A tag of the same name takes a label's place.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any

from nbray.core import metrics

_KEY = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")
_NAME = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")

__all__ = ["Counter", "Gauge", "Histogram", "Metric"]


class Metric:
    """What the three kinds share.

    Parameters
    ----------
    name : str
        Letters, digits, ``_`` and ``:``, which is all that Prometheus takes. Under another name nothing is recorded,
        with a warning, as in Ray.
    description : str
    tag_keys : tuple of str, optional
        Names of the tags that each value carries.

    Raises
    ------
    ValueError
        For an empty name.
    TypeError
        For tag keys that are not a tuple of strings.
    """

    _kind = ""

    def __init__(self, name: str, description: str = "", tag_keys: tuple[str, ...] | None = None) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError("Empty name is not allowed. Please provide a metric name.")
        self._discarded = not _NAME.match(name)
        if self._discarded:
            warnings.warn(
                f"Invalid metric name: {name!r}. A name has letters, digits, '_' and ':' and begins with no digit. Nothing is "
                "recorded under this one.",
                UserWarning,
                stacklevel=3,
            )
        if tag_keys is not None and not isinstance(tag_keys, tuple):
            raise TypeError(f"tag_keys should be a tuple type, got: {type(tag_keys)}")
        for key in tag_keys or ():
            if not isinstance(key, str):
                raise TypeError(f"Tag keys must be str, got {type(key)}.")
            if not _KEY.match(key):
                raise ValueError(f"Invalid tag key {key!r}: letters, digits and '_', with no digit at the beginning.")
        self._name = name
        self._description = description
        self._tag_keys = tuple(tag_keys or ())
        self._default_tags: dict[str, str] = {}
        self._boundaries: tuple[float, ...] = ()

    def set_default_tags(self, default_tags: dict[str, str]) -> Metric:
        """Set the values of tags that a call leaves out; returns the metric."""
        for key, value in default_tags.items():
            if key not in self._tag_keys:
                raise ValueError(f"Unrecognized tag key {key}.")
            if not isinstance(value, str):
                raise TypeError(f"Tag values must be str, got {type(value)}.")
        self._default_tags = dict(default_tags)
        return self

    def _record(self, value: Any, tags: dict[str, str] | None) -> None:
        if not isinstance(value, (int, float)):
            raise TypeError(f"value must be int or float, got {type(value)}.")
        given = {**self._default_tags, **(tags or {})}
        for tag in (tags or {}).values():
            if not isinstance(tag, str):
                raise TypeError(f"Tag values must be str, got {type(tag)}.")
        missing = [key for key in self._tag_keys if key not in given]
        if missing:
            raise ValueError(f"Missing value for tag key(s): {','.join(missing)}.")
        if self._discarded:
            return
        # Tags that are no tag_keys are left out: a metric of Prometheus has the same ones in all its rows.
        metrics.record(
            self._kind, self._name, self._description, self._tag_keys, tuple(given[key] for key in self._tag_keys),
            float(value), self._boundaries,
        )  # fmt: skip

    @property
    def info(self) -> dict[str, Any]:
        """Return ``name``, ``description``, ``tag_keys`` and ``default_tags``."""
        return {
            "name": self._name, "description": self._description, "tag_keys": self._tag_keys,
            "default_tags": self._default_tags,
        }  # fmt: skip

    def __reduce__(self) -> Any:
        return _rebuild, (
            type(self),
            self._name,
            self._description,
            self._tag_keys,
            self._default_tags,
            self._boundaries,
        )


def _rebuild(
    cls: type[Metric],
    name: str,
    description: str,
    keys: tuple[str, ...],
    defaults: dict[str, str],
    boundaries: tuple[float, ...],
) -> Metric:
    metric = cls(name, description, list(boundaries), keys) if cls is Histogram else cls(name, description, keys)
    return metric.set_default_tags(defaults) if defaults else metric


class Counter(Metric):
    """A number that only grows."""

    _kind = metrics.COUNTER

    def inc(self, value: int | float = 1.0, tags: dict[str, str] | None = None) -> None:
        """Add ``value``, which is above zero."""
        if isinstance(value, (int, float)) and value <= 0:
            raise ValueError(f"value must be >0, got {value}")
        self._record(value, tags)


class Gauge(Metric):
    """A number that goes up and down; each process has its own."""

    _kind = metrics.GAUGE

    def set(self, value: int | float | None, tags: dict[str, str] | None = None) -> None:
        """Set the number; None changes nothing."""
        if value is not None:
            self._record(value, tags)


class Histogram(Metric):
    """Counts of values by range.

    Parameters
    ----------
    boundaries : list of float
        Upper ends of the ranges, above zero, in rising order.
    """

    _kind = metrics.HISTOGRAM

    def __init__(
        self,
        name: str,
        description: str = "",
        boundaries: Sequence[float] | None = None,
        tag_keys: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(name, description, tag_keys)
        if not boundaries:
            raise ValueError(
                'boundaries argument should be provided when using the Histogram class. e.g., Histogram("name", boundaries=[1.0, 2.0])'
            )
        for boundary in boundaries:
            if boundary <= 0:
                raise ValueError(
                    f"Invalid `boundaries` argument at value {boundary}. All boundaries should be greater than 0."
                )
        if list(boundaries) != sorted(boundaries):
            raise ValueError(f"Invalid `boundaries` argument {list(boundaries)}: they must rise.")
        self._boundaries = tuple(float(boundary) for boundary in boundaries)

    def observe(self, value: int | float, tags: dict[str, str] | None = None) -> None:
        """Count ``value``."""
        self._record(value, tags)

    @property
    def info(self) -> dict[str, Any]:
        """Return also ``boundaries``."""
        return {**super().info, "boundaries": list(self._boundaries)}
