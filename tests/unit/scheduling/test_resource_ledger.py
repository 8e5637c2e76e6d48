"""The ledger: nothing is given twice, nothing is lost, GPUs stay whole."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nbray.resources import CPU, GPU, UNITS
from nbray.scheduling.resource_ledger import ResourceLedger

AMOUNT = st.sampled_from([0, 1, 2500, 3333, 5000, 7500, 10000, 20000, 30000])


class LedgerMachine(RuleBasedStateMachine):
    @initialize(cpus=st.integers(0, 4), gpus=st.integers(0, 4), disk=AMOUNT)
    def start(self, cpus, gpus, disk):
        self.totals = {CPU: cpus * UNITS, GPU: gpus * UNITS, "disk": disk}
        self.ledger = ResourceLedger(self.totals, range(10, 10 + gpus))
        self.held = []
        self.lent = set()

    @rule(cpu=AMOUNT, gpu=AMOUNT, disk=AMOUNT)
    def take(self, cpu, gpu, disk):
        need = {CPU: cpu, GPU: gpu, "disk": disk}
        fits = self.ledger.fits(need)
        taken = self.ledger.take(need)
        assert (taken is not None) == fits
        if taken is not None:
            assert self.ledger.feasible(need)
            numbers = self.ledger.device_numbers(taken)
            assert len(set(numbers)) == len(numbers) == (max(1, gpu // UNITS) if gpu else 0)
            self.held.append(taken)

    @rule(data=st.data())
    def give(self, data):
        if self.held:
            taken = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
            self.lent.discard(taken)
            self.ledger.give(taken)
            with pytest.raises(KeyError):
                self.ledger.give(taken)

    @rule(data=st.data())
    def lend_or_reclaim(self, data):
        if self.held:
            taken = data.draw(st.sampled_from(self.held))
            if taken in self.lent:
                self.ledger.reclaim_cpu(taken)
                self.lent.discard(taken)
            else:
                assert self.ledger.lend_cpu(taken) == taken.amounts.get(CPU, 0)
                assert self.ledger.lend_cpu(taken) == 0
                self.lent.add(taken)

    @rule(cpus=st.integers(0, 4))
    def scale(self, cpus):
        self.totals[CPU] = cpus * UNITS
        self.ledger.set_cpus(cpus * UNITS)
        assert self.ledger.feasible({CPU: cpus * UNITS})
        assert not self.ledger.feasible({CPU: cpus * UNITS + 1})

    @invariant()
    def nothing_is_over_committed(self):
        if not hasattr(self, "ledger"):
            return
        self.ledger.validate()
        used = {name: sum(taken.amounts.get(name, 0) for taken in self.held) for name in self.totals}
        assert used[GPU] <= self.totals[GPU]
        assert used["disk"] <= self.totals["disk"]
        if not self.held:
            assert self.ledger.free == self.ledger.totals


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLedger = LedgerMachine.TestCase


def test_fractions_share_one_gpu_and_leave_the_others_whole():
    ledger = ResourceLedger({GPU: 2 * UNITS}, [4, 5])
    first, second = ledger.take({GPU: 4000}), ledger.take({GPU: 4000})
    assert ledger.device_numbers(first) == ledger.device_numbers(second)
    whole = ledger.take({GPU: UNITS})
    assert ledger.device_numbers(whole) != ledger.device_numbers(first)
    assert not ledger.fits({GPU: 4000})  # 0.2 are left, on one device


def test_a_broken_gpu_is_not_a_whole_one():
    ledger = ResourceLedger({GPU: 2 * UNITS})
    ledger.take({GPU: 6000})
    ledger.take({GPU: 6000})
    assert ledger.free[GPU] == 8000
    assert not ledger.fits({GPU: 5000})
    assert not ledger.fits({GPU: UNITS})


def test_free_cpus_may_go_below_zero_after_a_loan():
    ledger = ResourceLedger({CPU: UNITS})
    first = ledger.take({CPU: UNITS})
    ledger.lend_cpu(first)
    second = ledger.take({CPU: UNITS})
    ledger.reclaim_cpu(first)
    assert ledger.free[CPU] == -UNITS
    assert not ledger.fits({CPU: 1})
    assert ledger.fits({})
    ledger.give(second)
    assert ledger.free[CPU] == 0
    ledger.validate()


def test_kept_resources_are_not_given():
    ledger = ResourceLedger({CPU: 2 * UNITS, "disk": UNITS})
    assert not ledger.fits({CPU: UNITS}, kept={CPU: 2 * UNITS})
    assert ledger.fits({"disk": UNITS}, kept={CPU: 2 * UNITS})
