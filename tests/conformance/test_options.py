"""Options of functions and classes: what is accepted, what is refused and how."""

import pytest


@pytest.fixture(scope="module")
def function(ray):
    @ray.remote
    def f():
        return 1

    return f


@pytest.fixture(scope="module")
def actor_class(ray):
    @ray.remote
    class A:
        def one(self):
            return 1

    return A


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_cpus": 0},
        {"num_cpus": 0.5},
        {"num_cpus": 0.0001},
        {"num_cpus": 2},
        {"num_gpus": 1},
        {"num_gpus": 0.25},
        {"resources": {"widget": 1}},
        {"resources": {"widget": 0.5}},
        {"resources": {}},
        {"memory": 1000},
        {"num_returns": 1},
        {"max_retries": 0},
        {"max_retries": 5},
        {"max_retries": -1},
        {"retry_exceptions": True},
        {"retry_exceptions": False},
        {"retry_exceptions": [ValueError, KeyError]},
        {"name": "a name with spaces"},
        {"num_cpus": None, "num_gpus": None, "resources": None, "memory": None, "name": None},
    ],
    ids=str,
)
def test_accepted_for_a_function(ray, function, options):
    assert ray.get(function.options(**options).remote()) == 1
    plain = ray.remote(lambda: 2)
    assert ray.get((ray.remote(**options)(lambda: 2) if options else plain).remote()) == 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_cpus": 0},
        {"num_cpus": 0.5, "num_gpus": 0.5, "resources": {"widget": 1}},
        {"memory": 1000},
        {"max_restarts": 0},
        {"max_restarts": 3},
        {"max_restarts": -1},
        {"max_concurrency": 1},
        {"max_task_retries": 1},
        {"name": "an actor's name"},
    ],
    ids=str,
)
def test_accepted_for_a_class(ray, actor_class, options):
    actor = actor_class.options(**options).remote()
    assert ray.get(actor.one.remote()) == 1
    ray.kill(actor)


REFUSED_FOR_BOTH = [
    ({"num_cpus": -1}, ValueError, "num_cpus"),
    ({"num_gpus": -1}, ValueError, "num_gpus"),
    ({"memory": -1}, ValueError, "memory"),
    ({"resources": {"widget": -1}}, ValueError, "widget"),
    ({"num_cpus": 0.00001}, ValueError, "0.0001"),
    ({"resources": {"widget": 0.00001}}, ValueError, "0.0001"),
    ({"num_cpus": "1"}, TypeError, "num_cpus"),
    ({"num_gpus": [1]}, TypeError, "num_gpus"),
    ({"memory": "1 GB"}, TypeError, "memory"),
    ({"resources": 3}, TypeError, "resources"),
    ({"resources": ["widget"]}, TypeError, "resources"),
    ({"resources": {"CPU": 1}}, ValueError, "num_cpus"),
    ({"resources": {"GPU": 1}}, ValueError, "num_gpus"),
    ({"name": 1}, TypeError, "name"),
    ({"num_cpu": 1}, ValueError, "num_cpu"),
]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        *REFUSED_FOR_BOTH,
        ({"max_retries": -2}, ValueError, "max_retries"),
        ({"max_retries": "3"}, TypeError, "max_retries"),
        ({"num_returns": -1}, ValueError, None),
        ({"num_returns": "x"}, TypeError, None),
        ({"retry_exceptions": 3}, TypeError, "retry_exceptions"),
        ({"max_restarts": 1}, ValueError, "max_restarts"),
        ({"max_concurrency": 1}, ValueError, "max_concurrency"),
    ],
    ids=str,
)
def test_refused_for_a_function(ray, function, options, error, words):
    with pytest.raises(error, match=words):
        function.options(**options)
    with pytest.raises(error, match=words):
        ray.remote(**options)(lambda: 1)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        *REFUSED_FOR_BOTH,
        ({"max_restarts": -2}, ValueError, "max_restarts"),
        ({"max_restarts": "a"}, TypeError, "max_restarts"),
        ({"max_concurrency": "a"}, TypeError, "max_concurrency"),
        ({"max_concurrency": -1}, ValueError, "max_concurrency"),
        ({"num_returns": 2}, ValueError, "num_returns"),
        ({"max_retries": 2}, ValueError, "max_retries"),
    ],
    ids=str,
)
def test_refused_for_a_class(ray, actor_class, options, error, words):
    with pytest.raises(error, match=words):
        actor_class.options(**options).remote()


def test_exceptions_to_retry_must_be_exception_types(ray, function):
    with pytest.raises(ValueError, match="retry_exceptions"):
        function.options(retry_exceptions=[3])
    with pytest.raises(ValueError, match="retry_exceptions"):
        function.options(retry_exceptions=[int])


@pytest.mark.parametrize("arguments", [(), (3,), ("f",), (1, 2)], ids=str)
def test_remote_needs_a_function_or_options(ray, arguments):
    with pytest.raises((AssertionError, TypeError)):
        ray.remote(*arguments)


def test_options_takes_keywords_only(ray, function, actor_class):
    with pytest.raises(TypeError):
        function.options(1)
    with pytest.raises(TypeError):
        actor_class.options(1)


def test_options_that_change_nothing(ray, function, actor_class):
    assert ray.get(function.options(_labels={"kind": "test"}).remote()) == ray.get(function.remote())
    actor_class.options(_labels=None, object_store_memory=1000, enable_tensor_transport=False)
    with pytest.raises(TypeError, match="_labels"):
        function.options(_labels=3)
    with pytest.raises(ValueError, match="not implemented for tasks"):
        function.options(object_store_memory=1000)
    with pytest.raises(ValueError, match="enable_tensor_transport"):
        function.options(enable_tensor_transport=True)
    with pytest.raises(ValueError, match="Invalid tensor transport"):
        ray.method(tensor_transport="carrier pigeon")(lambda self: 1)
