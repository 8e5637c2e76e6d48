"""Bundles: nothing is reserved twice, all of it comes back, and what runs in a bundle stays within it."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nbray.config import Limits
from nbray.placement import Target
from nbray.resources import CPU, GPU, UNITS
from nbray.scheduling import events as ev
from nbray.scheduling.local_scheduler import LocalScheduler
from nbray.scheduling.placement_groups import ANY, NodeBundles
from nbray.scheduling.resource_ledger import ResourceLedger

AMOUNT = st.sampled_from([0, 2500, 5000, 10000, 20000])
BUNDLE = st.builds(lambda cpu, gpu: {name: units for name, units in ((CPU, cpu), (GPU, gpu)) if units}, AMOUNT, AMOUNT)
GROUP = st.sampled_from(["g", "h"])


class BundleMachine(RuleBasedStateMachine):
    @initialize(cpus=st.integers(1, 4), gpus=st.integers(0, 3))
    def start(self, cpus, gpus):
        self.node = ResourceLedger({CPU: cpus * UNITS, GPU: gpus * UNITS}, range(10, 10 + gpus))
        self.bundles = NodeBundles(self.node)
        self.reserved = {}
        self.held = []

    @rule(group=GROUP, bundles=st.lists(BUNDLE.filter(bool), min_size=1, max_size=3))
    def prepare(self, group, bundles):
        if group in self.reserved:
            return
        before = dict(self.node.free)
        if self.bundles.prepare(group, dict(enumerate(bundles))):
            self.reserved[group] = bundles
            assert self.bundles.prepare(group, dict(enumerate(bundles))), "saying it again changes nothing"
        else:
            assert self.node.free == before

    @rule(group=GROUP)
    def commit(self, group):
        self.bundles.commit(group)
        assert self.bundles.is_open(group) == (group in self.reserved)

    @rule(group=GROUP, index=st.integers(-1, 2), need=BUNDLE)
    def take(self, group, index, need):
        fits = self.bundles.fits(group, index, need)
        taken = self.bundles.take(group, index, need, need)
        assert (taken is not None) == fits
        if taken is not None:
            assert self.bundles.feasible(group, index, need)
            assert set(taken.ledger.device_numbers(taken)) <= set(taken.ledger.gpu_ids) <= set(self.node.gpu_ids)
            self.held.append(taken)

    @rule(data=st.data())
    def give(self, data):
        if self.held:
            taken = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
            taken.ledger.give(taken)
            self.bundles.settle()

    @rule(group=GROUP)
    def remove(self, group):
        self.bundles.give_back(group)
        self.reserved.pop(group, None)
        assert not self.bundles.fits(group, ANY, {})

    @invariant()
    def books_agree(self):
        if hasattr(self, "bundles"):
            self.bundles.validate()
            self.node.validate()

    def teardown(self):
        if hasattr(self, "bundles"):
            for taken in self.held:
                taken.ledger.give(taken)
            for group in list(self.reserved):
                self.bundles.give_back(group)
            self.bundles.settle()
            assert self.node.idle
            assert self.node.free == self.node.totals


TestBundles = BundleMachine.TestCase
TestBundles.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


# ------------------------------------------------------------------ with the scheduler

A, B = 101, 102  # owners


class Node:
    """A scheduler whose workers start as soon as they are wanted."""

    def __init__(self, **totals):
        self.scheduler = LocalScheduler("n1", {name: units * UNITS for name, units in totals.items()}, limits=Limits())
        self.now = 0.0
        self.peer = 200

    def feed(self, event_class, **fields):
        effects = self.scheduler.handle(event_class(self.now, **fields))
        done = []
        while effects:
            effect = effects.pop(0)
            done.append(effect)
            if isinstance(effect, ev.StartWorker):
                self.peer += 1
                effects += self.scheduler.handle(ev.WorkerReady(self.now, effect.token, self.peer, self.peer))
        self.scheduler.validate()
        return done

    def want(self, owner, group="", bundle=-1, cpu=1, count=1, request_id=1):
        return self.feed(
            ev.LeaseWanted, owner=owner, request_id=request_id, resources={CPU: int(cpu * UNITS)}, count=count,
            target=Target(group=group, bundle=bundle),
        )  # fmt: skip

    def group(self, *cpus, name="g"):
        bundles = {index: {CPU: units * UNITS} for index, units in enumerate(cpus)}
        done = self.feed(ev.BundlesWanted, group=name, bundles=bundles)
        if ev.BundlesAnswer(name, True) in done:
            done += self.feed(ev.BundlesCommitted, group=name)
        return done


def only(effects, cls):
    found = [effect for effect in effects if isinstance(effect, cls)]
    assert len(found) == 1, effects
    return found[0]


def test_what_is_in_a_bundle_takes_nothing_from_the_node():
    node = Node(CPU=3)
    node.group(2)
    assert node.scheduler.ledger.free[CPU] == UNITS
    grants = [effect for effect in node.want(A, "g", count=3) if isinstance(effect, ev.GrantLease)]
    assert len(grants) == 2
    assert node.scheduler.ledger.free[CPU] == UNITS
    only(node.want(B), ev.GrantLease)


def test_a_request_waits_for_its_group():
    node = Node(CPU=2)
    assert not [effect for effect in node.want(A, "g", 0) if isinstance(effect, (ev.GrantLease, ev.RefuseLease))]
    only(node.group(1), ev.GrantLease)


def test_a_request_that_no_bundle_can_give_is_refused_when_the_group_is_there():
    node = Node(CPU=2)
    node.want(A, "g", 1)
    refused = only(node.group(2), ev.RefuseLease)
    assert "bundle 1" in refused.infeasible
    refused = only(node.want(A, "g", cpu=3, request_id=2), ev.RefuseLease)
    assert "{CPU: 3}" in refused.infeasible and "{CPU: 2}" in refused.infeasible


def test_a_group_asks_leases_back_and_gets_its_bundles_when_they_come():
    node = Node(CPU=2)
    grants = [effect for effect in node.want(A, count=2) if isinstance(effect, ev.GrantLease)]
    assert len(grants) == 2
    node.now = 1.0
    revoked = [effect.lease_id for effect in node.group(2) if isinstance(effect, ev.RevokeLease)]
    assert sorted(revoked) == sorted(grant.lease_id for grant in grants)
    node.feed(ev.LeaseReturned, owner=A, lease_id=revoked[0])
    done = node.feed(ev.LeaseReturned, owner=A, lease_id=revoked[1])
    assert ev.BundlesAnswer("g", True) in done


def test_a_starving_group_is_not_overtaken_for_ever():
    node = Node(CPU=2)
    first = only(node.want(A, count=1), ev.GrantLease)
    node.group(2)
    node.now = 5.0
    assert not [effect for effect in node.want(B, request_id=7) if isinstance(effect, ev.GrantLease)]
    done = node.feed(ev.LeaseReturned, owner=A, lease_id=first.lease_id)
    assert ev.BundlesAnswer("g", True) in done


def test_removal_ends_all_that_waits_and_runs_in_the_group():
    node = Node(CPU=3)
    node.group(1)
    granted = only(node.want(A, "g"), ev.GrantLease)
    node.want(B, "g")
    done = node.feed(ev.BundlesUnwanted, group="g")
    assert only(done, ev.RefuseLease) == ev.RefuseLease(B, 1, group_removed=True)
    assert only(done, ev.KillWorker).worker == granted.worker
    assert node.scheduler.ledger.free[CPU] == 2 * UNITS, "its worker lives still"
    assert node.scheduler.lease_of(granted.worker).group_removed
    node.feed(ev.WorkerDied, worker=granted.worker)
    assert node.scheduler.ledger.free[CPU] == 3 * UNITS


def test_a_group_that_waits_can_be_taken_back():
    node = Node(CPU=1)
    node.want(A)
    node.group(1)
    node.feed(ev.BundlesUnwanted, group="g")
    assert len(node.scheduler.queue) == 0


def test_prepare_without_waiting_is_answered_at_once():
    node = Node(CPU=1)
    node.want(A)
    done = node.feed(ev.BundlesWanted, group="g", bundles={0: {CPU: UNITS}}, wait=False)
    assert only(done, ev.BundlesAnswer) == ev.BundlesAnswer("g", False)
    assert len(node.scheduler.queue) == 0


def test_a_blocked_task_lends_its_processors_to_its_own_bundle():
    node = Node(CPU=2)
    node.group(1)
    granted = only(node.want(A, "g"), ev.GrantLease)
    node.want(A, "g", request_id=2)
    done = node.feed(ev.WorkerBlocked, worker=granted.worker)
    only(done, ev.GrantLease)
    assert node.scheduler.ledger.free[CPU] == UNITS
    node.feed(ev.WorkerUnblocked, worker=granted.worker)


@pytest.mark.parametrize("died", ["worker", "owner"])
def test_deaths_in_a_bundle_give_its_resources_back_to_it(died):
    node = Node(CPU=1)
    node.group(1)
    granted = only(node.want(A, "g"), ev.GrantLease)
    if died == "owner":
        only(node.feed(ev.OwnerDied, owner=A), ev.KillWorker)
    node.feed(ev.WorkerDied, worker=granted.worker)
    only(node.want(B, "g", 0), ev.GrantLease)
