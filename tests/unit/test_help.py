"""What ``help`` says to a person who asks it first."""

import inspect
import re

import nbray
from nbray import options


def test_remote_explains_each_option():
    named = re.findall(r"^(\w[\w, ]*?)(?: :|$)", inspect.getdoc(nbray.remote), re.MULTILINE)
    explained = {name for line in named for name in line.split(", ")}
    wanted = {name for kind in ("task", "actor") for name in options.names(kind) if not name.startswith("_")}
    assert wanted - explained == set()
