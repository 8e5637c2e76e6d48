"""Calls on an event loop: those that asyncio has lost end with an error, the others stay."""

import asyncio

import pytest

from nbray.worker.async_calls import LoopCalls
from nbray.worker.calls import Call


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()


def turn(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()


@pytest.mark.filterwarnings("ignore:coroutine")  # of those whose first step is lost
def test_lost_calls_fail_and_others_stay(loop):
    answers, errors = {}, {}
    calls = LoopCalls(
        3, lambda call, result, ran_ns: answers.update({call.number: result}),
        lambda call, error: errors.update({call.number: error}), loop,
    )  # fmt: skip
    wake = loop.create_future()

    async def wait():
        return await wake

    async def say():
        return "said"

    def call(number, function):
        calls.start(Call(0, number, 1, "Actor.method", 1, function, (), {}, "", function.__name__))

    call(1, wait)
    turn(loop)  # it waits for a future now
    call(2, say)
    call(3, len)  # no coroutine function
    call(4, say)  # waits for its turn
    assert not errors
    loop._ready.clear()  # what raises in a handle is gone with it
    calls.look_after()
    assert sorted(errors) == [2, 3] and all("has lost the call" in str(error) for error in errors.values())
    turn(loop)
    assert answers == {4: "said"}
    wake.set_result("woken")
    turn(loop)
    turn(loop)
    assert answers == {4: "said", 1: "woken"} and not calls.busy
