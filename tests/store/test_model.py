"""The store against a model made of dicts: random calls, every answer compared."""

from __future__ import annotations

import os
import signal

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from nbray._cstore import lib

from nbray.store import errors
from nbray.store.segment import CREATED, META_KEEP, PROMISED, SEALED, Segment

FULL = os.environ.get("NBRAY_FAULTS_FULL") == "1"
CAPACITY = 1 << 20
IDS = st.integers(0, 5)
SIZES = st.one_of(st.integers(0, 300), st.sampled_from([CAPACITY // 3, CAPACITY // 2, CAPACITY, CAPACITY + 1]))


class Thing:
    """What the model knows of one object."""

    def __init__(self, number: int, state: int) -> None:
        self.number, self.state = number, state
        self.named = True
        self.keep = False
        self.data = b""
        self.holds = [0, 0]  # by handle of the store; both are this process
        self.children: list[Thing] = []
        self.parents = 0
        self.promised_by: int | None = None
        self.obj = 0
        self.lost = self.spilled = False

    def referenced(self) -> bool:
        return sum(self.holds) > 0 or self.parents > 0


class StoreMachine(RuleBasedStateMachine):
    """Two attached handles, one store, one model."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        first = Segment.make(CAPACITY)
        self.segs = [first, _second(first)]
        self.things: list[Thing] = []

    # ------------------------------------------------------------------ the model

    def find(self, number: int) -> Thing | None:
        return next((t for t in self.things if t.number == number and t.named), None)

    def settle(self, thing: Thing) -> bool:
        """Forget a thing that nothing keeps; True when it is gone."""
        if thing not in self.things or thing.referenced():
            return False
        if thing.keep and thing.state == SEALED and thing.named:
            return False
        self.things.remove(thing)
        self.drop_children(thing)
        return True

    def drop_children(self, thing: Thing) -> None:
        children, thing.children = thing.children, []
        for child in children:
            child.parents -= 1
        for child in children:
            self.settle(child)

    def evicted(self) -> None:
        """Forget what the store has evicted to make room."""
        for thing in list(self.things):
            kept = not thing.referenced() and thing in self.things
            if kept and self.segs[0].contains(oid(thing.number)) == 0:
                self.things.remove(thing)
                self.drop_children(thing)

    # ------------------------------------------------------------------ the rules

    @rule(target=held, who=st.integers(0, 1), number=IDS, size=SIZES, keep=st.booleans(), child=st.none() | held)
    def create(self, who, number, size, keep, child):
        seg, old = self.segs[who], self.find(number)
        children = [child[1]] if child and child[1] in self.things and child[1] is not old else []
        args = (oid(number), size, META_KEEP if keep else 0, 0, [c.obj for c in children])
        if old is not None and old.state != PROMISED and size <= CAPACITY - (64 if children else 0):
            with pytest.raises(errors.ObjectExistsError):
                seg.create(*args)
            return (who, None)
        try:
            obj = seg.create(*args)
        except errors.TooBigError:
            assert size > CAPACITY - (64 if children else 0)
            return (who, None)
        except errors.StoreFullError:
            self.evicted()
            assert seg.stats()["largest_free"] < size + 64
            return (who, None)
        self.evicted()
        thing = old or Thing(number, CREATED)
        if old is None:
            self.things.append(thing)
        assert not thing.obj or thing.obj == obj
        thing.obj, thing.state, thing.keep = obj, CREATED, keep
        thing.data = bytes([number + 1]) * size
        thing.children = children
        thing.creator = who
        for c in children:
            c.parents += 1
        seg.write(obj, 0, thing.data)
        thing.holds[who] += 1
        return (who, thing)

    @rule(target=held, who=st.integers(0, 1), number=IDS)
    def promise(self, who, number):
        thing = self.find(number)
        obj = self.segs[who].promise(oid(number))
        if thing is None:
            thing = Thing(number, PROMISED)
            thing.promised_by, thing.obj = who, obj
            self.things.append(thing)
        assert thing.obj == obj
        thing.holds[who] += 1
        return (who, thing)

    @rule(target=held, who=st.integers(0, 1), number=IDS)
    def lookup(self, who, number):
        thing = self.find(number)
        obj = self.segs[who].lookup(oid(number))
        assert obj == (thing.obj if thing else None)
        if thing:
            thing.holds[who] += 1
        return (who, thing)

    @rule(hold=held)
    def seal(self, hold):
        who, thing = hold
        if thing not in self.things:
            return
        if thing.state == CREATED and thing.creator == who:
            self.segs[who].seal(thing.obj)
            thing.state = SEALED
            self.settle(thing)
        else:
            with pytest.raises(errors.StateError):
                self.segs[who].seal(thing.obj)

    @rule(hold=consumes(held))
    def release(self, hold):
        who, thing = hold
        if thing not in self.things or thing.holds[who] == 0:
            return
        # The creator keeps his hold until he has sealed: giving up is another rule.
        if thing.state == CREATED and thing.creator == who and thing.holds[who] == 1:
            return
        thing.holds[who] -= 1
        assert self.segs[who].release(thing.obj) == self.settle(thing)

    @rule(hold=held)
    def abort(self, hold):
        who, thing = hold
        if thing not in self.things:
            return
        if thing.state != CREATED or thing.creator != who:
            with pytest.raises(errors.StateError):
                self.segs[who].abort(thing.obj)
            return
        self.segs[who].abort(thing.obj)
        thing.data = b""
        thing.holds[who] -= 1
        thing.state = PROMISED if thing.promised_by is not None else SEALED
        thing.lost = thing.state == SEALED
        thing.keep = thing.keep and thing.state == PROMISED
        self.drop_children(thing)
        self.settle(thing)

    @rule(hold=held)
    def spill(self, hold):
        who, thing = hold
        if thing not in self.things or thing.children:
            return
        if thing.state != SEALED or thing.lost or thing.spilled:
            with pytest.raises(errors.StateError):
                self.segs[who].spill_out(thing.obj)
            return
        if thing.holds[1 - who] and thing.data:
            with self.segs[1 - who].view(thing.obj), pytest.raises(errors.StoreError):
                self.segs[who].spill_out(thing.obj)
        self.segs[who].spill_out(thing.obj)
        thing.spilled = True

    @rule(hold=held)
    def restore(self, hold):
        who, thing = hold
        if thing not in self.things or not thing.spilled or not thing.holds[who]:
            return
        try:
            self.segs[who].restore(thing.obj, thing.data)
        except errors.StoreFullError:
            self.evicted()
            return
        self.evicted()
        thing.spilled = False

    @rule(hold=held)
    def lose(self, hold):
        who, thing = hold
        if thing not in self.things or not thing.spilled or not thing.holds[who]:
            return
        self.segs[who].lose(thing.obj)
        self.segs[who].repromise(thing.obj)
        thing.spilled, thing.state, thing.promised_by, thing.data = False, PROMISED, who, b""

    @rule(number=IDS)
    def delete(self, number):
        thing = self.find(number)
        assert self.segs[0].delete(oid(number)) == (thing is not None)
        if thing:
            thing.named = False
            self.settle(thing)

    @rule()
    def evict(self):
        self.segs[1].evict(1 << 40)
        self.evicted()
        assert all(t.referenced() for t in self.things)

    @rule(number=IDS)
    def another_process_dies(self, number):
        """It holds what there is of that number, or had begun to write it: all as before."""
        pid = os.fork()
        if pid == 0:
            try:
                mine = _second(self.segs[0])
                try:
                    mine.create(oid(number), 40)
                except errors.StoreError:  # it is there, or the store is full
                    mine.lookup(oid(number))
                os.kill(os.getpid(), signal.SIGKILL)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        peer = lib.nbs_peer_at(self.segs[0].handle, 2)  # the third that attached
        assert peer and not self.segs[0].alive(peer)
        self.segs[0].recover(peer)
        self.evicted()

    # -------------------------------------------------------------- what must hold

    @invariant()
    def agrees(self):
        for seg in self.segs:
            seg.validate()
        stats = self.segs[0].stats()
        assert stats["n_objects"] == len(self.things)
        assert stats["n_sealed"] == sum(t.state == SEALED for t in self.things)
        assert stats["n_spilled"] == sum(t.spilled for t in self.things)
        assert stats["spilled_bytes"] == sum(len(t.data) for t in self.things if t.spilled)
        assert stats["n_kept"] == sum(not t.referenced() for t in self.things)
        for thing in self.things:
            assert not thing.named or self.segs[1].contains(oid(thing.number)) == thing.state
            for who in (0, 1):
                if thing.holds[who]:
                    info = self.segs[who].info(thing.obj)
                    assert info.state == thing.state
                    assert info.size == (len(thing.data) if thing.state != PROMISED else 0)
                    if thing.data and thing.state == SEALED and not thing.spilled:
                        assert bytes(self.segs[who].view(thing.obj)) == thing.data

    def teardown(self):
        self.segs[1].close()
        self.segs[0].validate()
        assert self.segs[0].stats()["n_slots"] == 1
        self.segs[0].close()


def oid(n: int) -> bytes:
    return b"%028d" % n


def _second(first: Segment) -> Segment:
    """Attach a second handle to the same segment."""
    for name in sorted(os.listdir("/proc/self/fd"), key=int, reverse=True):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("/memfd:nbray"):
                return Segment(int(name))
        except OSError:
            continue
    raise AssertionError


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=2000 if FULL else 30,
    stateful_step_count=50 if FULL else 40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
