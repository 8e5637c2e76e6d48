"""F27: cancels at random moments, of tasks that wait, run, have children, yield; with and without force."""

import random
import time

import cluster_kit as kit
import pytest

# A sixth of 2,000 cancels; NBRAY_FAULT_SCALE=6 runs all.
ROUNDS, TASKS, CANCELS = 14, 50, 24


class Storm:
    """The kinds of tasks of one cluster, and what their values must be."""

    def __init__(self, ray, dice):
        self.dice = dice

        @ray.remote(max_retries=0)  # whoever is hit by another's cancel shows it
        def work(i, seconds, payload):
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                pass
            return i, payload

        @ray.remote(max_retries=0)
        def nested(i):
            return i, sum(value[0] for value in ray.get([work.remote(j, 0.002, b"") for j in range(4)]))

        @ray.remote(max_retries=0)
        def yields(i):
            for k in range(20):
                time.sleep(0.001)
                yield i, k

        @ray.remote
        class Actor:
            def call(self, i):
                time.sleep(0.002)
                return i

        self.work, self.nested, self.yields = work, nested, yields
        self.actor = Actor.remote()

    def submit(self, i):
        """Return (what to cancel, how to look at it, what it must be)."""
        kind = self.dice.random()
        if kind < 0.4:
            payload = bytes(self.dice.choice([0, 100, 50_000]))
            return self.work.remote(i, self.dice.choice([0, 0.001, 0.01, 0.05]), payload), (i, payload)
        if kind < 0.6:
            return self.nested.remote(i), (i, 6)
        if kind < 0.7:
            return self.yields.remote(i), [(i, k) for k in range(20)]
        if kind < 0.85:
            return self.actor.call.remote(i), i
        return self.work.remote(i, 0, self.work.remote(i, 0.01, b"")), (i, (i, b""))


@pytest.mark.limit(120)
def test_random_cancels(ray):
    """A task that was not cancelled has its value; one that was has it, or the error that says so; none hangs."""
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    storm = Storm(ray, dice)
    errors = (ray.exceptions.TaskCancelledError, ray.exceptions.WorkerCrashedError)
    right = ended = 0
    for _ in range(kit.scaled(ROUNDS)):
        tasks = [storm.submit(i) for i in range(TASKS)]
        hit = set(dice.sample(range(TASKS), CANCELS))
        for index in dice.sample(sorted(hit), CANCELS):
            handle, wanted = tasks[index]
            ray.cancel(handle, force=not isinstance(wanted, int) and dice.random() < 0.3, recursive=dice.random() < 0.7)
            if dice.random() < 0.3:
                time.sleep(dice.uniform(0, 0.01))
        with kit.no_hang():
            for index, (handle, wanted) in enumerate(tasks):
                try:
                    got = [ray.get(ref) for ref in handle] if isinstance(wanted, list) else ray.get(handle)
                    assert got == wanted, (seed, index)
                    right += 1
                except errors as error:
                    assert index in hit, (seed, index, error)
                    ended += 1
        del tasks, handle
    print(right, "right", ended, "ended by cancel")
    assert ended >= ROUNDS
