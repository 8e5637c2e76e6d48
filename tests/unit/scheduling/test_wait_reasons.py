"""Sentences on why something is not ready, and who waits for whom."""

import pytest

from nbray.resources import CPU, GPU, UNITS
from nbray.scheduling import wait_reasons as why
from nbray.scheduling.wait_reasons import Holder

TOTAL = {CPU: 2 * UNITS, GPU: UNITS}


def test_a_sentence_knows_what_it_is_made_of():
    text = why.arguments("f", [why.behind("g", 7, 2, "h", 1.0), "%1 it is"])
    assert text == (
        "f waits for 2 arguments: g is queued at pid 7 behind 2 others; h runs there since 1.0 s and %1 it is"
    )
    queued = ["%1 is queued at pid %2 behind %3", "g", "7", ["%1 others", "2"]]
    behind = ["%1; %2 runs there since %3", queued, "h", "1.0 s"]
    assert text.tree() == ["%1 waits for %2: %3", "f", ["%1 arguments", "2"], ["%1 and %2", behind, "%1 it is"]]


def test_arguments():
    assert why.arguments("f", ["g runs on worker pid 7 since 1.0 s"]) == (
        "f waits for an argument: g runs on worker pid 7 since 1.0 s"
    )
    many = why.arguments("f", [f"a{i}" for i in range(6)])
    assert many == "f waits for 6 arguments: a0, a1, a2, a3 and 2 more"


def test_running():
    assert why.running("f", 12, 3.25) == "f runs on worker pid 12 since 3.2 s"
    assert why.running("f", 12, 600, "f waits for g").endswith("since 10 min, where it waits: f waits for g")


def test_queued_behind():
    assert why.behind("f", 12, 1, "g", 2.0) == "f is queued at pid 12 behind 1 other; g runs there since 2.0 s"


def test_resources_name_what_is_short_and_who_has_it():
    holders = [Holder("Model", 4, {GPU: UNITS}, True, "In[3], line 1"), Holder("train", 5, {CPU: UNITS})]
    text = why.resources("f", {CPU: UNITS, GPU: UNITS}, TOTAL, {CPU: UNITS, GPU: 0}, holders)
    assert "it needs {CPU: 1, GPU: 1}" in text
    assert "0 of 1 GPU free" in text
    assert "actor Model (pid 4, made in In[3], line 1) with {GPU: 1}" in text
    assert "train" not in text


def test_resources_that_are_free():
    assert "3 requests are before it" in why.resources("f", {CPU: UNITS}, TOTAL, TOTAL, [], 3)


def test_an_actor_that_restarts():
    assert why.actor("A.f", "RESTARTING", "it was killed.") == (
        "A.f waits for its actor, which is restarting (it was killed)"
    )
    assert why.actor("A.f", "PENDING_CREATION", "", "no GPU").endswith("which is being created: no GPU")


@pytest.mark.parametrize(
    ("holders", "stuck"),
    [
        ([Holder("A", 1, {CPU: UNITS}, True)], False),
        ([Holder("A", 1, {CPU: UNITS}, True), Holder("B", 2, {CPU: UNITS}, True)], True),
        ([Holder("A", 1, {CPU: UNITS}, True), Holder("f", 2, {CPU: UNITS})], False),
        ([Holder("A", 1, {CPU: UNITS}, True), Holder("f", 2, {CPU: UNITS}, waits=True)], False),  # its CPU is lent on
    ],
)
def test_stuck_for_want_of_cpus(holders, stuck):
    text, who = why.stuck("f", {CPU: UNITS}, TOTAL, holders)
    assert bool(text) == stuck
    assert bool(who) == stuck
    if stuck:
        assert "0 of 2 CPU" in text
        assert "nbray.kill" in text


def test_stuck_for_a_gpu_that_a_waiting_task_holds():
    text, who = why.stuck("inner", {GPU: UNITS}, TOTAL, [Holder("outer", 9, {GPU: UNITS, CPU: UNITS}, waits=True)])
    assert "outer" in text
    assert [holder.pid for holder in who] == [9]


def test_what_no_node_has_is_not_called_stuck():
    assert why.stuck("f", {GPU: 2 * UNITS}, TOTAL, []) == ("", [])


@pytest.mark.parametrize(
    ("edges", "start", "found"),
    [
        ({1: [2], 2: [1]}, 1, [1, 2]),
        ({1: [2], 2: [3], 3: [2]}, 1, [2, 3]),
        ({1: [1]}, 1, [1]),
        ({1: [2, 3], 2: [], 3: [4], 4: [5]}, 1, []),
        ({}, 1, []),
        ({1: [2, 3], 2: [4], 3: [4], 4: []}, 1, []),
        ({2: [3], 3: [2]}, 1, []),
    ],
)
def test_cycles(edges, start, found):
    assert why.cycle(edges, start) == found


def test_a_long_chain_is_no_cycle():
    assert why.cycle({i: [i + 1] for i in range(300)}, 0) == []


def test_a_deadlock_names_everybody():
    text = why.deadlock(["A.f (pid 1) waits for B.g", "B.g (pid 2) waits for A.f"])
    assert "A.f (pid 1) waits for B.g; B.g (pid 2) waits for A.f" in text


def test_what_is_lent_on_and_taken_again_is_no_debt():
    """Two actors that wait lend their CPUs to two others: of two CPUs four are held."""
    holders = [Holder(name, pid, {CPU: UNITS}, True) for pid, name in enumerate("ABCD")]
    assert "only 0 of 2 CPU can become free" in why.stuck("f", {CPU: UNITS}, TOTAL, holders)[0]
    assert "there is 0 of 2 CPU free" in why.resources("f", {CPU: UNITS}, TOTAL, {CPU: -2 * UNITS}, holders)
