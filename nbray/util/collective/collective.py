"""``ray.util.collective.collective``, which some programs import as a module."""

from __future__ import annotations

from nbray.collective import *  # noqa: F403
from nbray.collective import __all__ as __all__
