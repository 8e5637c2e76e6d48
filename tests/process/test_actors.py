"""Actors at a real daemon: placed, restarted, named, killed."""

import time

import psutil
import pytest
from daemon_kit import CPU1, is_gone, kill, wait_until

from nbray.resources import UNITS
from nbray.wire import messages as m

pytestmark = pytest.mark.slow


def create(driver, actor_id="a" * 32, spec=b"ok", **fields):
    driver.send(
        m.CreateActorRequest(
            actor_id=actor_id,
            spec_id=spec,
            class_name="Counter",
            resources=CPU1,
            running_resources=fields.pop("running", {}),
            **fields,
        )
    )
    return actor_id


def test_life(driver):
    actor_id = create(driver, name="n", namespace="s", handle_info=b"h")
    driver.expect(m.ActorNotice, state="PENDING_CREATION")
    alive = driver.expect(m.ActorNotice, state="ALIVE")
    assert psutil.pid_exists(alive.pid) and alive.worker
    state = driver.state()
    assert state.actors_alive == 1 and state.available["CPU"] == 2 * UNITS
    driver.send(m.GetNamedActorRequest(7, "n", "s"))
    named = driver.expect(m.NamedActorReply, request_id=7)
    assert (named.actor_id, named.handle_info) == (actor_id, b"h")
    driver.send(m.GetNamedActorRequest(8, "n", "elsewhere"))
    assert "'s'" in driver.expect(m.NamedActorReply, request_id=8).error
    driver.send(m.ListActorsRequest(9))
    assert [actor.actor_id for actor in driver.expect(m.ListActorsReply).actors] == [actor_id]
    driver.send(m.KillActorRequest(actor_id))
    assert driver.expect(m.ActorNotice, state="DEAD").died_at == pytest.approx(time.time(), abs=60)
    wait_until(lambda: not psutil.pid_exists(alive.pid))


def test_running_resources_are_held_and_come_back(driver):
    actor_id = create(driver, running=CPU1)
    driver.expect(m.ActorNotice, state="ALIVE")
    assert driver.state().available["CPU"] == UNITS
    driver.send(m.KillActorRequest(actor_id))
    driver.wait_state(lambda state: state.available["CPU"] == 2 * UNITS)


def test_restart_then_death(driver):
    create(driver, max_restarts=1)
    first = driver.expect(m.ActorNotice, state="ALIVE")
    kill(first.pid)
    assert "SIGKILL" in driver.expect(m.ActorNotice, state="RESTARTING").cause
    assert driver.expect(m.WorkerDiedNotice).peer == first.worker
    second = driver.expect(m.ActorNotice, state="ALIVE")
    assert second.incarnation == 1 and second.pid != first.pid and second.restarts_left == 0
    kill(second.pid)
    dead = driver.expect(m.ActorNotice, state="DEAD")
    assert "SIGKILL" in dead.cause and "hello from the worker" in dead.cause


def test_constructor_errors(driver):
    create(driver, spec=b"raise", max_restarts=-1)
    dead = driver.expect(m.ActorNotice, state="DEAD")
    assert dead.error == b"pickled error" and "ValueError: no" in dead.cause
    create(driver, "b" * 32, spec=b"exit:3")
    assert "code 3" in driver.expect(m.ActorNotice, state="DEAD", actor_id="b" * 32).cause
    driver.wait_state(lambda state: state.available["CPU"] == 2 * UNITS)


def test_infeasible_actor(driver):
    driver.send(
        m.CreateActorRequest(
            actor_id="c", spec_id=b"", class_name="Big", resources={"GPU": UNITS}, running_resources={"GPU": UNITS}
        )
    )
    assert "Big asks for {GPU: 1}" in driver.expect(m.ActorNotice, state="DEAD").infeasible


def test_no_handles_left_ends_it_gracefully(driver):
    actor_id = create(driver)
    alive = driver.expect(m.ActorNotice, state="ALIVE")
    process = psutil.Process(alive.pid)
    driver.send(m.ActorHandlesGoneNotice(actor_id))
    assert "handles" in driver.expect(m.ActorNotice, state="DEAD").cause
    wait_until(lambda: is_gone(process))


def test_many_actors_at_once(driver):
    ids = [create(driver, f"{number:032x}") for number in range(20)]
    for actor_id in ids:
        driver.expect(m.ActorNotice, state="ALIVE", actor_id=actor_id, timeout=60)
    assert driver.state().actors_alive == 20


def test_kill_while_constructing(driver):
    actor_id = create(driver, spec=b"hang")
    driver.expect(m.ActorNotice, state="PENDING_CREATION")
    driver.wait_state(lambda state: any(worker["actor_id"] for worker in state.workers))
    driver.send(m.KillActorRequest(actor_id))
    driver.expect(m.ActorNotice, state="DEAD")
    driver.wait_state(lambda state: not any(worker["actor_id"] for worker in state.workers))
