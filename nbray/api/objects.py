"""``get``, ``put``, ``wait``, ``cancel``, ``kill``: what is done with refs and handles."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from typing import Any

from nbray.api import runtime
from nbray.api.actor_handle import ActorHandle
from nbray.core import current
from nbray.exceptions import GetTimeoutError
from nbray.object_ref import ObjectRef
from nbray.object_ref_generator import ObjectRefGenerator
from nbray.options import transport
from nbray.serialization.unreadable import unreadable
from nbray.wrong_input import both

__tracebackhide__ = True  # pytest ends a traceback in the test, and not in here; --full-trace shows all

_loads = pickle.loads

_FOR_EVER_S = 1e9  # 30 years


def get(object_refs: Any, *, timeout: float | None = None, _use_object_store: bool = False) -> Any:
    """Return the value of a ref, or the values of a list of refs in order.

    Parameters
    ----------
    object_refs : ObjectRef or list of ObjectRef
    timeout : float, optional
        Seconds to wait at most; 0 asks for what is there now.

    Raises
    ------
    RayTaskError
        When the task raised; also an instance of the exception's own class.
    GetTimeoutError
        (also a TimeoutError) when a value was not there in time.
    TypeError
        When something is not a ref.
    ValueError
        When ``timeout`` is not a number, or negative (other than -1: no limit, as in Ray) and a value is not there.
    ForeignObjectError
        (also an ObjectLostError and a ValueError) when the ref belongs to a cluster that has ended, or to another one.
    """
    if type(object_refs) is ObjectRef:
        core = object_refs._cluster
        if core is not current.core:
            _patience(timeout)
            raise current.foreign(object_refs)
        data = object_refs._data
        if type(data) is bytes and data[0] == 0x80:  # a plain pickle
            if timeout is not None:
                _patience(timeout)
            try:
                return _loads(data)
            except Exception as error:
                raise unreadable(error) from error
        patience = _patience(timeout)
        if patience is not None and patience < 0:
            return _there_already(core, [object_refs], timeout)[0]
        return core.get_one(object_refs, patience)
    core = runtime.require_core()
    if not isinstance(object_refs, list):
        if type(object_refs) is ObjectRefGenerator:
            return object_refs  # as Ray does: its refs are got one by one
        raise _not_a_ref(object_refs)
    patience = _patience(timeout) if object_refs else None
    for index, ref in enumerate(object_refs):
        if type(ref) is not ObjectRef:
            raise _wrong_item(index, ref)
        if ref._cluster is not core:
            raise current.foreign(ref) if patience is None or patience >= 0 else _negative(timeout)
    if patience is not None and patience < 0:
        return _there_already(core, object_refs, timeout)
    return core.get(object_refs, patience)


def _there_already(core: Any, refs: list[ObjectRef], timeout: Any) -> list[Any]:
    """Return values that nobody has to wait for: for them a negative timeout is one that has passed, as in Ray."""
    try:
        values: list[Any] = core.get(refs, 0.0)
    except GetTimeoutError:
        raise _negative(timeout) from None
    return values


_TypeAndValueError = both(ValueError, TypeError)  # the first in Ray; the table of bad input asks for the second


def _not_a_ref(value: Any) -> Exception:
    return _TypeAndValueError(
        f"Invalid type of object refs, {type(value)}, is given. 'refs' must either be a list of ObjectRefs or an "
        f"ObjectRef.{_instead(value)}"
    )


def _instead(value: Any) -> str:
    """Say what was probably meant by something that is no ref."""
    owner = getattr(value, "__self__", None)
    if callable(value) and getattr(value, "__name__", "") == "remote" and callable(getattr(owner, "remote", None)):
        return " .remote is not called yet: write .remote(...)."
    if isinstance(value, ActorHandle):
        return " An actor has no value, its methods do: get(handle.method.remote(...))."
    if callable(getattr(value, "remote", None)):
        return " It is not called yet: .remote(...) returns a ref."
    if isinstance(value, dict):
        return " For a dict of refs: dict(zip(refs, get(list(refs.values()))))."
    if isinstance(value, (set, frozenset, tuple, Iterator)):
        return " Make it a list: get(list(refs))."
    return ""


def _wrong_item(index: int, value: Any) -> Exception:
    extra = " (flatten the list first)" if isinstance(value, (list, tuple)) else ""
    return _TypeAndValueError(
        f"Attempting to get a list that is not all ObjectRefs: refs[{index}] is of {type(value)}{extra}."
    )


def _patience(timeout: Any) -> float | None:
    """The seconds that ``get`` waits: -1 is no limit, as in Ray; another negative number is returned."""
    if timeout is None or (hasattr(timeout, "__float__") and timeout == -1):
        return None
    if isinstance(timeout, (str, bytes)):  # Ray makes an integer of it
        raise _TypeAndValueError(_no_seconds(timeout))
    return _seconds(timeout)


def _seconds(timeout: Any) -> float | None:
    """Check a timeout; what no clock can count to, like ``inf``, is no limit."""
    if isinstance(timeout, (str, bytes)) or not hasattr(timeout, "__float__"):
        raise TypeError(_no_seconds(timeout))
    try:
        seconds = float(timeout)
    except OverflowError:
        seconds = math.inf if timeout > 0 else -math.inf
    if seconds != seconds:
        raise _negative(timeout)
    return None if seconds > _FOR_EVER_S else seconds


def _no_seconds(timeout: Any) -> str:
    return f"timeout must be a number of seconds or None, got {type(timeout).__name__}."


def _negative(timeout: Any) -> ValueError:
    return ValueError(f"The 'timeout' argument must be nonnegative. Received {timeout}")


def put(value: Any, *, _owner: Any = None, _tensor_transport: Any = None) -> ObjectRef:
    """Keep a value in the cluster; returns its ref.

    Large buffers (arrays) are copied into shared memory once; ``get`` returns read-only
    views of them.

    Raises
    ------
    TypeError
        For a ref, or a value that cannot be pickled (SerializationError).
    ValueError
        For ``_owner``, which Ray has taken back as well; for a ``_tensor_transport``: there is none but the store.
    ObjectStoreFullError
        When there is no room.
    """
    if _owner is not None:
        raise ValueError(
            "put() takes no _owner: a value belongs to the node, and lives as long as somebody has its ref."
        )
    if _tensor_transport is not None:
        transport("_tensor_transport", _tensor_transport)
    if type(value) is ObjectRef:
        raise TypeError(
            "Calling 'put' on an ObjectRef is not allowed. If you really want to do this, you can wrap the ObjectRef in "
            "a list and call 'put' on it."
        )
    return runtime.require_core().put(value)


def wait(
    ray_waitables: list[ObjectRef], *, num_returns: int = 1, timeout: float | None = None, fetch_local: bool = True
) -> tuple[list[ObjectRef], list[ObjectRef]]:
    """Wait until ``num_returns`` of the refs have their values.

    Returns
    -------
    ready, rest : list of ObjectRef
        Both in input order; at most ``num_returns`` ready ones.

    Raises
    ------
    TypeError, ValueError
        When it is not a list of refs, has one twice, or ``num_returns`` does not fit.
    ForeignObjectError
        When a ref belongs to a cluster that has ended, or to another one.
    """
    refs = ray_waitables
    core = runtime.require_core()
    if isinstance(refs, ObjectRef):
        raise TypeError("wait() expected a list of ObjectRef, got a single ObjectRef")
    if not isinstance(refs, list):
        raise TypeError(f"wait() expected a list of ObjectRef, got {type(refs)}")
    if timeout is not None:
        given, timeout = timeout, _seconds(timeout)
        if timeout is not None and timeout < 0:
            raise _negative(given)
    waited = core.waited
    if not _seen(refs, waited):
        _check_refs(refs, core)
        waited = None
    if not refs:
        return [], []
    if num_returns == 1 and type(num_returns) is int:
        if refs[0]._data is not None:  # the loop over what is done: nothing to look for
            rest = refs[1:]
            if waited is None:
                core.waited = rest[:]
            else:  # moves pointers; a copy would count each ref once more, the dearest part of this loop
                del waited[:1]
                core.waited = waited
            return [refs[0]], rest
    else:
        num_returns = _checked_count(num_returns, len(refs))
    ready, rest = core.wait(refs, num_returns, timeout)
    core.waited = rest[:]
    return ready, rest


def _checked_count(num_returns: Any, there_are: int) -> int:
    """Return how many refs are waited for; wholes of other types (NumPy's, 2.0) count too."""
    try:
        if not num_returns > 0:  # nor NaN
            raise ValueError(f"Invalid number of objects to return {num_returns}.")
        if num_returns > there_are:
            raise ValueError("num_returns cannot be greater than the number of objects provided to wait.")
        whole = int(num_returns)
    except TypeError:
        raise TypeError(f"num_returns must be an int, got {type(num_returns).__name__}.") from None
    if whole != num_returns:
        raise TypeError(f"num_returns must be a whole number, got {num_returns}.")
    return whole


def _seen(refs: list[ObjectRef], waited: list[ObjectRef] | None) -> bool:
    """Tell whether these are just the refs that the last ``wait`` returned as the rest.

    A loop that waits for one after the other passes what it was given, and to look through it
    each time would be most of the work. The copy that is compared is dropped within 50 ms.
    """
    if waited is None or len(waited) != len(refs):
        return False
    try:
        return refs == waited  # identical elements are not compared further
    except Exception:  # something in the list does not let itself be compared
        return False


def _check_refs(refs: list[ObjectRef], core: Any) -> None:
    """Raise unless the list holds refs of this cluster, each once."""
    if list(map(type, refs)).count(ObjectRef) != len(refs):  # the quickest way to look at all of them
        wrong = [type(r) for r in refs if not isinstance(r, (ObjectRef, ObjectRefGenerator))]
        if wrong:
            raise TypeError(f"wait() expected a list of ObjectRef, got list containing {wrong[0]}")
    for ref in refs:
        if type(ref) is ObjectRef and ref._cluster is not core:
            raise current.foreign(ref)
    if len(set(refs)) != len(refs):
        raise ValueError("Wait requires a list of unique object refs.")


def cancel(ray_waitable: Any, *, force: bool = False, recursive: bool = True) -> None:
    """Cancel the task that makes a ref; nothing happens when it is done.

    A task that waits never runs. One that runs gets a KeyboardInterrupt, or, with
    ``force``, its worker is killed. Tasks that it submitted are cancelled as well.
    """
    ref = ray_waitable
    if type(ref) is ObjectRefGenerator:
        ref = ref._generator_ref
    if type(ref) is not ObjectRef:
        raise TypeError(f"cancel() only supported for object refs. For actors, try kill(). Got: {type(ref)}.")
    runtime.require_core().cancel(ref, force, recursive)


def kill(actor: Any, *, no_restart: bool = True) -> None:
    """End an actor at once; calls that it has not answered fail."""
    if not isinstance(actor, ActorHandle):
        hint = f" An actor by its name: kill(get_actor({actor!r}))." if isinstance(actor, str) else ""
        raise ValueError(f"kill() only supported for actors. For tasks, try cancel(). Got: {type(actor)}.{hint}")
    actor._ray_kill(no_restart)
