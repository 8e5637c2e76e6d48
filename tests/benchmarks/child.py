"""Measure one library in one fresh interpreter: `python child.py LIBRARY KIND CASE...`, the last line is JSON.

Run by the runner under two different interpreters, so it needs nothing but the library and NumPy. KIND "start" is a
cluster as `init()` makes it: start-up, idle memory and shutdown. KIND "work" is a warm cluster for the cases below,
KIND "scale" one for those of scale.py, KIND "million" one for the million of tasks there.
The clock of "start" begins before anything is imported.
"""

import time

BEGIN = time.perf_counter()

import importlib
import json
import os
import signal
import sys

from timing import CLOCK, median, median_of, timed

STORE_BYTES = 2_000_000_000
LARGE_BYTES = 100_000_000
CASE_LIMIT_S = 180
MILLION_LIMIT_S = 1800
SETTLE_S = 3.0


# ---- start, memory, shutdown ----


def start(library_name, wanted):
    """Import, init, first task; then what the idle cluster weighs; then shutdown."""
    ray = importlib.import_module(library_name)
    imported = CLOCK()
    ray.init(num_cpus=2)
    ready = CLOCK()

    @ray.remote
    def first(x):
        return x

    assert ray.get(first.remote(1)) == 1
    done = CLOCK()
    parts = {"import": imported - BEGIN, "init": ready - imported, "first task": done - ready}
    results = {"startup": done - BEGIN}
    if "memory" in wanted:
        ray.get([first.remote(i) for i in range(20)])
        time.sleep(SETTLE_S)  # workers that are still on their way count too
        results["memory"], parts["processes"] = cluster_memory()
    results["shutdown"] = timed(ray.shutdown)
    return {key: value for key, value in results.items() if key in wanted}, parts


def cluster_memory():
    """Proportional set size of all processes of the cluster but this one, and how many they are."""
    total, count = 0, 0
    for pid in cluster_processes():
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                lines = [line for line in file if line.startswith("Pss:")]
        except OSError:  # it ended meanwhile
            continue
        total += int(lines[0].split()[1]) * 1024
        count += 1
    return total, count


def cluster_processes():
    """Processes with our mark in their environment, and all that descend from them or from us.

    Daemons are no children of ours, and a process that sets its title may write over its environment.
    """
    mark = f"NBRAY_BENCH_MARK={os.environ['NBRAY_BENCH_MARK']}".encode()
    found, parents = {os.getpid()}, {}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            with open(f"/proc/{pid}/stat") as file:
                parents[pid] = int(file.read().rpartition(")")[2].split()[1])
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark in file.read().split(b"\0"):
                    found.add(pid)
        except OSError:
            continue
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in found} - found
        grown = bool(children)
        found |= children
    return found - {os.getpid()}


# ---- the warm cluster ----


class Work:
    """One method per case, in the order of the table; each returns seconds."""

    def __init__(self, ray):
        import numpy

        self.ray, self.np = ray, numpy

        @ray.remote
        def echo(x):
            return x

        @ray.remote
        def add(a, b):
            return a + b

        @ray.remote
        def first_of(array):
            return array[0]

        @ray.remote
        def count(*values):
            return len(values)

        @ray.remote
        def submits(n):
            return len(ray.get([echo.remote(i) for i in range(n)]))

        @ray.remote
        class Actor:
            def echo(self, x):
                return x

        self.echo, self.add, self.first_of, self.count, self.submits, self.Actor = (
            echo,
            add,
            first_of,
            count,
            submits,
            Actor,
        )
        assert ray.get(echo.remote(1)) == 1

    def put_first(self):
        """Of a cluster that has stored nothing yet."""
        array = self.large()
        return timed(lambda: self.ray.put(array))

    def large(self):
        array = self.np.empty(LARGE_BYTES, self.np.uint8)
        array[:] = 7
        return array

    def warm_up(self):
        ray = self.ray
        ray.get([self.echo.remote(i) for i in range(200)])
        time.sleep(0.5)

    def task(self):
        return median_of(lambda: self.ray.get(self.echo.remote(1)), 1000, 200)

    def tasks(self):
        def all_of_them(n):
            self.ray.get([self.echo.remote(i) for i in range(n)])

        all_of_them(1000)
        return timed(lambda: all_of_them(10_000)) / 10_000

    def actor_call(self):
        actor = self.Actor.remote()
        return median_of(lambda: self.ray.get(actor.echo.remote(1)), 1000, 200)

    def actor_calls(self):
        actor = self.Actor.remote()

        def all_of_them(n):
            self.ray.get([actor.echo.remote(i) for i in range(n)])

        all_of_them(1000)
        return timed(lambda: all_of_them(10_000)) / 10_000

    def put_small(self):
        def many(n):
            for _ in range(n):
                self.ray.put(1)

        many(500)
        return timed(lambda: many(5000)) / 5000

    def get_small(self):
        ref = self.ray.put(1)

        def many(n):
            for _ in range(n):
                self.ray.get(ref)

        many(500)
        return timed(lambda: many(5000)) / 5000

    def put_warm(self):
        """With enough puts before that either library has touched all the memory it takes in turn."""
        array = self.large()
        return median_of(lambda: self.ray.put(array), 15, 30)

    def put_over_memcpy(self):
        """How many times longer than a copy between two arrays that were touched before; taken in turn."""
        source, target = self.large(), self.large()
        puts, copies = [], []
        for i in range(45):
            put, copy = timed(lambda: self.ray.put(source)), timed(lambda: self.np.copyto(target, source))
            if i >= 30:
                puts.append(put)
                copies.append(copy)
        return median(puts) / median(copies)

    def get_large(self):
        """Each ref is got for the first time, and not right after the copy of `put`, which empties the caches."""
        array, times = self.large(), []
        for _ in range(4):
            refs = [self.ray.put(array) for _ in range(10)]
            for ref in refs:
                begin = CLOCK()
                value = self.ray.get(ref)
                times.append(CLOCK() - begin)
                assert value[-1] == 7
                del value
            del refs, ref
        return median(times[10:])

    def argument_ref(self):
        ref = self.ray.put(self.large())
        return median_of(lambda: self.ray.get(self.first_of.remote(ref)), 100, 10)

    def argument_value(self):
        array = self.large()
        return median_of(lambda: self.ray.get(self.first_of.remote(array)), 9, 2)

    def chain(self):
        def run(n):
            ref = self.echo.remote(0)
            for _ in range(n - 1):
                ref = self.echo.remote(ref)
            self.ray.get(ref)

        return median_of(lambda: run(500), 3, 1)

    def tree(self):
        def run(n):
            refs = [self.echo.remote(i) for i in range(n)]
            while len(refs) > 1:
                refs = [self.add.remote(refs[i], refs[i + 1]) for i in range(0, len(refs), 2)]
            assert self.ray.get(refs[0]) == sum(range(n))

        return median_of(lambda: run(512), 3, 1)

    def wait(self):
        def run(n):
            pending = [self.echo.remote(i) for i in range(n)]
            while pending:
                _, pending = self.ray.wait(pending)

        return median_of(lambda: run(1000), 3, 1)

    def many_arguments(self):
        refs = [self.ray.put(i) for i in range(5000)]

        def run():
            assert self.ray.get(self.count.remote(*refs)) == 5000

        return median_of(run, 3, 1)

    def nested(self):
        def run():
            assert self.ray.get(self.submits.remote(1000)) == 1000

        return median_of(run, 3, 1)


def work(library_name, wanted):
    """All wanted cases of "work" in one cluster."""
    import numpy  # noqa: F401 - before: the threads of its OpenBLAS spin for 30 ms when they begin

    ray = importlib.import_module(library_name)
    ray.init(num_cpus=2, object_store_memory=STORE_BYTES)
    cases = Work(ray)
    results, errors = {}, {}
    if "put_first" in wanted:
        _measure(cases, ["put_first"], results, errors)
    cases.warm_up()
    _measure(cases, [key for key in wanted if key != "put_first"], results, errors)
    ray.shutdown()
    return results, errors


def scale(library_name, wanted, limit_s=CASE_LIMIT_S):
    """All wanted cases of "scale" in one cluster."""
    from scale import Scale

    ray = importlib.import_module(library_name)
    ray.init(num_cpus=2, object_store_memory=STORE_BYTES)
    results, errors = {}, {}
    _measure(Scale(ray, cluster_memory), wanted, results, errors, limit_s)
    ray.shutdown()
    return results, errors


def million(library_name, wanted):
    """The same with its patience for a million of tasks."""
    return scale(library_name, wanted, MILLION_LIMIT_S)


def _measure(cases, keys, results, errors, limit_s=CASE_LIMIT_S):
    """Run cases; one that fails is told and costs only itself."""
    for key in keys:
        try:
            signal.alarm(limit_s)
            results[key] = getattr(cases, key)()
        except Exception as error:
            errors[key] = f"{type(error).__name__}: {error}"[:500]
        finally:
            signal.alarm(0)


KINDS = {"start": start, "work": work, "scale": scale, "million": million}


def main():
    library_name, kind, *wanted = sys.argv[1:]
    signal.signal(signal.SIGALRM, _too_long)
    results, rest = KINDS[kind](library_name, wanted)
    print(json.dumps({"results": results, "parts" if kind == "start" else "errors": rest}))


def _too_long(signum, frame):
    raise TimeoutError("no result within the limit")


if __name__ == "__main__":
    main()
