"""Rows 15 to 18, 20 and 21: options out of range and resources that nobody has."""

import time

import pytest


@pytest.fixture
def function(ray):
    @ray.remote
    def a_task():
        return 1

    return a_task


@pytest.fixture
def actor_class(ray):
    @ray.remote
    class AnActor:
        def method(self):
            return 1

    return AnActor


@pytest.mark.parametrize(
    "options",
    [
        {"num_cpus": -1},
        {"num_cpus": float("nan")},
        {"num_cpus": float("inf")},
        {"num_cpus": "two"},
        {"num_cpus": 0.00001},
        {"num_gpus": -0.5},
        {"num_gpus": "1"},
        {"memory": -1},
        {"memory": "1 GB"},
        {"memory": float("nan")},
        {"resources": {"widget": -1}},
        {"resources": {"widget": float("nan")}},
        {"resources": {"widget": "1"}},
        {"resources": {"widget": 0.00001}},
    ],
    ids=str,
)
def test_row_15_amounts(ray, function, actor_class, options):
    """A string is a ValueError here and a TypeError in Ray; the class raised may be both."""
    (name,) = options.get("resources", options)
    for refuses in (lambda: function.options(**options).remote(), lambda: actor_class.options(**options).remote()):
        with pytest.raises(ValueError) as caught:
            refuses()
        text = str(caught.value)
        assert name in text, text
        assert "0.0001" in text, text


@pytest.mark.parametrize("options", [{"num_gpus": 5}, {"num_gpus": 2, "num_cpus": 1}], ids=str)
def test_row_16_gpus_that_do_not_exist(ray, function, actor_class, options):
    unschedulable(ray, function, actor_class, options, ["GPU", f"{options['num_gpus']}", "1", "wait_for_resources"])


@pytest.mark.parametrize(("wrong", "near"), [("wigdet", "widget"), ("Widget", "widget"), ("gadgets", "gadget")])
def test_row_17_a_misspelt_resource(ray, function, actor_class, wrong, near):
    unschedulable(ray, function, actor_class, {"resources": {wrong: 1}}, [wrong, near])


def test_row_17_a_resource_unlike_any(ray, function, actor_class):
    unschedulable(ray, function, actor_class, {"resources": {"xyz": 1}}, ["xyz", "widget", "gadget"])


@pytest.mark.parametrize("options", [{"num_cpus": 3}, {"num_cpus": 1000}, {"num_cpus": 2.5}], ids=str)
def test_row_18_more_processors_than_any_node_has(ray, function, actor_class, options):
    unschedulable(ray, function, actor_class, options, ["CPU", f"{options['num_cpus']:g}", "2"])


def test_row_18_more_of_a_custom_resource(ray, function, actor_class):
    unschedulable(ray, function, actor_class, {"resources": {"widget": 3}}, ["widget", "3", "2"])


def test_row_18_more_memory(ray, function, actor_class):
    unschedulable(ray, function, actor_class, {"memory": 2**60}, ["memory"])


@pytest.mark.parametrize(
    "options", [{"num_gpus": 5}, {"resources": {"wigdet": 1}}, {"num_cpus": 100}, {"memory": 2**60}], ids=str
)
def test_rows_16_to_18_where_tasks_submit_too(ray, function, actor_class, options):
    @ray.remote
    def submits():
        refused = []
        for kind in (function, actor_class):
            try:
                kind.options(**options).remote()
            except Exception as error:
                refused.append(type(error))
        return refused

    kinds = [ray.exceptions.TaskUnschedulableError, ray.exceptions.ActorUnschedulableError]
    assert ray.get(submits.remote(), timeout=60) == kinds


@pytest.mark.parametrize("options", [{"memory": 2**60}, {"num_cpus": 1e30}, {"resources": {"xyz": 1e300}}], ids=str)
def test_amounts_beyond_all_numbers_may_be_waited_for(ray, function, options):
    waits = function.options(wait_for_resources=True, **options).remote()
    assert ray.get(function.remote(), timeout=60) == 1  # the messages that ask for workers still come through
    assert ray.wait([waits], timeout=0) == ([], [waits])
    ray.cancel(waits)


@pytest.mark.parametrize(
    "amount", ["num_cpus=1e30", "num_gpus=10**12", "resources={'x': 1e18}", "_memory=1e300", "_memory=float('nan')"]
)
def test_no_node_offers_amounts_beyond_all_numbers(run_script, amount):
    run_script(
        f"""
        try:
            ray.init({amount})
        except ValueError:
            pass
        else:
            raise AssertionError("it was accepted")
        """
    )


def unschedulable(ray, function, actor_class, options, words):
    """Both are refused at once, with every word."""
    start = time.monotonic()
    with pytest.raises(ray.exceptions.TaskUnschedulableError) as of_task:
        ray.get(function.options(**options).remote(), timeout=60)
    with pytest.raises(ray.exceptions.ActorUnschedulableError) as of_actor:
        ray.get(actor_class.options(**options).remote().method.remote(), timeout=60)
    assert time.monotonic() - start < 30
    assert "a_task" in str(of_task.value)
    for text in (str(of_task.value), str(of_actor.value)):
        for word in words:
            assert word in text, text


def test_rows_16_to_18_leave_nothing_behind(ray, function):
    before = ray.available_resources()
    for _ in range(20):
        with pytest.raises(ray.exceptions.TaskUnschedulableError):
            ray.get(function.options(num_cpus=100).remote(), timeout=60)
    assert ray.get(function.remote()) == 1
    assert ray.available_resources().get("widget") == before.get("widget")


@pytest.mark.parametrize("options", [{"max_retries": -2}, {"max_retries": 1.5}, {"num_returns": -1}], ids=str)
def test_row_20_for_functions(ray, function, options):
    (name,) = options
    with pytest.raises(ValueError, match=name):
        function.options(**options).remote()


def test_more_refs_than_a_call_can_return(ray, function):
    with pytest.raises(ValueError, match=r"10,000,000 refs.*'streaming'"):
        function.options(num_returns=10**8)

    class Many:
        @ray.method(num_returns=10**6)
        def many(self):
            return range(10**6)

    with pytest.raises(ValueError, match="10,000,000 refs"):
        ray.remote(Many).remote().many.options(num_returns=10**8)


@pytest.mark.parametrize("options", [{"max_restarts": "a"}, {"max_restarts": -2}, {"max_concurrency": -1}], ids=str)
def test_row_20_for_classes(ray, actor_class, options):
    (name,) = options
    with pytest.raises(ValueError, match=name):
        actor_class.options(**options).remote()


@pytest.mark.parametrize(("returned", "count"), [((1, 2), "2"), ((1, 2, 3, 4), "4"), ([], "0")], ids=str)
def test_row_21_another_number_of_results(ray, returned, count):
    @ray.remote(num_returns=3)
    def three():
        return returned

    for ref in three.remote():
        with pytest.raises(ValueError) as caught:
            ray.get(ref)
        assert isinstance(caught.value, ray.exceptions.RayTaskError)
        assert "3" in str(caught.value.cause)
        assert count in str(caught.value.cause)


def test_row_21_a_single_value_for_several(ray):
    @ray.remote(num_returns=2)
    def two():
        return 5

    with pytest.raises(TypeError) as caught:
        ray.get(two.remote()[0])
    assert isinstance(caught.value, ray.exceptions.RayTaskError)
    assert "2" in str(caught.value.cause)
    assert "int" in str(caught.value.cause)
    assert "nbray" not in str(caught.value), "frames of the library"
