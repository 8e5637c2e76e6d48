"""What the tests of packages use of Ray's own helpers: waiting for a condition, actors to wait at, programs of their own."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from nbray import ray_alias
from nbray.api.decorator import remote


def wait_for_condition(
    condition_predictor: Callable[..., bool],
    timeout: float = 10,
    retry_interval_ms: float = 100,
    raise_exceptions: bool = False,
    **kwargs: Any,
) -> None:
    """Return as soon as the condition holds.

    Parameters
    ----------
    condition_predictor : callable
        Asked again and again, with ``kwargs``; an exception of it counts as "not yet".
    timeout : float
        Seconds until it has to hold.
    retry_interval_ms : float
        Between two questions.
    raise_exceptions : bool
        Let exceptions of the condition through.

    Raises
    ------
    RuntimeError
        When the time is over.
    """
    deadline = time.monotonic() + timeout
    last = ""
    while True:  # at least once, however late it is
        try:
            if condition_predictor(**kwargs):
                return
        except Exception:
            if raise_exceptions:
                raise
            last = traceback.format_exc()
        if time.monotonic() > deadline:
            raise _not_met(timeout, last)
        time.sleep(retry_interval_ms / 1000)


async def async_wait_for_condition(
    condition_predictor: Callable[..., bool | Awaitable[bool]],
    timeout: float = 10,
    retry_interval_ms: float = 100,
    **kwargs: Any,
) -> None:
    """Return as soon as the condition holds, which may be a coroutine function; see ``wait_for_condition``."""
    deadline = time.monotonic() + timeout
    last = ""
    while True:
        try:
            answer = condition_predictor(**kwargs)
            if await answer if inspect.isawaitable(answer) else answer:
                return
        except Exception:
            last = traceback.format_exc()
        if time.monotonic() > deadline:
            raise _not_met(timeout, last)
        await asyncio.sleep(retry_interval_ms / 1000)


def _not_met(timeout: float, last: str) -> RuntimeError:
    return RuntimeError(
        f"The condition wasn't met within {timeout:g} s.{f' The last exception: {last}' if last else ''}"
    )


@remote(num_cpus=0)
class SignalActor:
    """A gate: calls of ``wait`` return when somebody has called ``send``."""

    def __init__(self) -> None:
        self._sent = asyncio.Event()
        self._waiting = 0

    async def send(self, clear: bool = False) -> None:
        """Let all through that wait; with ``clear`` the gate is closed behind them."""
        self._sent.set()
        if clear:
            self._sent.clear()

    async def wait(self, should_wait: bool = True) -> None:
        """Return when the gate is open."""
        if not should_wait:
            return
        self._waiting += 1
        try:
            await self._sent.wait()
        finally:
            self._waiting -= 1

    async def cur_num_waiters(self) -> int:
        """Return how many wait."""
        return self._waiting


@remote(num_cpus=0)
class Semaphore:
    """A semaphore that tasks and actors share."""

    def __init__(self, value: int = 1) -> None:
        self._semaphore = asyncio.Semaphore(value)

    async def acquire(self) -> None:
        """Take one, when there is one."""
        await self._semaphore.acquire()

    async def release(self) -> None:
        """Give one back."""
        self._semaphore.release()

    async def locked(self) -> bool:
        """Tell whether none is left."""
        return self._semaphore.locked()


def run_string_as_driver(
    driver_script: str, env: dict[str, str] | None = None, encode: str = "utf-8", timeout: float | None = 300
) -> str:
    """Run a program in an interpreter of its own and return what it wrote, standard error included.

    Raises
    ------
    subprocess.CalledProcessError
        When its exit code is not 0.
    """
    done = subprocess.run(
        driver_command(), input=driver_script.encode(encode), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env,
        timeout=timeout, check=False,
    )  # fmt: skip
    text = done.stdout.decode(encode)
    if done.returncode:
        print(text)
        raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout)
    return text


def driver_command() -> list[str]:
    """Return the command for a program that comes on standard input; ``import ray`` gives it what it gives here."""
    alias = f"__import__('nbray').as_ray(version={ray_alias.version()!r}); " if ray_alias.is_installed() else ""
    return [sys.executable, "-c", f"{alias}exec(compile(__import__('sys').stdin.read(), '<stdin>', 'exec'))"]
