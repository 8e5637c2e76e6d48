"""Packages that map functions over items with tasks: easy-ray-threads, ray-map, chunkyp, ray-ease."""

from __future__ import annotations


def steps_to_one(n):
    """Length of the Collatz sequence from n."""
    steps = 0
    while n != 1:
        n = 3 * n + 1 if n % 2 else n // 2
        steps += 1
    return steps


NUMBERS = range(1, 60)
EXPECTED = [steps_to_one(n) for n in NUMBERS]


def test_easy_ray_threads():
    from easy_ray_threads import Processor

    assert sorted(Processor().process(NUMBERS, steps_to_one)) == sorted(EXPECTED)
    results = Processor().process([1, 0], lambda x: 10 // x)
    assert 10 in results
    assert [r["item"] for r in results if isinstance(r, dict)] == [0]


def test_ray_map():
    from ray_map import RayMap

    assert list(RayMap(steps_to_one).map(NUMBERS)) == EXPECTED
    assert sorted(RayMap(steps_to_one, batch_size=7).imap(NUMBERS)) == sorted(EXPECTED)


def test_chunkyp():
    from chunkyp import p, pipe, ppipe

    records = [{"n": n} for n in NUMBERS]
    functions = p("n", steps_to_one, "steps"), p("steps", float, "length")
    serial = list(pipe(iter([dict(r) for r in records]), *functions))
    parallel = list(ppipe(iter([dict(r) for r in records]), *functions, processes=2))
    assert parallel == serial
    assert [r["length"] for r in parallel] == [float(n) for n in EXPECTED]


def test_ray_ease():
    import ray_ease

    class Sum:
        def __init__(self):
            self.value = 0

        def add(self, value):
            self.value += value
            return self.value

    results = {}
    for how in ("ray", "serial"):
        ray_ease.init(how, ignore_reinit_error=True)
        steps, sums = ray_ease.parallelize(steps_to_one), [ray_ease.parallelize(Sum)() for _ in range(2)]
        for n in NUMBERS:
            sums[n % 2].add(n)
        total = ray_ease.retrieve([one.add(0) for one in sums], ordered=True)
        results[how] = ray_ease.retrieve([steps(n) for n in NUMBERS], ordered=True), total
    assert results["ray"] == results["serial"] == (EXPECTED, [sum(NUMBERS[1::2]), sum(NUMBERS[0::2])])
