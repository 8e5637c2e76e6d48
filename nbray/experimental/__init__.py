"""Mirrors ``ray.experimental``: what there is of it."""
