"""The actor table: every pair of state and event, names, restarts, who is told."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nbray.config import Limits
from nbray.control import actor_table as at
from nbray.placement import Target
from nbray.wire.messages import CreateActorRequest

OWNER, OTHER, WORKER = 11, 12, 77


def request(actor_id="a1", **fields):
    return CreateActorRequest(
        actor_id=actor_id, spec_id=b"s", class_name="Counter", resources={"CPU": 10000}, running_resources={}, **fields
    )


def only(effects, kind):
    (effect,) = [effect for effect in effects if isinstance(effect, kind)]
    return effect


def states(effects):
    return [effect.notice.state for effect in effects if isinstance(effect, at.Notify)]


def make(state, **fields):
    """Return a table with one actor in ``state``, its worker set where it has one."""
    table = at.ActorTable(Limits())
    fields.setdefault("max_restarts", 5)
    table.create(request(**fields, target=Target(group="g1")), OWNER, 1.0)
    if state == at.PENDING_CREATION:
        return table
    table.placed("a1", WORKER, 5, 1)
    table.ready("a1", WORKER, 0)
    if state == at.RESTARTING:
        table.worker_died(WORKER, "it fell", 1.0, 2.0)
    if state == at.DEAD:
        table.kill("a1", True, "", 3.0)
    return table


def fire(table, event):
    actor = table.actors["a1"]
    worker = actor.worker or WORKER
    if event in ("ready", "init_failed", "worker_died") and not actor.worker and actor.state != at.DEAD:
        table.placed("a1", worker, 5, 2)
    return {
        "placed": lambda: table.placed("a1", WORKER, 5, 9),
        "ready": lambda: table.ready("a1", worker, actor.incarnation),
        "init_failed": lambda: table.init_failed("a1", worker, actor.incarnation, b"e", "ValueError: x", 9.0),
        "refused": lambda: table.refused("a1", 8.0, 9.0, infeasible="too big"),
        "worker_died": lambda: table.worker_died(worker, "it fell", 8.0, 9.0),
        "kill": lambda: table.kill("a1", True, "", 9.0),
        "exit": lambda: table.exit("a1", worker, ""),
        "handles_gone": lambda: table.handles_gone("a1"),
        "job_ended": lambda: table.job_ended(0, 9.0),
        "group_removed": lambda: table.group_removed("g1", 9.0),
    }[event]()


@pytest.mark.parametrize("state", [at.PENDING_CREATION, at.ALIVE, at.RESTARTING, at.DEAD])
@pytest.mark.parametrize("event", at.ACTOR_EVENTS)
def test_every_pair(state, event):
    table = make(state)
    before = table.actors["a1"].state
    assert before == state
    allowed = at.ACTOR_TRANSITIONS.get((state, event))
    if state == at.DEAD:
        effects = fire(table, event)
        assert not states(effects)
    elif allowed is None and event in ("ready", "init_failed"):
        assert fire(table, event) == []  # the worker says it twice
    elif allowed is None:
        with pytest.raises(ValueError, match="Counter"):
            fire(table, event)
    else:
        effects = fire(table, event)
        assert table.actors["a1"].state in allowed
        if table.actors["a1"].state != before:
            assert states(effects)[-1] == table.actors["a1"].state
    table.validate()


def test_life_of_an_actor():
    table = at.ActorTable()
    effects = table.create(request(), OWNER, 1.0)
    assert states(effects) == [at.PENDING_CREATION]
    assert only(effects, at.Place).actor_id == "a1"
    table.subscribe("a1", OTHER)
    assert table.placed("a1", WORKER, 5, 1, (2,)) == [at.Become("a1")]
    notify = only(table.ready("a1", WORKER, 0), at.Notify)
    assert notify.peers == (OWNER, OTHER)
    assert (notify.notice.state, notify.notice.worker, notify.notice.pid) == (at.ALIVE, WORKER, 5)
    effects = table.worker_died(WORKER, "worker pid=5 was killed by SIGSEGV", 3.0, 4.0)
    notice = only(effects, at.Notify).notice
    assert notice.state == at.DEAD and "SIGSEGV" in notice.cause and notice.died_at == 4.0
    assert only(effects, at.ReleaseSpec).actor_id == "a1"
    table.validate()


def test_restarts_are_counted_and_end():
    table = make(at.ALIVE, max_restarts=2)
    for left in (1, 0):
        effects = table.worker_died(WORKER, "it fell", 1.0, 1.0)
        notice = only(effects, at.Notify).notice
        assert (notice.state, notice.restarts_left) == (at.RESTARTING, left)
        only(effects, at.Place)
        table.placed("a1", WORKER, 5, 1)
        assert table.actors["a1"].incarnation == 2 - left
        table.ready("a1", WORKER, table.actors["a1"].incarnation)
    notice = only(table.worker_died(WORKER, "it fell\nLast lines of its log:\na word", 1.0, 1.0), at.Notify).notice
    assert notice.state == at.DEAD
    assert notice.cause == "Actor Counter: it fell. It had been restarted 2 times.\nLast lines of its log:\na word"


def test_an_actor_that_dies_in_its_constructor_is_restarted_more_and_more_slowly():
    table = at.ActorTable()
    table.create(request(max_restarts=-1), OWNER, 0.0)
    now, delays = 0.0, []
    for _ in range(8):
        table.placed("a1", WORKER, 5, 1)
        effects = table.worker_died(WORKER, "it fell", now, now)
        due = table.next_wakeup()
        assert (due is None) == any(isinstance(effect, at.Place) for effect in effects)
        if due is not None:
            assert table.tick(due - 0.001) == []
            assert table.tick(due) == [at.Place("a1")]
            delays.append(due - now)
            now = due
        table.validate()
    assert delays == sorted(delays) and delays[0] == pytest.approx(0.1) and delays[-1] <= 5.0


def test_a_worker_that_was_dead_before_it_began_does_not_count():
    table = at.ActorTable()
    table.create(request(max_restarts=0), OWNER, 0.0)
    for _ in range(table.limits.start_failures):
        table.placed("a1", WORKER, 5, 1)
        assert table.worker_died(WORKER, "it fell", 1.0, 1.0, begun=False) == [at.Place("a1")]
        table.validate()
    table.placed("a1", WORKER, 5, 1)
    notice = only(table.worker_died(WORKER, "it fell", 1.0, 1.0, begun=False), at.Notify).notice
    assert notice.state == at.DEAD, "one too many in a row"


def test_false_starts_are_counted_anew_for_each_life():
    table = at.ActorTable()
    table.create(request(max_restarts=1), OWNER, 0.0)
    for incarnation in range(2):
        for _ in range(table.limits.start_failures):
            table.placed("a1", WORKER, 5, 1)
            assert table.worker_died(WORKER, "it fell", 1.0, 1.0, begun=False) == [at.Place("a1")]
        table.placed("a1", WORKER, 5, 1)
        table.ready("a1", WORKER, incarnation)
        assert table.actors["a1"].incarnation == incarnation
        table.worker_died(WORKER, "it fell", 1.0, 1.0, begun=True)
    assert table.actors["a1"].state == at.DEAD


def test_constructor_error_is_final_and_carried():
    table = at.ActorTable()
    table.create(request(max_restarts=-1), OWNER, 0.0)
    table.placed("a1", WORKER, 5, 1)
    effects = table.init_failed("a1", WORKER, 0, b"pickled", "ValueError: no", 1.0)
    notice = only(effects, at.Notify).notice
    assert notice.error == b"pickled" and "ValueError: no" in notice.cause
    assert only(effects, at.EndWorker).worker == WORKER
    assert table.worker_died(WORKER, "x", 2.0, 2.0) == []


def test_names():
    table = at.ActorTable()
    table.create(request("a1", name="n", namespace="s"), OWNER, 0.0)
    taken = only(table.create(request("a2", name="n", namespace="s"), OTHER, 0.0), at.Notify)
    assert taken.peers == (OTHER,) and taken.notice.name_taken and "n" in taken.notice.cause
    joined = only(table.create(request("a3", name="n", namespace="s", get_if_exists=True), OTHER, 0.0), at.Notify)
    assert joined.notice.existing_id == "a1" and not joined.notice.name_taken
    assert set(table.actors) == {"a1"}
    table.create(request("a4", name="n", namespace="t"), OTHER, 0.0)
    assert table.namespaces_of("n") == ["s", "t"]
    table.kill("a1", True, "", 1.0)
    assert table.find_named("n", "s") is None
    table.create(request("a5", name="n", namespace="s"), OTHER, 0.0)
    assert table.find_named("n", "s").request.actor_id == "a5"
    table.validate()


def test_kill_with_restart_is_a_death_of_the_worker():
    table = make(at.ALIVE, max_restarts=1)
    assert only(table.kill("a1", False, "", 1.0), at.EndWorker).kill
    assert table.actors["a1"].state == at.ALIVE
    assert states(table.worker_died(WORKER, "killed", 1.0, 1.0)) == [at.RESTARTING]


def test_kill_while_it_waits_for_a_place():
    table = make(at.PENDING_CREATION)
    effects = table.kill("a1", True, "", 1.0)
    assert only(effects, at.Unplace).actor_id == "a1"
    # The place was granted in the same moment:
    assert only(table.placed("a1", WORKER, 5, 1), at.EndWorker).worker == WORKER
    table.validate()


def test_exit_and_no_handles_end_without_restart():
    table = make(at.ALIVE, max_restarts=-1)
    assert only(table.exit("a1", WORKER, ""), at.EndWorker).graceful
    notice = only(table.worker_died(WORKER, "exited", 1.0, 1.0), at.Notify).notice
    assert notice.state == at.DEAD and "exit_actor" in notice.cause
    table = make(at.PENDING_CREATION)
    assert table.handles_gone("a1") == []
    table.placed("a1", WORKER, 5, 1)
    assert only(table.ready("a1", WORKER, 0), at.EndWorker).graceful
    assert states(table.worker_died(WORKER, "exited", 1.0, 1.0)) == [at.DEAD]


def test_detached_actors_outlive_job_and_handles():
    table = make(at.ALIVE, detached=True)
    assert table.handles_gone("a1") == []
    assert table.job_ended(0, 1.0) == []
    assert table.actors["a1"].state == at.ALIVE


def test_late_subscribers_learn_the_end_and_unknown_ones_too():
    table = make(at.DEAD)
    assert only(table.subscribe("a1", OTHER), at.Notify).notice.state == at.DEAD
    assert only(table.subscribe("nobody", OTHER), at.Notify).notice.state == at.DEAD
    table = at.ActorTable(Limits({"dead_actors": 2}))
    for number in range(4):
        table.create(request(f"a{number}"), OWNER, 0.0)
        table.kill(f"a{number}", True, "", 1.0)
    assert set(table.actors) == {"a2", "a3"}
    table.validate()


def test_refused_for_ever():
    table = make(at.PENDING_CREATION)
    notice = only(table.refused("a1", 1.0, 1.0, infeasible="asks for 50 CPUs"), at.Notify).notice
    assert notice.infeasible == "asks for 50 CPUs" == notice.cause


@pytest.mark.parametrize("state", [at.PENDING_CREATION, at.RESTARTING])
def test_workers_that_do_not_start_for_a_while(state):
    """It is tried again, later and later, as tasks are; after that it is dead."""
    table = make(state)
    now, pauses = 1.0, []
    for _ in range(at.REFUSED_MAX):
        assert table.refused("a1", now, 1.0, error="workers do not start") == []
        assert table.actors["a1"].state == state
        table.validate()
        pauses.append(table.next_wakeup() - now)
        now = table.next_wakeup()
        assert only(table.tick(now), at.Place).actor_id == "a1"
    assert pauses == sorted(pauses) and pauses[-1] > pauses[0]
    notice = only(table.refused("a1", now, 1.0, error="workers do not start"), at.Notify).notice
    assert (notice.state, notice.cause) == (at.DEAD, "workers do not start")
    table = make(state)
    table.refused("a1", 1.0, 1.0, error="workers do not start")
    table.tick(table.next_wakeup())
    table.placed("a1", WORKER, 5, 9)
    assert table.actors["a1"].refusals == 0


class ActorMachine(RuleBasedStateMachine):
    """Any order of events that the daemon could produce keeps the tables in agreement."""

    def __init__(self):
        super().__init__()
        self.table = at.ActorTable(Limits({"dead_actors": 3}))
        self.now = 0.0
        self.next_worker = 1000
        self.wanted = []  # actors that the scheduler was asked to place
        self.serial = 0

    def take(self, effects):
        for effect in effects:
            if isinstance(effect, at.Place):
                assert effect.actor_id not in self.wanted
                self.wanted.append(effect.actor_id)
            elif isinstance(effect, at.Unplace):
                self.wanted.remove(effect.actor_id)
            elif isinstance(effect, at.Notify) and effect.peers:
                assert effect.notice.state in (at.PENDING_CREATION, at.ALIVE, at.RESTARTING, at.DEAD)

    def pick(self, data):
        return data.draw(st.sampled_from(sorted(self.table.actors))) if self.table.actors else "none"

    @rule(restarts=st.integers(-1, 2), name=st.sampled_from(["", "x", "y"]), exists=st.booleans())
    def create(self, restarts, name, exists):
        self.serial += 1
        self.take(
            self.table.create(
                request(f"a{self.serial}", max_restarts=restarts, name=name, get_if_exists=exists), OWNER, self.now
            )
        )

    @rule()
    def place(self):
        if self.wanted:
            self.next_worker += 1
            self.take(self.table.placed(self.wanted.pop(0), self.next_worker, 1, 1))

    @rule(data=st.data(), event=st.sampled_from(["ready", "init_failed", "worker_died", "exit"]))
    def worker_says(self, data, event):
        if not self.table.by_worker:
            return
        worker = data.draw(st.sampled_from(sorted(self.table.by_worker)))
        actor_id = self.table.by_worker[worker]
        incarnation = self.table.actors[actor_id].incarnation
        if event == "ready":
            self.take(self.table.ready(actor_id, worker, incarnation))
        elif event == "init_failed":
            self.take(self.table.init_failed(actor_id, worker, incarnation, b"", "x", self.now))
        elif event == "exit":
            self.take(self.table.exit(actor_id, worker, ""))
        else:
            self.take(self.table.worker_died(worker, "fell", self.now, self.now, data.draw(st.booleans())))

    @rule(data=st.data(), no_restart=st.booleans())
    def kill(self, data, no_restart):
        self.take(self.table.kill(self.pick(data), no_restart, "", self.now))

    @rule(data=st.data())
    def handles_gone(self, data):
        self.take(self.table.handles_gone(self.pick(data)))

    @rule()
    def job_ended(self):
        self.take(self.table.job_ended(0, self.now))

    @rule(seconds=st.floats(0, 10))
    def tick(self, seconds):
        self.now += seconds
        self.take(self.table.tick(self.now))

    @invariant()
    def agree(self):
        self.table.validate()
        assert sorted(self.wanted) == sorted(a.request.actor_id for a in self.table if a.placing)


ActorMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestActors = ActorMachine.TestCase
