"""Where Ray had the lists of state before they moved to ``ray.util.state``."""
