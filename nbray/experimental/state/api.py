"""``ray.util.state`` under its older name."""

from nbray.util.state import *  # noqa: F403
