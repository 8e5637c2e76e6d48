"""What packages look at on remote functions, actor classes, handles and methods, under names that begin with an underscore."""

import pytest


@pytest.fixture(scope="module")
def Keeper(ray):
    class Plain:
        def __init__(self, what=None):
            self.what = what

        def put(self, what, *, twice=False):
            self.what = [what, what] if twice else what

        @ray.method(num_returns=2, concurrency_group="io")
        def both(self):
            return 1, 2

        @ray.method(max_task_retries=3)
        def items(self):
            yield self.what

    return ray.remote(num_cpus=0, max_restarts=2, concurrency_groups={"io": 2})(Plain)


@pytest.fixture(scope="module")
def keeper(ray, Keeper):
    handle = Keeper.remote()
    ray.get(handle.__ray_ready__.remote())
    return handle


def test_a_function(ray):
    @ray.remote(num_gpus=0, max_retries=7)
    def double(x, y=1):
        return 2 * x

    assert double._function(4) == 8
    assert double._function_name == f"{__name__}.double"
    assert double._default_options == {"num_gpus": 0, "max_retries": 7}
    assert (double._num_cpus, double._num_gpus, double._max_retries, double._max_calls) == (1, 0, 7, 0)
    assert double._is_cross_language is False
    ray.get(double.remote(1))
    names = [parameter.name for parameter in double._function_signature]
    assert [name for name in names if not name.startswith("_ray")] == ["x", "y"]
    assert double._function_descriptor.module_name == __name__
    assert double._function_descriptor.function_name.endswith("double")


def test_an_actor_class(ray, Keeper):
    assert Keeper.__ray_actor_class__("book").what == "book"
    assert Keeper.__ray_actor_class__.__name__ == "Plain"
    assert {"num_cpus": 0, "max_restarts": 2}.items() <= Keeper._default_options.items()


def test_what_is_known_of_an_actor_class(ray, Keeper):
    meta = Keeper.__ray_metadata__
    assert meta.modified_class("cup").what == "cup"
    assert (meta.num_cpus, meta.max_restarts, meta.max_task_retries) == (0, 2, 0)
    assert meta.class_name == Keeper.__ray_actor_class__.__qualname__
    assert (meta.num_gpus, meta.memory, meta.resources, meta.runtime_env, meta.scheduling_strategy) == (None,) * 5
    assert meta.is_cross_language is False
    assert meta.actor_creation_function_descriptor.class_name == Keeper.__ray_actor_class__.__qualname__
    assert meta.actor_creation_function_descriptor.module_name == __name__


def test_what_is_known_of_its_methods(ray, Keeper):
    methods = Keeper.__ray_metadata__.method_meta
    assert {"put", "both", "items"} <= set(methods.methods)
    assert methods.num_returns["put"] is None and methods.num_returns["both"] == 2
    assert methods.method_is_generator["items"] is True and methods.method_is_generator["put"] is False
    assert methods.max_task_retries == {"items": 3}
    assert methods.concurrency_group_for_methods == {"both": "io"}
    assert [p.name for p in methods.signatures["put"] if not p.name.startswith("_ray")] == ["what", "twice"]
    assert not hasattr(methods, "colours")


@pytest.mark.parametrize("travelled", [False, True])
def test_a_handle(ray, Keeper, keeper, travelled):
    handle = keeper
    if travelled:

        @ray.remote(num_cpus=0)
        def back(handles):
            return handles

        (handle,) = ray.get(back.remote([keeper]))
    assert handle._actor_id == handle._ray_actor_id == keeper._actor_id
    assert handle._ray_is_cross_language is False
    assert [p.name for p in handle._ray_method_signatures["put"] if not p.name.startswith("_ray")] == ["what", "twice"]
    assert handle._ray_method_num_returns["both"] == 2
    assert handle._ray_method_is_generator["items"] is True
    assert handle._ray_method_max_task_retries == {"items": 3}
    assert handle._ray_max_task_retries == 0
    assert handle._ray_actor_creation_function_descriptor.class_name == Keeper.__ray_actor_class__.__qualname__
    assert handle._ray_actor_creation_function_descriptor.module_name == __name__
    assert handle._ray_function_descriptor["put"].function_name == "put"
    assert handle._ray_original_handle is not travelled
    assert handle._ray_weak_ref is False
    assert not hasattr(handle, "_ray_colour") and not hasattr(handle, "_ray_method_colours")


def test_a_handle_that_was_found_by_name(ray, Keeper):
    made = Keeper.options(name="looked at").remote()
    found = ray.get_actor("looked at")
    assert found._ray_weak_ref is True and found._ray_original_handle is False
    assert made._ray_weak_ref is False and made._ray_original_handle is True


def test_a_method(ray, keeper):
    assert keeper.put._method_name == "put"
    assert (keeper.put._num_returns, keeper.both._num_returns, keeper.items._num_returns) == (1, 2, "streaming")
    assert keeper.items._is_generator is True and keeper.put._is_generator is False
    assert keeper.items._max_task_retries == 3
    assert keeper.put._enable_task_events is True
