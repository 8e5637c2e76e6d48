"""What programs rely on without thinking of it: names of parameters, ids, init and shutdown inside of tasks."""

import pickle

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
