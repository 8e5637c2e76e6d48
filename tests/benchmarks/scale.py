"""The cases of KIND "scale" (see child.py): many at once, streams, threads, several drivers."""

import os
import subprocess
import sys
import threading

from timing import CLOCK, median_of, timed

MANY = 100_000
MILLION = 1_000_000
DRIVERS, TASKS_OF_A_DRIVER = 4, 5_000

# A driver of its own: joins the cluster, waits for the word, submits, and tells how long it took.
DRIVER = """
import importlib, sys, time
ray = importlib.import_module(sys.argv[1])
ray.init(address=sys.argv[2], log_to_driver=False, **({"logging_level": "ERROR"} if sys.argv[1] == "ray" else {}))

@ray.remote
def echo(x):
    return x

ray.get([echo.remote(i) for i in range(500)])
print("ready", flush=True)
sys.stdin.readline()
ray.get([echo.remote(i) for i in range(int(sys.argv[3]))])
print("done", flush=True)
ray.shutdown()
"""


class Scale:
    """One method per case, in the order of the table; each returns seconds (of one) or bytes."""

    def __init__(self, ray, memory_of_the_cluster):
        import numpy

        self.ray, self.np, self.memory_of_the_cluster = ray, numpy, memory_of_the_cluster
        self.found = {}  # what one case learns for another

        @ray.remote
        def echo(x):
            return x

        @ray.remote
        def count(*values):
            return len(values)

        @ray.remote
        def stream(n):
            for i in range(n):  # noqa: UP028 - Ray wants a generator, not an iterator
                yield i

        @ray.remote
        class AsyncActor:
            async def echo(self, x):
                return x

        @ray.remote
        class Actor:
            def echo(self, x):
                return x

        self.echo, self.count, self.stream, self.AsyncActor, self.Actor = echo, count, stream, AsyncActor, Actor
        ray.get([echo.remote(i) for i in range(200)])

    def _queued(self, n):
        """Submit n tasks behind ones that hold every CPU's worker busy only by being many; then drain."""
        begin = CLOCK()
        refs = [self.echo.remote(i) for i in range(n)]
        submitted = CLOCK()
        memory = self.memory_of_the_cluster()[0] + own_memory()
        resumed = CLOCK()
        for first in range(0, n, 10_000):
            self.ray.get(refs[first : first + 10_000])
        return (submitted - begin + CLOCK() - resumed) / n, memory

    def tasks_100k(self):
        return self._queued(MANY)[0]

    def tasks_1m(self):
        rate, self.found["tasks_1m_memory"] = self._queued(MILLION)
        return rate

    def tasks_1m_memory(self):
        return self.found["tasks_1m_memory"]

    def arguments_10k(self):
        refs = [self.ray.put(i) for i in range(10_000)]
        return median_of(lambda: self.ray.get(self.count.remote(*refs)), 3, 1)

    def returns_3k(self):
        many = self.ray.remote(num_returns=3000)(lambda: range(3000))
        return median_of(lambda: self.ray.get(many.remote()), 3, 1)

    def get_10k(self):
        """10,000 stored arrays of 1 KiB, got in one call for the first time."""
        array = self.np.zeros(1024, self.np.uint8)
        refs = [self.ray.put(array) for _ in range(10_000)]
        return timed(lambda: self.ray.get(refs))

    def generator_items(self):
        streaming = self.stream.options(num_returns="streaming")

        def run(n):
            assert sum(1 for ref in streaming.remote(n) if self.ray.get(ref) >= 0) == n

        run(500)
        return timed(lambda: run(5000)) / 5000

    def async_actor_calls(self):
        actor = self.AsyncActor.remote()

        def run(n):
            self.ray.get([actor.echo.remote(i) for i in range(n)])

        run(1000)
        return timed(lambda: run(10_000)) / 10_000

    def async_actor_call(self):
        actor = self.AsyncActor.remote()
        return median_of(lambda: self.ray.get(actor.echo.remote(1)), 1000, 200)

    def threads_16(self):
        """16 threads of one driver call one actor, each waiting for its answer before the next call."""
        actor = self.Actor.remote()
        self.ray.get(actor.echo.remote(0))

        def run(n):
            def calls():
                for i in range(n):
                    self.ray.get(actor.echo.remote(i))

            threads = [threading.Thread(target=calls) for _ in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        run(20)
        return timed(lambda: run(200)) / (16 * 200)

    def drivers_4(self):
        """4 programs share the cluster and submit at once."""
        address = self.ray.get_runtime_context().gcs_address
        command = [sys.executable, "-c", DRIVER, self.ray.__name__, address, str(TASKS_OF_A_DRIVER)]
        drivers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(DRIVERS)
        ]
        try:
            for driver in drivers:
                assert wait_for_line(driver, "ready")
            begin = CLOCK()
            for driver in drivers:
                driver.stdin.write("\n")
                driver.stdin.flush()
            for driver in drivers:
                assert wait_for_line(driver, "done")
            return (CLOCK() - begin) / (DRIVERS * TASKS_OF_A_DRIVER)
        finally:
            for driver in drivers:
                driver.stdin.close()
                try:
                    driver.wait(30)
                except subprocess.TimeoutExpired:
                    driver.kill()
                    driver.wait()

    def placement_groups(self):
        from importlib import import_module

        util = import_module(self.ray.__name__ + ".util")

        def run(n):
            for _ in range(n):
                group = util.placement_group([{"CPU": 0.01}])
                self.ray.get(group.ready())
                util.remove_placement_group(group)

        run(10)
        return timed(lambda: run(100)) / 100


def wait_for_line(process, word):
    """Read what a process says until it says `word`; False when it ends before."""
    return any(line.strip() == word for line in iter(process.stdout.readline, ""))


def own_memory():
    """Proportional set size of this process, in bytes."""
    with open(f"/proc/{os.getpid()}/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
