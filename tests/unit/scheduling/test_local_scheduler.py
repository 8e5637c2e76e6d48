"""The local scheduler: no lease lost, nothing over-committed, nobody starves."""

import random

import pytest

from nbray.config import Limits
from nbray.placement import Target
from nbray.resources import CPU, GPU, UNITS
from nbray.scheduling import events as ev
from nbray.scheduling.local_scheduler import LocalScheduler
from nbray.scheduling.worker_pool_state import IDLE, STOPPING

A, B, C = 100, 200, 300  # owners
ONE = {CPU: UNITS}


class Node:
    """A scheduler with its workers and owners, in virtual time."""

    def __init__(self, cpus=2, gpus=0, auto_start=True, changed=None, extra=None):
        totals = {CPU: cpus * UNITS, GPU: gpus * UNITS, **(extra or {})}
        self.scheduler = LocalScheduler("n" * 56, totals, range(gpus), Limits(changed))
        self.now = 0.0
        self.auto_start = auto_start
        self.to_start = []
        self.next_peer = 1
        self.log = []
        self.grants = []  # GrantLease not yet returned
        self.placed = []
        self.revoked = []

    def do(self, event_class, **fields):
        """Feed one event, carry out the effects, return them."""
        effects = self.scheduler.handle(event_class(self.now, **fields))
        self.scheduler.validate()
        self.log.extend(effects)
        for effect in effects:
            if isinstance(effect, ev.GrantLease):
                self.grants.append(effect)
            elif isinstance(effect, ev.PlaceActor):
                self.placed.append(effect)
            elif isinstance(effect, ev.RevokeLease):
                self.revoked.append(effect)
            elif isinstance(effect, ev.StartWorker):
                self.to_start.append(effect.token)
            elif isinstance(effect, (ev.StopWorker, ev.KillWorker)) and self.auto_start:
                self.worker_dies(effect.worker)
        while self.auto_start and self.to_start:
            self.start_next()
        return effects

    def start_next(self):
        token = self.to_start.pop(0)
        peer, self.next_peer = self.next_peer, self.next_peer + 1
        self.do(ev.WorkerReady, token=token, worker=peer, pid=peer)

    def want(self, owner, count=1, resources=None, request_id=1, **fields):
        need = ONE if resources is None else resources
        return self.do(ev.LeaseWanted, owner=owner, request_id=request_id, resources=need, count=count, **fields)

    def give_back(self, grant, **fields):
        self.grants.remove(grant)
        return self.do(ev.LeaseReturned, owner=grant.owner, lease_id=grant.lease_id, **fields)

    def worker_dies(self, peer):
        self.grants = [grant for grant in self.grants if grant.worker != peer]
        return self.do(ev.WorkerDied, worker=peer)

    def tick(self, seconds):
        self.now += seconds
        return self.do(ev.Tick)

    def of(self, owner):
        return [grant for grant in self.grants if grant.owner == owner]


def test_prestart_then_grant_without_starting_more():
    node = Node()
    node.do(ev.PrestartWanted, count=2)
    assert node.next_peer == 3
    node.want(A, count=2)
    assert len(node.of(A)) == 2
    assert node.next_peer == 3


def test_an_owner_is_never_lent_itself():
    """A worker whose task has ended may still own tasks: it needs another worker, also when it is idle."""
    node = Node(cpus=1)
    node.want(A)
    (grant,) = node.of(A)
    node.give_back(grant)  # its task has ended; it is idle, and asks for itself
    node.want(grant.worker)
    (own,) = node.of(grant.worker)
    assert own.worker != grant.worker


def test_workers_that_became_actors_or_died_are_replaced_ahead_of_demand():
    node = Node()
    node.do(ev.PrestartWanted, count=2)
    node.do(ev.ActorWanted, actor_id="a", resources=ONE, hold={})
    assert node.scheduler.pool.counts()[IDLE] == 2
    node.worker_dies(node.placed[0].worker)
    assert node.scheduler.pool.counts()[IDLE] == 2
    node.auto_start = False
    node.worker_dies(next(node.scheduler.pool.idle()).peer)
    node.do(ev.WorkerStartFailed, token=node.to_start.pop(0))
    assert not node.to_start  # not for ever, when they do not start


def test_grants_stop_at_the_resources_and_go_on_after_a_return():
    node = Node()
    node.want(A, count=5)
    assert len(node.of(A)) == 2
    node.give_back(node.of(A)[0])
    assert len(node.of(A)) == 2
    assert node.scheduler.queue.get((A, 1)).count == 2


def test_count_is_replaced_and_zero_takes_it_back():
    node = Node()
    node.want(A, count=5)
    node.want(A, count=1)
    node.want(A, count=0)
    node.give_back(node.of(A)[0])
    assert len(node.of(A)) == 1
    assert not len(node.scheduler.queue)


def test_a_lease_waits_for_its_worker_without_holding_resources():
    node = Node(auto_start=False)
    node.want(A)
    assert len(node.to_start) == 1
    assert node.scheduler.ledger.free[CPU] == 2 * UNITS
    node.want(A)  # said again: no second worker
    assert len(node.to_start) == 1
    node.start_next()
    assert len(node.of(A)) == 1


def test_infeasible_is_refused_at_once_with_figures():
    node = Node(extra={"turbo": UNITS})
    (refusal,) = node.want(A, resources={CPU: 50 * UNITS}, name="f")
    assert "f asks for {CPU: 50}" in refusal.infeasible
    assert "has 2 CPU" in refusal.infeasible
    (refusal,) = node.want(A, resources={"trubo": UNITS})
    assert "'turbo'" in refusal.infeasible
    (refusal,) = node.want(A, resources={GPU: UNITS})
    assert "0 GPU" in refusal.infeasible
    assert node.want(A, resources={GPU: UNITS}, wait_for_resources=True) == []
    assert len(node.scheduler.queue) == 1


def test_a_small_request_is_not_held_up_by_a_big_one():
    node = Node()
    node.want(A)
    node.want(B, resources={CPU: 2 * UNITS})
    node.want(C)
    assert len(node.of(C)) == 1


def test_a_big_request_does_not_starve():
    node = Node(changed={"lease_slice_s": 0.01})
    node.want(A, count=10**6)
    node.want(B, resources={CPU: 2 * UNITS})
    for _ in range(300):
        node.tick(0.05)
        if node.of(B):
            break
        # Owners of small tasks return one lease at a time, and always want more.
        node.give_back(node.of(A)[0])
        node.want(A, count=10**6)
    assert node.of(B)
    assert node.now < 3.0


def test_deeper_requests_go_first():
    node = Node(cpus=1)
    node.want(A)
    node.want(B, depth=0)
    node.want(C, depth=3)
    node.give_back(node.of(A)[0])
    assert node.of(C) and not node.of(B)


def test_a_new_owner_gets_its_first_lease_before_anothers_next():
    node = Node(cpus=2)
    node.want(A, count=100)
    node.want(B, count=100)
    node.give_back(node.of(A)[0])
    assert len(node.of(A)) == 1 and len(node.of(B)) == 1
    node.give_back(node.of(B)[0])
    node.want(C)
    assert len(node.of(B)) == 1  # C came after B's next request had been granted
    node.give_back(node.of(B)[0])
    assert node.of(C) and not node.of(B)
    node.want(B, count=100)
    node.give_back(node.of(A)[0])
    assert node.of(B) and node.of(C) and not node.of(A)


def test_revocation_asks_the_one_with_most_leases_once():
    node = Node(cpus=4, changed={"lease_slice_s": 0.02})
    node.want(A, count=3)
    node.want(B, count=1)
    node.tick(1)
    node.want(C)
    assert [effect.owner for effect in node.revoked] == [A]
    node.tick(1)
    assert len(node.revoked) == 1
    node.give_back(next(grant for grant in node.of(A) if grant.lease_id == node.revoked[0].lease_id))
    assert node.of(C)


def test_revocation_waits_for_the_time_slice_and_asks_for_a_tick():
    node = Node(cpus=1, changed={"lease_slice_s": 0.5})
    node.want(A, count=2)
    node.want(B)
    assert not node.revoked
    assert node.scheduler.next_wakeup() == pytest.approx(0.5)
    node.tick(0.5)
    assert [effect.owner for effect in node.revoked] == [A]


def test_an_owner_revokes_its_own_other_shape():
    node = Node(cpus=1)
    node.want(A, count=100)
    node.want(A, resources={CPU: UNITS // 2}, request_id=2)
    node.tick(0.1)
    assert [effect.owner for effect in node.revoked] == [A]
    node.give_back(node.of(A)[0])
    assert [grant.request_id for grant in node.of(A)] == [2]


def test_nobody_is_asked_when_that_would_not_help():
    node = Node(cpus=2, extra={"disk": UNITS})
    node.want(A, resources={"disk": UNITS})
    node.do(ev.ActorWanted, actor_id="x", resources=ONE, hold=ONE)
    node.want(B)
    node.want(C, resources={CPU: 2 * UNITS})
    node.tick(5)
    assert not node.revoked  # one CPU belongs to the actor for good


def test_blocked_workers_lend_their_cpu():
    node = Node(cpus=1)
    node.want(A)
    outer = node.of(A)[0]
    node.want(outer.worker, depth=1)
    assert not node.of(outer.worker)
    node.do(ev.WorkerBlocked, worker=outer.worker)
    inner = node.of(outer.worker)[0]
    node.do(ev.WorkerUnblocked, worker=outer.worker)
    assert node.scheduler.ledger.free[CPU] == -UNITS
    node.want(B)
    assert not node.of(B)
    node.give_back(inner)
    assert not node.of(B)
    node.give_back(outer)
    assert node.of(B)


def test_what_is_lent_for_a_moment_is_offered():
    """A task that polls lends and takes back between two decisions: whom it waits for gets the CPU all the same."""
    node = Node(cpus=1)
    node.want(A)
    outer = node.of(A)[0]
    node.want(B, resources={})
    node.give_back(node.of(B)[0])  # a worker is idle
    node.want(outer.worker, depth=1)
    assert node.scheduler.feed(ev.WorkerBlocked(node.now, outer.worker)) == []
    (granted,) = node.scheduler.feed(ev.WorkerUnblocked(node.now, outer.worker))
    assert isinstance(granted, ev.GrantLease) and granted.owner == outer.worker
    assert node.scheduler.ledger.free[CPU] == -UNITS
    node.scheduler.validate()


def test_a_hundred_nested_gets_on_two_cpus():
    node = Node(cpus=2)
    node.want(A)
    owner, chain = A, []
    for depth in range(1, 101):
        (grant,) = node.of(owner)
        chain.append(grant)
        if depth == 100:
            break
        node.want(grant.worker, depth=depth)
        node.do(ev.WorkerBlocked, worker=grant.worker)
        owner = grant.worker
    for grant in reversed(chain):
        node.give_back(grant)
        previous = [other for other in chain if other.worker == grant.owner]
        if previous:
            node.do(ev.WorkerUnblocked, worker=previous[0].worker)
    assert node.scheduler.ledger.free == node.scheduler.ledger.totals


def test_replacements_have_a_cap():
    node = Node(cpus=1, changed={"extra_workers": 3})
    node.want(A)
    owner = A
    for depth in range(1, 10):
        if not node.of(owner):
            break
        grant = node.of(owner)[0]
        node.want(grant.worker, depth=depth)
        node.do(ev.WorkerBlocked, worker=grant.worker)
        owner = grant.worker
    assert len(node.scheduler.pool.workers) == 4


def test_surplus_idle_workers_end_after_a_while():
    node = Node(cpus=1, changed={"idle_worker_s": 5.0})
    node.want(A, count=3, resources={})
    for grant in list(node.grants):
        node.give_back(grant)
    assert len(node.scheduler.pool.workers) == 3
    assert node.scheduler.next_wakeup() == pytest.approx(5.0)
    node.tick(5.0)
    assert len(node.scheduler.pool.workers) == 1
    assert node.scheduler.next_wakeup() is None


def test_an_idle_worker_that_owns_tasks_stays():
    node = Node(cpus=1)
    node.want(A, count=3, resources={})
    owner = node.grants[0].worker
    node.want(owner, resources={}, request_id=9)
    for grant in [grant for grant in node.grants if grant.owner == A]:
        node.give_back(grant)
    node.tick(60.0)
    assert owner in node.scheduler.pool.workers
    assert node.scheduler.next_wakeup() is None or node.scheduler.next_wakeup() > node.now


def test_worker_death_gives_all_back():
    node = Node(cpus=2, gpus=1)
    node.want(A, resources={CPU: UNITS, GPU: UNITS})
    node.worker_dies(node.of(A)[0].worker)
    assert node.scheduler.ledger.free == node.scheduler.ledger.totals
    assert not node.scheduler.leases


def test_owner_death_kills_what_ran_for_it():
    node = Node(cpus=2, auto_start=False)
    node.want(A, count=2)
    node.start_next()
    node.start_next()
    node.want(A, count=5)
    effects = node.do(ev.OwnerDied, owner=A)
    killed = [effect.worker for effect in effects if isinstance(effect, ev.KillWorker)]
    assert sorted(killed) == [1, 2]
    assert not len(node.scheduler.queue)
    assert node.scheduler.ledger.free[CPU] == 0  # not before they are dead
    node.worker_dies(1)
    node.worker_dies(2)
    assert node.scheduler.ledger.free == node.scheduler.ledger.totals


def test_discard_stops_the_worker():
    node = Node(auto_start=False)
    node.want(A)
    node.start_next()
    effects = node.give_back(node.of(A)[0], discard=True)
    (stop,) = [effect for effect in effects if isinstance(effect, ev.StopWorker)]
    assert not stop.reason  # its owner takes it for dead: the reason would stand beside how it really died
    assert node.scheduler.pool.workers[1].state == STOPPING
    node.want(B)
    assert not node.of(B)


def test_a_lease_of_another_owner_cannot_be_returned():
    node = Node()
    node.want(A)
    grant = node.of(A)[0]
    node.do(ev.LeaseReturned, owner=B, lease_id=grant.lease_id)
    node.do(ev.LeaseReturned, owner=A, lease_id=999)
    assert grant.lease_id in node.scheduler.leases
    node.give_back(grant)
    node.do(ev.LeaseReturned, owner=A, lease_id=grant.lease_id)
    assert node.scheduler.pool.workers[grant.worker].state == IDLE


def test_workers_stay_with_their_job_and_environment():
    node = Node(cpus=1, changed={"extra_workers": 0})
    node.want(A, job_id=1)
    first = node.of(A)[0]
    node.give_back(first)
    node.want(B, job_id=2)
    assert node.of(B)[0].worker != first.worker
    assert first.worker not in node.scheduler.pool.workers  # it had to make room


def test_actors_are_placed_with_more_than_they_hold():
    node = Node(cpus=1)
    for name in "abc":
        node.do(ev.ActorWanted, actor_id=name, resources=ONE, hold={})
    assert [effect.actor_id for effect in node.placed] == ["a", "b", "c"]
    assert node.scheduler.ledger.free[CPU] == UNITS
    node.want(A)
    node.do(ev.ActorWanted, actor_id="d", resources=ONE, hold={})
    assert len(node.placed) == 3
    node.do(ev.ActorUnwanted, actor_id="d")
    node.give_back(node.of(A)[0])
    assert len(node.placed) == 3


def test_a_thousand_waiting_actors_cost_little():
    """Events are fed one by one and decided together; a decision looks at few requests."""
    node = Node(cpus=2, auto_start=False)
    for number in range(1000):
        wanted = ev.ActorWanted(0.0, f"{number:04}", ONE, {})
        assert node.scheduler.feed(wanted) == []
    effects = node.scheduler.decide(0.0)
    assert len(effects) == node.scheduler.limits.starting_workers
    looked_at = []
    fits = node.scheduler.ledger.fits
    node.scheduler.ledger.fits = lambda *args: looked_at.append(args) or fits(*args)
    assert node.scheduler.decide(0.0) == []
    assert len(looked_at) <= 2 * node.scheduler.limits.starting_workers
    node.to_start = [effect.token for effect in effects]
    while node.to_start:
        node.start_next()
    cap = node.scheduler.limits.max_processes
    assert [effect.actor_id for effect in node.placed] == [f"{number:04}" for number in range(cap)]


def test_gpu_numbers_come_with_the_lease():
    node = Node(cpus=4, gpus=2)
    node.want(A, resources={GPU: UNITS})
    node.want(B, resources={GPU: UNITS // 2})
    assert node.of(A)[0].gpu_ids != node.of(B)[0].gpu_ids


def test_workers_that_do_not_start_fail_the_requests():
    node = Node(auto_start=False)
    node.want(A)
    for attempt in range(3):
        effects = node.do(ev.WorkerStartFailed, token=node.to_start.pop(0), reason="no module named x")
        if attempt < 2:
            assert node.to_start
    (refusal,) = [effect for effect in effects if isinstance(effect, ev.RefuseLease)]
    assert "no module named x" in refusal.error
    assert not node.to_start


def test_starts_that_fail_with_one_zygote_count_once():
    node = Node(cpus=6, auto_start=False)
    node.want(A, count=6)
    for death in range(1, 4):
        tokens = [node.to_start.pop(0) for _ in range(6)]
        refused = []
        for token in tokens:
            effects = node.do(ev.WorkerStartFailed, token=token, reason="it died", zygote_death=death)
            refused += [effect for effect in effects if isinstance(effect, ev.RefuseLease)]
        assert len(refused) == (death == 3)


@pytest.mark.parametrize("seed", range(40))
def test_random_histories(seed):
    """Random owners, shapes, deaths, blocks: invariants after each event, and all is served in the end."""
    rng = random.Random(seed)
    shapes = [ONE, {CPU: UNITS // 2}, {CPU: 2 * UNITS}, {GPU: UNITS // 2}, {}, {CPU: UNITS, "disk": 3000}]
    node = Node(cpus=rng.choice([1, 2, 4]), gpus=1, extra={"disk": UNITS}, changed={"lease_slice_s": 0.01})
    if node.scheduler.num_cpus < 2:
        shapes.remove({CPU: 2 * UNITS})
    wants = {}  # (owner, request id) -> leases still wanted
    blocked = set()
    for _ in range(400):
        node.now += rng.random() * 0.05
        action = rng.random()
        granted_before = len([effect for effect in node.log if isinstance(effect, ev.GrantLease)])
        if action < 0.35:
            index = rng.randrange(len(shapes))
            owner = rng.choice([A, B, C])
            count = rng.randrange(0, 4)
            node.want(owner, count=count, resources=shapes[index], request_id=index, depth=rng.randrange(3))
            wants[owner, index] = count
            granted_before_want = granted_before
            new = [effect for effect in node.log if isinstance(effect, ev.GrantLease)][granted_before_want:]
        elif action < 0.75 and node.grants:
            grant = rng.choice(node.grants)
            blocked.discard(grant.worker)
            node.give_back(grant, discard=rng.random() < 0.1)
            new = [effect for effect in node.log if isinstance(effect, ev.GrantLease)][granted_before:]
        elif action < 0.8 and node.grants:
            node.worker_dies(rng.choice(node.grants).worker)
            new = [effect for effect in node.log if isinstance(effect, ev.GrantLease)][granted_before:]
        elif action < 0.95 and node.grants:
            worker = rng.choice(node.grants).worker
            kind = ev.WorkerUnblocked if worker in blocked else ev.WorkerBlocked
            (blocked.discard if worker in blocked else blocked.add)(worker)
            node.do(kind, worker=worker)
            new = [effect for effect in node.log if isinstance(effect, ev.GrantLease)][granted_before:]
        elif action < 0.97:
            node.do(ev.CpusSet, units=rng.randrange(2 if {CPU: 2 * UNITS} in shapes else 1, 5) * UNITS)
            new = [effect for effect in node.log if isinstance(effect, ev.GrantLease)][granted_before:]
        else:
            node.tick(rng.random())
            new = [effect for effect in node.log if isinstance(effect, ev.GrantLease)][granted_before:]
        for grant in new:
            wants[grant.owner, grant.request_id] -= 1
            assert wants[grant.owner, grant.request_id] >= 0, "more leases than wanted"
    # Now everybody works off what they have and nobody asks for more: all are served.
    for _ in range(2000):
        if not node.grants and not len(node.scheduler.queue):
            break
        before = len([effect for effect in node.log if isinstance(effect, ev.GrantLease)])
        if node.grants:
            node.give_back(node.grants[0])
        else:
            node.tick(0.5)
        for grant in [effect for effect in node.log if isinstance(effect, ev.GrantLease)][before:]:
            wants[grant.owner, grant.request_id] -= 1
    assert not len(node.scheduler.queue)
    assert all(count == 0 for count in wants.values()), wants
    node.tick(100.0)
    assert node.scheduler.ledger.free == node.scheduler.ledger.totals
    assert not node.scheduler.leases


def test_more_cpus_serve_who_waits():
    node = Node(cpus=1)
    node.want(A, count=3)
    assert len(node.of(A)) == 1
    node.do(ev.CpusSet, units=3 * UNITS)
    assert len(node.of(A)) == 3


def test_fewer_cpus_ask_leases_back_the_youngest_first():
    node = Node(cpus=4)
    for owner in (A, B, C):
        node.now += 1
        node.want(owner)
    node.want(A, request_id=2, resources={GPU: 0, "disk": 0})  # holds no CPU: nothing to get there
    node.do(ev.CpusSet, units=UNITS)
    assert [effect.owner for effect in node.revoked] == [C, B]
    node.do(ev.CpusSet, units=UNITS)
    assert len(node.revoked) == 2, "each is asked once"
    for owner in (B, C):
        node.want(owner, request_id=3)
        (grant,) = node.of(owner)
        node.give_back(grant)
        assert not node.of(owner)
    (grant,) = [grant for grant in node.of(A) if grant.request_id == 1]
    node.give_back(grant)
    assert len(node.of(B)) + len(node.of(C)) == 1


def test_fewer_cpus_refuse_what_can_never_run():
    node = Node(cpus=4)
    node.want(A, count=4)
    node.want(B, resources={CPU: 3 * UNITS})
    node.want(C, resources={CPU: 3 * UNITS}, wait_for_resources=True)
    effects = node.do(ev.CpusSet, units=2 * UNITS)
    (refusal,) = [effect for effect in effects if isinstance(effect, ev.RefuseLease)]
    assert refusal.owner == B and "2" in refusal.infeasible
    node.do(ev.CpusSet, units=4 * UNITS)
    for grant in node.of(A):
        node.give_back(grant)
    assert node.of(C)


def test_idle_workers_of_a_job_end_with_it():
    node = Node(cpus=2, auto_start=False)
    node.want(A, job_id=1)
    node.start_next()
    node.want(B, job_id=2)
    node.start_next()
    first, second = node.grants
    node.do(ev.LeaseReturned, owner=first.owner, lease_id=first.lease_id)
    effects = node.do(ev.JobEnded, job_id=1)
    assert [effect.worker for effect in effects if isinstance(effect, ev.StopWorker)] == [first.worker]
    assert node.scheduler.pool.workers[first.worker].state == STOPPING
    assert node.scheduler.pool.workers[second.worker].state != STOPPING


def test_nothing_is_kept_for_what_an_actor_holds_for_good():
    node = Node(cpus=2, gpus=1)
    node.do(ev.ActorWanted, actor_id="model", resources={CPU: UNITS, GPU: UNITS}, hold={GPU: UNITS})
    node.want(A, resources={CPU: UNITS, GPU: UNITS})
    for _ in range(50):
        node.tick(0.1)
    node.want(B, count=2)
    assert len(node.of(B)) == 2


def test_what_does_not_wait_is_refused_unless_a_lease_comes_back_soon():
    node = Node(cpus=1)
    at_once = Target(node_id="n" * 56, at_once=True)
    node.want(A)
    node.want(B, target=at_once)
    assert not refused(node)
    node.give_back(node.grants[0])
    assert [grant.owner for grant in node.grants] == [B]
    node.want(C, target=at_once)
    assert not refused(node) and node.scheduler.next_wakeup() is not None
    node.tick(1.0)
    assert [effect.owner for effect in refused(node)] == [C]


def refused(node):
    return [effect for effect in node.log if isinstance(effect, ev.RefuseLease) and "at once" in effect.infeasible]
