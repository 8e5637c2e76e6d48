"""First code of a daemon's interpreter, run by its path; then ``nbray.node.main`` takes over.

It makes the package ``nbray`` known without running its ``__init__``, which loads all that
users call. The daemon needs none of that and is ready much sooner; the zygote makes it up
(``finish_package``) while the driver goes on.
"""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from os.path import abspath, basename, dirname

DEFERRED = "_init_deferred"  # set on the package while its __init__ has not run


def defer_package() -> None:
    """Put an empty package ``nbray`` in place whose modules can be imported."""
    folder = dirname(dirname(abspath(__file__)))
    parent = dirname(folder)
    # The first entry is this script's folder: its modules must not hide others'.
    sys.path[:1] = [] if basename(parent) in ("site-packages", "dist-packages") else [parent]
    spec = spec_from_file_location("nbray", f"{folder}/__init__.py", submodule_search_locations=[folder])
    assert spec is not None
    package = module_from_spec(spec)
    setattr(package, DEFERRED, True)
    sys.modules["nbray"] = package


def finish_package() -> None:
    """Run the package's ``__init__`` if that was deferred."""
    package = sys.modules["nbray"]
    if package.__dict__.pop(DEFERRED, False):
        assert package.__spec__ is not None and package.__spec__.loader is not None
        package.__spec__.loader.exec_module(package)


if __name__ == "__main__":
    defer_package()
    from nbray.node.main import main

    main(int(sys.argv[1]), int(sys.argv[2]))
