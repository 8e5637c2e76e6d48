"""What comes back by a remembered layout is what unpickling gives, in every respect."""

import copyreg

import numpy as np
import pytest

from nbray.serialization import array_layouts, serializer

BIG = 5000  # elements: the buffer goes out of band


def back(value, times=3):
    """Serialize once, rebuild several times: by pickle first, then by its layout."""
    data = serializer.dumps(value)
    data = data if isinstance(data, bytes) else data.pack()
    return [serializer.loads(data) for _ in range(times)]


@pytest.fixture(autouse=True)
def forget():
    array_layouts._layouts.clear()


@pytest.mark.parametrize(
    "value",
    [
        np.arange(BIG * 1.0),
        np.arange(BIG, dtype=np.int16).reshape(50, 10, 10),
        np.asfortranarray(np.arange(BIG * 1.0).reshape(50, 100)),
        np.arange(BIG, dtype=">i4"),
        np.zeros(BIG, bool),
        np.full(BIG, "text"),
        np.arange(BIG * 1.0)[::-1].copy()[::1],
    ],
    ids=lambda value: f"{value.dtype}-{value.shape}",
)
def test_layouts(value):
    for got in back(value):
        assert type(got) is np.ndarray and got.dtype == value.dtype and got.shape == value.shape
        assert got.strides == value.strides and (got == value).all() and not got.flags.writeable
    assert len(array_layouts._layouts) == 1


class Marked(np.ndarray):
    pass


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(BIG, [("a", int), ("b", float)]),
        np.arange(BIG * 1.0).view(Marked),
        np.ma.masked_array(np.arange(BIG * 1.0)),
        {"inside": np.arange(BIG * 1.0)},
        np.array([], float),
    ],
    ids=["structured", "subclass", "masked", "inside", "empty"],
)
def test_what_is_no_plain_array_is_unpickled(value):
    for got in back(value):
        assert type(got) is type(value)
    assert not array_layouts._layouts


def test_a_pickle_that_makes_something_else_of_the_buffer():
    class Doubled:
        pass

    def make(buffer):
        return np.frombuffer(buffer, float) * 2

    copyreg.pickle(Doubled, lambda _: (make, (__import__("pickle").PickleBuffer(np.ones(BIG)),)))
    try:
        for got in back(Doubled()):
            assert (got == 2).all()
    finally:
        del copyreg.dispatch_table[Doubled]
    assert not array_layouts._layouts


def test_the_number_of_layouts_is_bounded():
    for n in range(array_layouts.MAX_LAYOUTS + 10):
        back(np.zeros(100 + n), 2)
    assert len(array_layouts._layouts) <= array_layouts.MAX_LAYOUTS
