"""Rows 1 and 2: arguments and results that cannot be pickled."""

import collections
import functools
import pickle
import socket
import threading

import numpy as np
import pytest


class Model:
    def __init__(self, lock):
        self.weights = [1.0, 2.0]
        self.lock = lock


class Holder:
    def __init__(self, model):
        self.model = model


@pytest.fixture(params=["lock", "socket", "generator", "file", "file to read"])
def offender(request, tmp_path):
    """Something that no pickle can hold, with a word of its type."""
    if request.param == "lock":
        yield threading.Lock(), "lock"
    elif request.param == "socket":
        with socket.socket() as opened:
            yield opened, "socket"
    elif request.param == "generator":
        yield (i for i in range(3)), "generator"
    else:
        (tmp_path / "file").write_text("its text, which is not the file")
        with open(tmp_path / "file", "r" if "read" in request.param else "w") as opened:
            yield opened, "TextIOWrapper"


def refused(error, ray, path, kind):
    assert isinstance(error, TypeError)
    assert isinstance(error, ray.exceptions.SerializationError)
    text = str(error)
    assert path in text, text
    assert kind in text, text
    assert "inside the task" in text, text


def test_row_1_the_argument_itself(ray, offender):
    thing, kind = offender

    @ray.remote
    def f(a, b=None):
        return a

    with pytest.raises(TypeError) as caught:
        f.remote(1, thing)
    refused(caught.value, ray, "args[1]", kind)


@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda x: Holder(Model(x)), "args[1].model.lock"),
        (lambda x: {"key": [0, x]}, "args[1]['key'][1]"),
        (lambda x: [Holder({"m": Model(x)})], "args[1][0].model['m'].lock"),
        (lambda x: lambda: x, "args[1]"),
        (lambda x: functools.partial(print, 1, end=Model(x)), "args[1].keywords['end'].lock"),
        (lambda x: collections.deque([0, Model(x)]), "args[1][1].lock"),
        (lambda x: np.array([[0, Model(x)]], dtype=object), "args[1][0, 1].lock"),
    ],
    ids=["attributes", "containers", "both", "closure", "partial", "deque", "array"],
)
def test_row_1_deep_inside(ray, offender, wrap, path):
    thing, kind = offender

    @ray.remote
    def f(a, b):
        return a

    with pytest.raises(TypeError) as caught:
        f.remote(1, wrap(thing))
    refused(caught.value, ray, path, kind)


def test_row_1_a_keyword_argument(ray, offender):
    thing, kind = offender

    @ray.remote
    def f(model=None):
        return model

    with pytest.raises(TypeError) as caught:
        f.remote(model=Model(thing))
    refused(caught.value, ray, "model", kind)
    assert ".lock" in str(caught.value)


def test_row_1_an_argument_of_an_actor(ray, offender):
    thing, kind = offender

    @ray.remote
    class A:
        def __init__(self, x=None):
            pass

        def method(self, x):
            return 1

    with pytest.raises(TypeError) as caught:
        A.remote(Model(thing))
    refused(caught.value, ray, "args[0].lock", kind)
    actor = A.remote()
    with pytest.raises(TypeError) as caught:
        actor.method.remote(Model(thing))
    refused(caught.value, ray, "args[0].lock", kind)
    assert ray.get(actor.method.remote(1)) == 1


def test_row_1_put(ray, offender):
    thing, kind = offender
    with pytest.raises(TypeError) as caught:
        ray.put([Model(thing)])
    assert "[0].lock" in str(caught.value)
    assert kind in str(caught.value)


def test_row_2_a_result(ray):
    @ray.remote
    def makes_a_model():
        return {"model": Model(threading.Lock())}

    with pytest.raises(TypeError) as caught:
        ray.get(makes_a_model.remote())
    assert isinstance(caught.value, ray.exceptions.RayTaskError)
    text = str(caught.value)
    for words in ("makes_a_model", "['model'].lock", "lock", ray.get_runtime_context().get_node_id()[:8]):
        assert words in text, text


def test_row_2_a_result_of_a_method(ray):
    @ray.remote
    class A:
        def generator(self):
            yield 1

        def result(self):
            return [self.generator()]

        def fine(self):
            return 1

    actor = A.remote()
    with pytest.raises(TypeError, match="generator"):
        ray.get(actor.result.remote())
    assert ray.get(actor.fine.remote()) == 1


def test_row_2_one_of_several_results(ray):
    @ray.remote(num_returns=2)
    def f():
        return 1, threading.Lock()

    refs = f.remote()
    with pytest.raises(TypeError, match="lock"):
        ray.get(refs[1])


class Told:
    """Says itself why it is not picklable; nothing in it is to blame."""

    def __init__(self):
        self.lock = threading.Lock()

    def __reduce__(self):
        raise TypeError("hand on its path")


class WithoutState(Told):
    __reduce__ = object.__reduce__

    def __getstate__(self):
        raise LookupError("no state yet")


class PassesOn(Told):
    def __reduce__(self):
        return PassesOn, (pickle.dumps(self.lock),)


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (Told, "args[0]['m'] (Told): hand on its path"),
        (WithoutState, "args[0]['m'] (WithoutState): LookupError: no state yet"),
        (PassesOn, "args[0]['m'].lock: lock cannot be pickled"),
    ],
)
def test_row_1_an_object_that_refuses(ray, cls, words):
    @ray.remote
    def f(a):
        return a

    with pytest.raises(TypeError) as caught:
        f.remote({"m": cls()})
    assert words in str(caught.value)


def test_row_1_a_generator_of_refs(ray):
    @ray.remote
    def numbers():
        yield 1

    @ray.remote
    def f(a):
        return a

    made = numbers.remote()
    with pytest.raises(TypeError, match="Pass the refs that it yields") as caught:
        f.remote(made)
    assert "args[0] (ObjectRefGenerator)" in str(caught.value)
    assert ray.get(f.remote(list(made))) is not None
