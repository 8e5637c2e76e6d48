"""A store that is too small for what is put into it: nothing is lost, and all comes back."""

import numpy as np

MIB = 2**20
CLUSTER = {"num_cpus": 2, "object_store_memory": 100 * MIB}


def array(seed, size=10 * MIB):
    return np.full(size, seed % 251, np.uint8)


def test_twice_as_much_as_the_store_holds(ray):
    refs = [ray.put(array(seed)) for seed in range(20)]
    for seed, ref in reversed(list(enumerate(refs))):
        value = ray.get(ref)
        assert len(value) == 10 * MIB and (value == seed).all()
        del value


def test_results_and_arguments(ray):
    @ray.remote
    def make(seed):
        return array(seed)

    @ray.remote
    def add(a, b):
        return int(a[0]) + int(b[-1])

    refs = [make.remote(seed) for seed in range(20)]
    sums = [add.remote(refs[seed], refs[-1 - seed]) for seed in range(20)]
    assert ray.get(sums) == [19] * 20


def test_refs_inside_of_what_is_put(ray):
    boxes = [ray.put([ray.put(array(seed)), seed]) for seed in range(15)]
    for seed, box in enumerate(boxes):
        ref, number = ray.get(box)
        assert number == seed
        value = ray.get(ref)
        assert (value == seed).all()
        del value, ref


def test_what_an_actor_keeps(ray):
    @ray.remote
    class Keeper:
        def __init__(self):
            self.refs = []

        def keep(self, seed):
            self.refs.append(ray.put(array(seed)))

        def check(self):
            return [int(ray.get(ref)[-1]) for ref in self.refs]

    keeper = Keeper.remote()
    ray.get([keeper.keep.remote(seed) for seed in range(15)])
    assert ray.get(keeper.check.remote()) == list(range(15))


def test_to_wait_is_enough_for_readiness(ray):
    refs = [ray.put(array(seed)) for seed in range(20)]
    ready, rest = ray.wait(refs, num_returns=20, timeout=30, fetch_local=False)
    assert len(ready) == 20 and rest == []
