"""F16, E6, E8: actors that are killed while they work, many actors alive, many actors made and killed.

At full length with NBRAY_FAULTS_FULL=1, else a sixth.
"""

import asyncio
import os
import random
import signal
import threading
import time

import cluster_kit as kit
import pytest

FULL = os.environ.get("NBRAY_FAULTS_FULL") == "1"
CLUSTER = {"num_cpus": 4, "object_store_memory": 64 * 2**20}
LETTERS = 600 if FULL else 100  # calls of each of the 4 actors
PAUSE_S = 0.1 if FULL else 0.03  # how long each takes
KILL_EVERY_S = 1.0 if FULL else 0.5
KINDS = ["plain", "threaded", "async"] if FULL else ["plain", "async"]


def make_database(ray):
    """Return the actor that all report to, and that nobody kills."""

    @ray.remote(num_cpus=0)
    class Database:
        def __init__(self):
            self.rows = {}

        def add(self, who, letter):
            self.rows.setdefault(who, []).append(letter)
            return letter

        def get(self):
            return self.rows

    actor = Database.remote()
    ray.get(actor.get.remote())
    return actor


def reporters(ray, database, kind, gate, **options):
    """Return 4 actors whose calls report to the database. One call of each ends only when the gate is open."""
    options = {"num_cpus": 0, "max_restarts": -1, **options}
    if kind == "threaded":
        options["max_concurrency"] = 2

    class Plain:
        def __init__(self, database):
            self.database = database

        def pid(self):
            return os.getpid()

        def add(self, who, letter):
            time.sleep(PAUSE_S)
            if letter == LETTERS // 2:
                gate.wait()
            return ray.get(self.database.add.remote(who, letter))

    class Async:
        def __init__(self, database):
            self.database = database
            self.turn = asyncio.Lock()

        async def pid(self):
            return os.getpid()

        async def add(self, who, letter):
            async with self.turn:
                await asyncio.sleep(PAUSE_S)
                while letter == LETTERS // 2 and not gate.is_open():
                    await asyncio.sleep(kit.STEP_S)
                return await self.database.add.remote(who, letter)

    cls = ray.remote(**options)(Async if kind == "async" else Plain)
    return [cls.remote(database) for _ in range(4)]


class Killer:
    """Kills one of the actors now and then, by its process id. Opens the gate when that was often enough to say something."""

    def __init__(self, ray, actors, seed, gate):
        self.gate = gate
        self.ray = ray
        self.actors = actors
        self.dice = random.Random(seed)
        self.kills = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.wait(KILL_EVERY_S):
            ids = {actor._actor_id.hex() for actor in self.actors}
            victims = [row["pid"] for row in kit.workers().values() if row["actor_id"] in ids]
            if victims:
                try:
                    os.kill(self.dice.choice(victims), signal.SIGKILL)
                except ProcessLookupError:
                    continue
                self.kills += 1
                if self.kills >= 3:
                    self.gate.open()


@pytest.fixture
def seed():
    seed = random.randrange(2**32)
    print("seed", seed)
    return seed


@pytest.mark.limit(300)
@pytest.mark.parametrize("kind", KINDS)
def test_with_retries_every_call_arrives(ray, seed, kind, gate):
    """And where calls run one after the other, in order."""
    database = make_database(ray)
    actors = reporters(ray, database, kind, gate, max_task_retries=-1)
    ray.get([actor.pid.remote() for actor in actors])
    with kit.no_hang(280), Killer(ray, actors, seed, gate) as killer:
        refs = [[actor.add.remote(who, i) for i in range(LETTERS)] for who, actor in enumerate(actors)]
        for of_one in refs:
            assert ray.get(of_one) == list(range(LETTERS))
    assert killer.kills >= 3
    rows = ray.get(database.get.remote())
    for who in range(4):
        assert set(rows[who]) == set(range(LETTERS))
        if kind == "plain":
            assert list(dict.fromkeys(rows[who])) == list(range(LETTERS)), "the first runs are in order"
            # A call runs again only when its actor died in it.
            assert len(rows[who]) - LETTERS <= killer.kills
    for actor in actors:
        ray.kill(actor)


@pytest.mark.limit(300)
@pytest.mark.parametrize("kind", KINDS)
def test_without_retries_no_call_runs_twice(ray, seed, kind, gate):
    """And what an error says about having run is true."""
    database = make_database(ray)
    actors = reporters(ray, database, kind, gate)
    ray.get([actor.pid.remote() for actor in actors])
    outcomes = {}

    def call(who, actor, numbers):
        pending = []
        for i in numbers:
            pending.append((i, actor.add.remote(who, i)))
            if len(pending) >= 5:
                settle(who, *pending.pop(0))
        for one in pending:
            settle(who, *one)

    def settle(who, i, ref):
        try:
            ray.get(ref)
            outcomes[who, i] = "value"
        except ray.exceptions.ActorUnavailableError as error:
            outcomes[who, i] = error.maybe_executed

    with kit.no_hang(280), Killer(ray, actors, seed, gate) as killer:
        threads = [threading.Thread(target=call, args=(who, a, range(LETTERS))) for who, a in enumerate(actors)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert killer.kills >= 3
    assert len(outcomes) == 4 * LETTERS, "every call has an outcome"
    rows = ray.get(database.get.remote())
    for who in range(4):
        assert len(rows[who]) == len(set(rows[who])), "no call ran twice"
        for i in range(LETTERS):
            if outcomes[who, i] == "value":
                assert i in rows[who]
            elif outcomes[who, i] is False:
                assert i not in rows[who], "it was said not to have begun"
    for actor in actors:
        ray.kill(actor)


@pytest.mark.limit(200)
def test_many_actors_alive(ray):
    """E6: at full length 500 processes from the zygote, each at most 16 MiB of its own, made within 60 s."""
    count = 500 if FULL else 80

    @ray.remote(num_cpus=0)
    class Actor:
        def pid(self):
            return os.getpid()

    with kit.no_hang(180):
        began = time.monotonic()
        actors = [Actor.remote() for _ in range(count)]
        pids = ray.get([actor.pid.remote() for actor in actors])
        took = time.monotonic() - began
        assert len(set(pids)) == count
        own = sorted(kit.private_kib(pid) for pid in pids)
        print(f"{count} actors in {took:.1f} s, each {own[count // 2] / 1024:.1f} MiB of its own (median)")
        assert own[count // 2] <= 16 * 1024
        assert not FULL or took <= 60
        del actors
        kit.eventually(lambda: not any(kit.start_time(pid) for pid in pids), "all actors ended", 60)
    kit.eventually(lambda: ray.available_resources()["CPU"] == 4, "all processors are free")


@pytest.mark.limit(200)
def test_actors_made_and_killed(ray):
    """E8: rounds of 10 actors, at full length each round within 1.05 s on the mean."""
    rounds = 100 if FULL else 16

    @ray.remote(num_cpus=0)
    class Actor:
        def pid(self):
            return os.getpid()

    kit.settle()
    before = kit.used()
    began = time.monotonic()
    with kit.no_hang(180):
        for _ in range(rounds):
            actors = [Actor.remote() for _ in range(10)]
            pids = ray.get([actor.pid.remote() for actor in actors])
            for actor in actors:
                ray.kill(actor)
        took = (time.monotonic() - began) / rounds
        print(f"{took:.2f} s per round of 10")
        kit.eventually(lambda: not any(kit.start_time(pid) for pid in pids), "the last round ended")
    del actors, actor
    kit.eventually(lambda: ray.available_resources()["CPU"] == 4, "all processors are free")
    kit.settle(before)
    assert not FULL or took <= 1.05
