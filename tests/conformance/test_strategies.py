"""Where tasks and actors go on request: by node, by label, by kind of accelerator."""

import pytest

from .kit import LIBRARY

CLUSTER = {"num_cpus": 2, "resources": {"accelerator_type:A100": 1}, "labels": {"zone": "a", "tier": "gold"}}

if LIBRARY == "ray":
    from ray.util.accelerators import NVIDIA_A100
    from ray.util.scheduling_strategies import (
        DoesNotExist,
        Exists,
        In,
        NodeAffinitySchedulingStrategy,
        NodeLabelSchedulingStrategy,
        NotIn,
    )
else:
    from nbray.util.accelerators import NVIDIA_A100
    from nbray.util.scheduling_strategies import (
        DoesNotExist,
        Exists,
        In,
        NodeAffinitySchedulingStrategy,
        NodeLabelSchedulingStrategy,
        NotIn,
    )

ELSEWHERE = "ab" * 28


@pytest.fixture
def here(ray):
    return ray.get_runtime_context().get_node_id()


@pytest.fixture
def where(ray):
    @ray.remote
    def ask():
        return ray.get_runtime_context().get_node_id()

    return ask


@pytest.fixture
def actor_class(ray):
    @ray.remote
    class Actor:
        def where(self):
            return ray.get_runtime_context().get_node_id()

        def resources(self):
            return ray.get_runtime_context().get_assigned_resources()

    return Actor


@pytest.mark.parametrize("strategy", ["DEFAULT", "SPREAD", None])
def test_named_strategies(ray, here, where, actor_class, strategy):
    assert ray.get(where.options(scheduling_strategy=strategy).remote()) == here
    assert ray.get(actor_class.options(scheduling_strategy=strategy).remote().where.remote()) == here


@pytest.mark.parametrize("soft", [True, False])
def test_a_node(ray, here, where, actor_class, soft):
    strategy = NodeAffinitySchedulingStrategy(here, soft)
    assert ray.get(where.options(scheduling_strategy=strategy).remote()) == here
    assert ray.get(actor_class.options(scheduling_strategy=strategy).remote().where.remote()) == here


def test_a_node_that_is_not_there(ray, here, where, actor_class):
    soft, hard = (NodeAffinitySchedulingStrategy(ELSEWHERE, soft) for soft in (True, False))
    assert ray.get(where.options(scheduling_strategy=soft).remote()) == here
    with pytest.raises(ray.exceptions.TaskUnschedulableError):
        ray.get(where.options(scheduling_strategy=hard).remote())
    with pytest.raises(ray.exceptions.ActorUnschedulableError):
        ray.get(actor_class.options(scheduling_strategy=hard).remote().where.remote())


def test_a_node_that_can_never_give_that_much(ray, here, where):
    strategy = NodeAffinitySchedulingStrategy(here, False)
    with pytest.raises(ray.exceptions.TaskUnschedulableError):
        ray.get(where.options(scheduling_strategy=strategy, num_cpus=100).remote())


def test_a_node_that_cannot_give_it_now(ray, here, where, gate, ledger):
    """_fail_on_unavailable: an error where others would wait; what needs nothing of it runs."""

    @ray.remote(num_cpus=2)
    def all_of_it():
        ledger.add("began")
        gate.wait()

    @ray.remote(num_cpus=1)
    class Actor:
        def call(self):
            return 1

    now = NodeAffinitySchedulingStrategy(here, False, _fail_on_unavailable=True)
    held = all_of_it.remote()
    ledger.wait_for(1)
    with pytest.raises(ray.exceptions.TaskUnschedulableError):
        ray.get(where.options(scheduling_strategy=now).remote(), timeout=60)
    with pytest.raises(ray.exceptions.ActorUnschedulableError):
        ray.get(Actor.options(scheduling_strategy=now).remote().call.remote(), timeout=60)
    assert ray.get(where.options(scheduling_strategy=now, num_cpus=0).remote(), timeout=60) == here
    gate.open()
    ray.get(held)


@pytest.mark.parametrize("node_id", ["zz", "abcd", "f" * 56])
def test_what_is_no_node_id(ray, node_id):
    with pytest.raises(ValueError):
        NodeAffinitySchedulingStrategy(node_id, False)


def test_node_ids_as_objects(ray, here):
    assert NodeAffinitySchedulingStrategy(ray.NodeID.from_hex(here), False).node_id == here


def test_labels_of_the_node(ray, here):
    labels = {"zone": "a", "tier": "gold", "ray.io/node-id": here}
    assert labels.items() <= ray.nodes()[0]["Labels"].items()
    assert labels.items() <= ray.get_runtime_context().get_node_labels().items()


@pytest.mark.parametrize(
    "hard", [{"zone": In("a", "b")}, {"zone": NotIn("b")}, {"tier": Exists()}, {"colour": DoesNotExist()},
             {"zone": In("a"), "tier": Exists(), "colour": NotIn("red")}],
)  # fmt: skip
def test_label_strategies(ray, here, where, actor_class, hard):
    strategy = NodeLabelSchedulingStrategy(hard)
    assert ray.get(where.options(scheduling_strategy=strategy).remote()) == here
    assert ray.get(actor_class.options(scheduling_strategy=strategy).remote().where.remote()) == here


def test_soft_labels_need_not_hold(ray, here, where):
    strategy = NodeLabelSchedulingStrategy({}, soft={"zone": In("z")})
    assert ray.get(where.options(scheduling_strategy=strategy).remote()) == here


@pytest.mark.parametrize("arguments", [({},), ({"a": "b"},), ({1: In("a")},), (["a"],)], ids=str)
def test_label_strategies_of_another_form(arguments):
    with pytest.raises(ValueError):
        NodeLabelSchedulingStrategy(*arguments)


@pytest.mark.parametrize("values", [(), (5,)], ids=str)
def test_operators_of_another_form(values):
    for operator in (In, NotIn):
        with pytest.raises(ValueError):
            operator(*values)


@pytest.mark.parametrize(
    "selector", [{"zone": "a"}, {"zone": "!b"}, {"zone": "in(a,b)"}, {"zone": "!in(b,c)"}, {"colour": "!red"}, {}, None],
    ids=str,
)  # fmt: skip
def test_label_selectors(ray, here, where, actor_class, selector):
    assert ray.get(where.options(label_selector=selector).remote()) == here
    assert ray.get(actor_class.options(label_selector=selector).remote().where.remote()) == here


@pytest.mark.parametrize(
    "selector", [{"zone": "in()"}, {"zone": "a b"}, {"-zone": "a"}, {"zone": "!"}, {"zone": "!in(a"}], ids=str
)
def test_label_selectors_of_another_form(ray, where, selector):
    with pytest.raises(ValueError):
        where.options(label_selector=selector).remote()


@pytest.mark.parametrize("selector", ["zone", 5, {"zone": 5}], ids=str)
def test_label_selectors_of_another_type(ray, where, selector):
    with pytest.raises(TypeError):
        where.options(label_selector=selector).remote()


def test_a_fallback(ray, here, where):
    options = {"label_selector": {"zone": "z"}, "fallback_strategy": [{"label_selector": {"zone": "a"}}]}
    assert ray.get(where.options(**options).remote()) == here


@pytest.mark.parametrize("fallback", [[{"other": 1}], {"label_selector": {}}], ids=str)
def test_fallbacks_of_another_form(ray, where, fallback):
    with pytest.raises((TypeError, ValueError)):
        where.options(fallback_strategy=fallback).remote()


def test_kinds_of_accelerators(ray, here, where, actor_class):
    assert NVIDIA_A100 == "A100"
    assert ray.get(where.options(accelerator_type=NVIDIA_A100).remote()) == here
    actor = actor_class.options(accelerator_type=NVIDIA_A100).remote()
    assert ray.get(actor.resources.remote())["accelerator_type:A100"] == pytest.approx(0.001)


@pytest.mark.parametrize(("strategy", "error"), [("NEAR", ValueError), (5, TypeError)])
def test_strategies_of_another_form(ray, where, strategy, error):
    with pytest.raises(error):
        ray.get(where.options(scheduling_strategy=strategy).remote())
