"""What programs rely on without thinking of it: names of parameters, ids, init and shutdown inside of tasks."""

import pickle
import threading
import typing

import pytest


def test_parameters_may_have_any_name(ray):
    @ray.remote
    def f(self, args, kwargs, cls=0):
        return self, args, kwargs, cls

    assert ray.get(f.remote(self=1, args=2, kwargs=3)) == (1, 2, 3, 0)


def test_a_generators_parameters_may_have_any_name(ray):
    @ray.remote
    def f(self):
        yield self

    assert [ray.get(ref) for ref in f.remote(self=5)] == [5]


def test_the_ids_of_jobs_count_in_the_first_byte(ray):
    context = ray.get_runtime_context()
    assert ray.JobID.from_int(1).hex() == "01000000" and ray.JobID.from_int(258).int() == 258
    assert int.from_bytes(bytes.fromhex(context.get_job_id()), "little") in range(1, 100)
    assert ray.put(1).job_id().hex() == context.get_job_id()


@pytest.mark.parametrize("make", ["put", "task"])
def test_a_ref_by_its_id(ray, make):
    @ray.remote
    def f():
        return 5

    ref = ray.put(5) if make == "put" else f.remote()
    again = ray.ObjectRef.from_binary(ref.binary())
    assert again == ref and hash(again) == hash(ref) and ray.get(again) == 5


def test_init_in_a_task(ray):
    @ray.remote
    def f():
        context = ray.init(ignore_reinit_error=True)
        return context.address_info["node_id"], ray.is_initialized()

    @ray.remote(max_retries=0)
    def again():
        ray.init()

    assert ray.get(f.remote()) == (ray.get_runtime_context().get_node_id(), True)
    with pytest.raises(RuntimeError, match="init twice"):
        ray.get(again.remote())


def test_shutdown_in_a_task(ray):
    @ray.remote(max_retries=0)
    def f():
        ray.shutdown()
        return "done"

    assert ray.get(f.remote()) == "done"

    @ray.remote
    def g():
        return 1

    assert ray.get([g.remote() for _ in range(8)]) == [1] * 8


def test_accelerators_that_nobody_has(ray):
    ids = ray.get_runtime_context().get_accelerator_ids()
    assert all(ids[kind] == [] for kind in ("GPU", "TPU", "HPU", "neuron_cores", "NPU"))


def test_addresses_and_ports_of_nodes(ray):
    (node,) = ray.nodes()
    assert all(type(node[name]) is int for name in ("NodeManagerPort", "ObjectManagerPort", "MetricsExportPort"))
    context = ray.init(ignore_reinit_error=True)
    assert {"redis_address", "gcs_address", "session_dir"} <= set(context.address_info)


def test_ids_can_be_pickled(ray):
    job = ray.JobID.from_int(3)
    assert pickle.loads(pickle.dumps(job)) == job


def test_what_a_remote_function_says_of_its_options(ray):
    @ray.remote
    def plain():
        return 1

    @ray.remote(num_cpus=2, num_returns=2, max_retries=5, name="named", resources={"widget": 1})
    def full():
        return 1, 2

    assert (plain._num_cpus, plain._max_retries, plain._max_calls, plain._default_options) == (1, 3, 0, {})
    assert (full._num_cpus, full._num_returns, full._max_retries, full._name) == (2, 2, 5, "named")
    assert full._resources == {"widget": 1} and full._default_options["max_retries"] == 5
    assert plain._function_name.endswith(".plain") and not plain._is_generator
    with pytest.raises(AttributeError):
        plain._no_such_option


def test_a_future_can_be_cancelled(ray, gate):
    @ray.remote
    def f():
        gate.wait()
        return 1

    ref = f.remote()
    future, other = ref.future(), ref.future()
    assert future.cancel() and future.cancelled()
    gate.open()
    assert other.result() == 1 and ray.get(ref) == 1


def test_values_before_one_that_cannot_be_pickled(ray):
    @ray.remote(num_returns=2)
    def f():
        return 1, threading.Lock()

    first, second = f.remote()
    assert ray.get(first) == 1
    with pytest.raises(TypeError):
        ray.get(second)


@pytest.mark.parametrize("way", ["put", "returned", "one of two", "argument"])
def test_the_error_of_a_task_as_a_value_is_raised(ray, way):
    """By whoever gets the value; not when it is inside of another value."""

    @ray.remote
    def fails():
        raise KeyError("first")

    @ray.remote
    def caught():
        try:
            ray.get(fails.remote())
        except KeyError as error:
            return error

    @ray.remote(num_returns=2)
    def two():
        return 1, ray.get(caught_inside.remote())[0]

    @ray.remote
    def caught_inside():
        try:
            ray.get(fails.remote())
        except KeyError as error:
            return [error]

    @ray.remote
    def takes(x):
        return 1

    (error,) = ray.get(caught_inside.remote())
    assert isinstance(error, KeyError) and isinstance(error, ray.exceptions.RayTaskError)
    if way == "put":
        ref = ray.put(error)
    elif way == "returned":
        ref = caught.remote()
    elif way == "argument":
        ref = takes.remote(error)
    else:
        first, ref = two.remote()
        assert ray.get(first) == 1
    with pytest.raises(KeyError) as caught_here:
        ray.get(ref)
    assert isinstance(caught_here.value, ray.exceptions.RayTaskError)


class Unreadable:
    def __reduce__(self):
        return int, ("no number",)


@pytest.mark.parametrize("way", ["put", "returned", "argument"])
def test_a_value_that_cannot_be_rebuilt(ray, way):
    @ray.remote
    def returns():
        return Unreadable()

    @ray.remote
    def takes(x):
        return 1

    if way == "argument":
        ref = takes.remote(Unreadable())
    else:
        ref = ray.put(Unreadable()) if way == "put" else returns.remote()
    with pytest.raises(ray.exceptions.RaySystemError, match="no number"):
        ray.get(ref)


def test_a_ref_made_of_an_id(ray):
    @ray.remote
    def make(n):
        return bytes(n)

    made = [ray.put([1, 2]), ray.put(bytes(3_000_000)), make.remote(5), make.remote(3_000_000)]
    for when in ("perhaps not made yet", "made"):
        for ref in made:
            again = ray.ObjectRef(ref.binary())
            assert again == ref and hash(again) == hash(ref) and {again: when}[ref] == when and again.hex() == ref.hex()
        values = ray.get([ray.ObjectRef(ref.binary()) for ref in made])
        assert values[0] == [1, 2] and [len(value) for value in values[1:]] == [3_000_000, 5, 3_000_000]
    again = ray.ObjectRef(made[0].binary())
    assert ray.wait([again]) == ([made[0]], [])
    nil = ray.ObjectRef.nil()
    assert nil == ray.ObjectRef.nil() == ray.ObjectRef(nil.binary()) == ray.ObjectRef(bytes([255]) * 28) != again
    for wrong, error in ((b"short", ValueError), (5, TypeError)):
        with pytest.raises(error):
            ray.ObjectRef(wrong)


def test_truth_values_are_numbers(ray):
    """As in ``num_gpus=torch.cuda.is_available()``."""

    @ray.remote(num_cpus=True, num_gpus=False, max_retries=True, num_returns=True, resources={"widget": True})
    def f():
        return 1

    assert ray.get(f.remote()) == 1


def test_many_names(ray):
    @ray.remote
    def name():
        return ray.get_runtime_context().get_task_name()

    names = [f"task {number}" for number in range(300)]
    assert ray.get([name.options(name=text).remote() for text in names]) == names
    assert ray.get(name.remote()).endswith("name")


def test_modules_that_need_no_import_of_their_own(run_script):
    done = run_script(
        """
        print(ray.experimental.tqdm_ray.tqdm.__name__, ray.experimental.internal_kv._internal_kv_initialized())
        print(ray._private.services.get_node_ip_address().count("."), ray.util.scheduling_strategies.In("a") is None)
        """
    )
    assert done.stdout.split() == ["tqdm", "False", "3", "False"]


def test_a_ref_by_its_id_is_no_other_process_s(fresh):
    """Also where that has counted as far as this one, and only another process keeps the value."""
    fresh.init(num_cpus=1)

    @fresh.remote(num_cpus=0)
    class Keeper:
        def made(self):
            return [fresh.put("another's") for _ in range(200)]

        def keep(self, refs):
            self.refs = refs

    keeper = Keeper.remote()
    others = fresh.get(keeper.made.remote())
    refs = [fresh.put("mine") for _ in range(20)]
    ids = [ref.binary() for ref in refs]
    fresh.get(keeper.keep.remote(refs))
    del refs
    assert [fresh.get(fresh.ObjectRef(id)) for id in ids] == ["mine"] * 20
    assert fresh.get(others) == ["another's"] * 200


def test_code_that_is_too_large(ray):
    large = bytes(100 * 2**20)

    @ray.remote
    def uses():
        return len(large)

    @ray.remote
    class Uses:
        def size(self):
            return len(large)

    for code in (uses, Uses):
        with pytest.raises(ValueError, match=r"(?s)too large.*100 MiB.*95.*put\(\)"):
            code.remote()


def test_types_of_refs_tell_of_what(ray):
    def f(x: ray.ObjectRef[int]) -> None: ...

    hint = typing.get_type_hints(f)["x"]
    assert typing.get_args(hint) == (int,) and issubclass(typing.get_origin(hint), ray.ObjectRef)
