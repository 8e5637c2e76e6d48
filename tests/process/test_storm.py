"""Workers killed at random while leases, blocks and actors go on: in the end all is there again."""

import os
import random
import signal

import pytest
from daemon_kit import CPU1, kill, wait_for_dump

from nbray.resources import UNITS
from nbray.wire import messages as m

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(2))
def test_storm(start, seed):
    rng = random.Random(seed)
    driver = start(cpus=4)
    held, pids = [], {}
    for number in range(150):
        action = rng.random()
        if action < 0.4 and len(held) < 4:
            driver.send(m.LeaseRequest(request_id=1000 + number, resources=CPU1, count=1))
            reply = driver.expect(m.LeaseReply, request_id=1000 + number)
            assert reply.lease_id, reply
            held.append(reply)
            pids[reply.worker] = reply.pid
        elif action < 0.6 and held:
            driver.give_back(held.pop(rng.randrange(len(held))), discard=rng.random() < 0.3)
        elif action < 0.75 and held:
            lease = held.pop(rng.randrange(len(held)))
            kill(lease.pid)
            assert driver.expect(m.WorkerDiedNotice, peer=lease.worker).signal_name == "SIGKILL"
        elif action < 0.85 and held:
            os.kill(rng.choice(held).pid, rng.choice([signal.SIGUSR1, signal.SIGUSR2]))
        elif action < 0.95:
            actor_id = f"{seed}{number:031x}"
            driver.send(m.CreateActorRequest(actor_id, b"ok", "C", CPU1, {}, max_restarts=rng.choice([0, 1])))
            if rng.random() < 0.5:
                driver.send(m.KillActorRequest(actor_id))
        else:
            driver.state()
    for lease in held:
        driver.give_back(lease)
    driver.send(m.ListActorsRequest(1))
    for actor in driver.expect(m.ListActorsReply).actors:
        driver.send(m.KillActorRequest(actor.actor_id))
    driver.wait_state(lambda s: s.available["CPU"] == 4 * UNITS and not s.leases_waiting and not s.actors_alive)
    os.kill(driver.node.pid, signal.SIGUSR1)
    assert wait_for_dump(driver.node)["invariants"] == ""
