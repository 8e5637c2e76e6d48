"""What can go to a task and come back: code by value, data as it was."""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import re
import uuid

import numpy as np
import pytest

MIB = 2**20


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


@dataclasses.dataclass
class Point:
    x: int
    y: list = dataclasses.field(default_factory=list)


Pair = collections.namedtuple("Pair", ["a", "b"])


class Stateful:
    def __init__(self, value):
        self.value = value
        self.derived = value * 2

    def __getstate__(self):
        return {"value": self.value}

    def __setstate__(self, state):
        self.__init__(state["value"])

    def __eq__(self, other):
        return self.value == other.value and self.derived == other.derived

    __hash__ = None


@pytest.fixture(scope="module")
def echo(ray):
    @ray.remote
    def echo(x):
        return x

    return echo


VALUES = [
    None,
    True,
    10**100,
    -1,
    0.1,
    float("inf"),
    1 + 2j,
    "text",
    "\u00e9\u4e2d\U0001f600",
    "x" * MIB,
    b"bytes",
    b"x" * MIB,
    [1, [2]],
    (1, (2,)),
    {"a": {"b": 1}},
    {1, 2},
    frozenset([1]),
    range(3),
    slice(1, 2, 3),
    Ellipsis,
    NotImplemented,
    int,
    Colour.GREEN,
    Point(1, [2]),
    Pair(1, 2),
    Stateful(3),
    collections.OrderedDict(a=1),
    collections.defaultdict(list, {"a": [1]}),
    collections.Counter("hello"),
    collections.deque([1, 2], maxlen=3),
    datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc),
    datetime.timedelta(seconds=1),
    decimal.Decimal("1.10"),
    fractions.Fraction(1, 3),
    pathlib.Path("some/path"),
    uuid.UUID(int=5),
    re.compile("a+"),
    np.float32(1.5),
    np.int64(3),
    np.bool_(True),
    np.dtype("f4"),
    list(range(10_000)),
    {str(i): i for i in range(1000)},
]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: f"{type(v).__name__} {v!r:.20}")
def test_values(ray, echo, value):
    for result in (ray.get(echo.remote(value)), ray.get(ray.put(value)), ray.get(echo.remote(ray.put(value)))):
        assert result == value
        assert type(result) is type(value)


def test_nan(ray, echo):
    result = ray.get(echo.remote(float("nan")))
    assert result != result


@pytest.mark.parametrize("size", [0, 1, 100, 100_000, 5 * MIB])
def test_arrays_of_all_sizes(ray, echo, size):
    array = np.arange(size, dtype=np.uint8)
    result = ray.get(echo.remote(array))
    assert result.dtype == array.dtype
    assert (result == array).all()


@pytest.mark.parametrize("size", [0, 1, 1000, 5 * MIB])
def test_bytes_of_all_sizes(ray, echo, size):
    data = b"\x00\xff"[:1] * size
    assert ray.get(echo.remote(data)) == data


def test_arrays_inside_containers(ray, echo):
    value = {"list": [np.arange(10), np.ones(MIB)], "tuple": (np.zeros((3, 4)),), "text": "t"}
    result = ray.get(echo.remote(value))
    assert (result["list"][0] == value["list"][0]).all()
    assert (result["list"][1] == 1).all()
    assert result["tuple"][0].shape == (3, 4)
    assert result["text"] == "t"


def test_arrays_of_objects(ray, echo):
    array = np.array([None, "a", [1], {"b": 2}], dtype=object)
    assert ray.get(echo.remote(array)).tolist() == array.tolist()


def test_an_array_subclass(ray, echo):
    masked = np.ma.array([1, 2, 3], mask=[0, 1, 0])
    result = ray.get(echo.remote(masked))
    assert result.tolist() == [1, None, 3]


def test_a_random_generator(ray, echo):
    generator = np.random.default_rng(5)
    expected = np.random.default_rng(5).random(3)
    assert (ray.get(echo.remote(generator)).random(3) == expected).all()


def test_frames(ray, echo):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"a": range(1000), "b": [str(i) for i in range(1000)], "c": np.random.default_rng(0).random(1000)}
    )
    pandas.testing.assert_frame_equal(ray.get(echo.remote(frame)), frame)
    series = ray.get(ray.put(frame["c"]))
    pandas.testing.assert_series_equal(series, frame["c"])
    assert ray.get(echo.remote(frame)).groupby("b").a.sum().sum() == frame.a.sum()


def test_closures(ray):
    a, b = 1, [2]

    def helper(x):
        return x + a

    @ray.remote
    def f(x):
        return helper(x) + b[0]

    assert ray.get(f.remote(10)) == 13


def test_functions_as_values(ray, echo):
    assert ray.get(echo.remote(lambda x: x + 1))(1) == 2
    assert ray.get(echo.remote(len)) is len
    assert ray.get(echo.remote(functools.partial(max, 5)))(3) == 5
    assert ray.get(echo.remote("abc".upper))() == "ABC"


def test_a_function_given_to_a_task(ray):
    offset = 100

    @ray.remote
    def apply(function, values):
        return [function(v) for v in values]

    assert ray.get(apply.remote(lambda v: v + offset, [1, 2])) == [101, 102]


def test_recursive_functions(ray):
    def factorial(n):
        return 1 if n == 0 else n * factorial(n - 1)

    assert ray.get(ray.remote(factorial).remote(10)) == 3628800


def test_mutually_recursive_functions(ray):
    def even(n):
        return True if n == 0 else odd(n - 1)

    def odd(n):
        return False if n == 0 else even(n - 1)

    @ray.remote
    def f(n):
        return even(n)

    assert ray.get(f.remote(10))
    assert not ray.get(f.remote(11))


def test_a_remote_function_that_calls_itself_remotely(ray):
    @ray.remote
    def count(n):
        return 0 if n == 0 else 1 + ray.get(count.remote(n - 1))

    assert ray.get(count.remote(3)) == 3


def test_local_classes(ray):
    class Base:
        def name(self):
            return "base"

    class Local(Base):
        kind = "local"

        def __init__(self, value):
            self.value = value

        def name(self):
            return super().name() + " and local"

        @property
        def double(self):
            return self.value * 2

    @ray.remote
    def make(value):
        return Local(value)

    @ray.remote
    def use(thing):
        return thing.name(), thing.double, thing.kind

    thing = ray.get(make.remote(4))
    assert (thing.value, thing.double, thing.name()) == (4, 8, "base and local")
    assert ray.get(use.remote(thing)) == ("base and local", 8, "local")
    assert ray.get(use.remote(make.remote(5))) == ("base and local", 10, "local")


def test_a_local_class_comes_back_as_itself(ray, echo):
    class Local:
        pass

    assert isinstance(ray.get(echo.remote(Local())), Local)


def test_classes_as_values(ray):
    @ray.remote
    def make(kind, *args):
        return kind(*args)

    assert ray.get(make.remote(Point, 1, [2])) == Point(1, [2])
    assert ray.get(make.remote(dict)) == {}


def test_imports_inside_and_outside(ray):
    @ray.remote
    def f():
        import math

        return math.sqrt(16), np.sqrt(9.0)

    assert ray.get(f.remote()) == (4.0, 3.0)


def test_references_in_one_argument_are_kept(ray):
    @ray.remote
    def same(pair):
        return pair[0] is pair[1]

    part = [1]
    assert ray.get(same.remote((part, part)))


def test_recursive_containers(ray, echo):
    loop = {}
    loop["self"] = loop
    result = ray.get(echo.remote(loop))
    assert result["self"] is result


def test_a_large_closure(ray):
    table = np.arange(MIB // 8)

    @ray.remote
    def f():
        return int(table.sum())

    assert ray.get([f.remote() for _ in range(3)]) == [int(table.sum())] * 3


def test_a_deeply_nested_list(ray, echo):
    value = []
    for _ in range(100):
        value = [value]
    assert ray.get(echo.remote(value)) == value


def test_a_value_that_pickles_itself(ray, echo):
    class Custom:
        def __init__(self, x):
            self.x = x

        def __reduce__(self):
            return (Custom, (self.x + 1,))

    assert ray.get(ray.put(Custom(1))).x == 2


def test_out_of_band_buffers(ray, echo):
    import pickle

    class Wrapper:
        def __init__(self, data):
            self.data = data

        def __reduce_ex__(self, protocol):
            return _unwrap, (pickle.PickleBuffer(self.data),)

    assert bytes(ray.get(ray.put(Wrapper(b"z" * 100_000)))) == b"z" * 100_000


def _unwrap(data):
    return data
