"""Names at the places where Ray keeps them and packages look for them.

``ray.x`` is ``nbray.x``, and where that does not exist ``nbray.ray_names.x``.
"""
