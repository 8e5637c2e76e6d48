"""Views of arrays are made again as views, whatever the array holds and however it lies in memory."""

import numpy
import pytest

from nbray.notebook.array_views import owners, reduce_view


@pytest.mark.parametrize(
    "dtype", ["f8", "f2", "g", "c16", ">f8", "?", "M8[ns]", "m8[s]", "S3", "U3", "V5", [("a", "i4"), ("b", "f8")]]
)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (4,), (3, 2), (0,), (0, 3)])
def test_a_view_is_made_again(shape, order, dtype):
    array = numpy.zeros(shape, dtype, order=order)
    views = [array[...]]
    if shape:
        views += [array[:1], array[1:], array[::-1], array.T]
    for view in views:
        make, arguments = reduce_view(view, owners([array]))
        again = make(*arguments)
        assert (again.shape, again.dtype, again.strides) == (view.shape, view.dtype, view.strides)
        assert not view.size or numpy.shares_memory(again, array)
    array.flags.writeable = False
    make, arguments = reduce_view(array[...], owners([array]))
    assert not make(*arguments).flags.writeable


def test_what_is_no_view_of_an_input():
    array, other = numpy.zeros(3), numpy.zeros(3)
    assert reduce_view(array, owners([array])) is None
    assert reduce_view(other[:1], owners([array])) is None
    assert reduce_view(numpy.array([None, 1])[:1], owners([array])) is None
