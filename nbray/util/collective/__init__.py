"""``ray.util.collective``: see ``nbray.collective``, of which this is the other name."""

from __future__ import annotations

from nbray.collective import *  # noqa: F403
from nbray.collective import __all__ as __all__
