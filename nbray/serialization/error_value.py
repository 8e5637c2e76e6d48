"""A failure as a value: what is stored or sent in the place of a result.

The blob holds text (type name, message, traceback) and, when it can be pickled, the
exception itself, so that a class missing in the reader never breaks the report.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pickle
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from nbray import exceptions
from nbray.exceptions import RayError, RayTaskError, UnserializableException
from nbray.serialization import serializer, without_code

_TASK, _SYSTEM, _GIVEN = 0, 1, 2
_TRACEBACK: Any = BaseException.__traceback__  # of every exception, whatever its class makes of that name
MAX_DEPENDENTS = 20  # that are named
MAX_FRAMES = 200  # of one error: the first and the last half are kept
_READ_ONLY = "Arrays that come from the object store are read-only, because others share them: copy() first."
_REF = (
    "An ObjectRef is not the value itself: nbray.get(ref) returns that. Passed to a task by itself a ref arrives as its value, "
    "inside a list or dict as a ref."
)
_REF_AS_VALUE = re.compile(r"'ObjectRef'|\bObjectRef object\b|\bObjectRef\.__|not ObjectRef\b")  # Python's words
WORKER = os.sep + os.path.join("nbray", "worker") + os.sep
OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # files below are the runtime's own


class ErrorValue:
    """Holds the blob of an error; ``exception()`` makes a fresh exception of it.

    Attributes
    ----------
    refs : sequence
        What has to live as long: the refs inside the exception, or (``Kept``) the stored object that keeps them.
    unread : (deque, object) or None
        Where to put (object, blob) when it goes before anybody has read it.
    """

    __slots__ = ("_blob", "_dependents", "refs", "unread")

    def __init__(self, blob: bytes, refs: Sequence[Any] = (), dependents: tuple[str, ...] = ()) -> None:
        self._blob = blob
        self._dependents = dependents
        self.refs = refs
        self.unread: Any = None

    @property
    def blob(self) -> bytes:
        """The error as bytes; made when it is asked for where thousands of dependents share those of one failure."""
        return _with_dependents(self._blob, self._dependents) if self._dependents else self._blob

    def of_dependent(self, name: str) -> ErrorValue:
        """Return the error of a task that did not run, as this is what became of an argument of it."""
        self.unread = None  # from now on the dependent's is the one to be read
        return ErrorValue(self._blob, self.refs, _first_and_last((name, *self._dependents)))

    def exception(self) -> BaseException:
        self.unread = None
        return to_exception(self.blob)

    def stored(self) -> serializer.Serialized:
        """Return it as the store takes it."""
        return serializer.Serialized(self.blob, (), list(self.refs))

    def __del__(self, at_exit: Callable[[], bool] = sys.is_finalizing) -> None:
        if self.unread is not None and not at_exit():  # then nobody is there to tell it, and nothing can be imported
            queue, about = self.unread
            queue.append((about, self.blob))


class Kept:
    """Stands among the refs of an error for a stored object that keeps them."""

    __slots__ = ("_hold",)

    def __init__(self, hold: Any) -> None:
        self._hold = hold


def from_system_error(error: BaseException) -> ErrorValue:
    """Wrap an error that the runtime itself raises in ``get``."""
    return ErrorValue(pickle.dumps((_SYSTEM, pickle.dumps(error))))


def from_given(error: RayError, what: str = "value") -> ErrorValue:
    """Wrap an error of the library that a program hands on as a value (``what``): who gets the value gets the error, as in Ray."""
    refs: list[Any] = []
    if not isinstance(error, RayTaskError):
        # Its class may be the program's own, or what is in it: that is for those to load who raise it.
        fields = (_GIVEN, _pickled(error, refs, what), type(error).__name__, _text(error))
        return ErrorValue(pickle.dumps(fields), refs)
    function_name, text, cause, _, pid, _, _, _, frames, node, dependents = error._told
    pickled: bytes | None = None
    with contextlib.suppress(Exception):
        pickled = _pickled(cause, refs) if cause is not None else None
    told = (_TASK, function_name, text, pid, frames, pickled, type(cause).__name__, _text(cause), node, dependents)
    return ErrorValue(pickle.dumps(told), refs)


def _with_dependents(blob: bytes, names: tuple[str, ...]) -> bytes:
    """Return the blob for tasks that did not run because of this one; an error of the runtime becomes the cause of a task's."""
    fields: Any = pickle.loads(blob)
    if fields[0] == _SYSTEM:
        error = pickle.loads(fields[1])
        if isinstance(error, RayTaskError):  # of a task that was cancelled while it ran
            error = error.cause
        fields = (_TASK, "", headline(blob), 0, [], pickle.dumps(error), type(error).__name__, _text(error), "", ())
    elif fields[0] == _GIVEN:
        fields = (_TASK, "", headline(blob), 0, [], *fields[1:], "", ())
    return pickle.dumps((*fields[:-1], _first_and_last((*names, *fields[-1]))))


def _first_and_last(names: tuple[str, ...]) -> tuple[str, ...]:
    half = MAX_DEPENDENTS // 2
    return names if len(names) <= MAX_DEPENDENTS else (*names[: half - 1], "...", *names[-half:])


def _pickled(cause: BaseException | None, refs: list[Any], what: str = "value") -> bytes:
    """Return an exception as bytes for ``loads``; the refs inside are added to ``refs``."""
    data = serializer.dumps(cause, what)
    if isinstance(data, bytes):
        return data
    refs += data.refs
    return data.pack() if data.buffers else data.pickled


def from_exception(
    function_name: str, error: BaseException, skip_frames: int = 0, node: str = "", refs: list[Any] | None = None
) -> bytes:
    """Return the blob for an exception that user code raised in this process.

    Parameters
    ----------
    function_name : str
    error : BaseException
        With its traceback.
    skip_frames : int
        Outermost frames that belong to the runtime.
    node : str
        Id of this node, shortened.
    refs : list, optional
        Gets the refs inside the exception, which have to live as long as the blob. Without it an exception that has
        refs inside goes as text.
    """
    tb: TracebackType | None = _TRACEBACK.__get__(error)
    for _ in range(skip_frames):
        if tb is not None and tb.tb_next is not None:
            tb = tb.tb_next
    while tb is not None and WORKER in tb.tb_frame.f_code.co_filename:
        tb = tb.tb_next  # between the loop and the user's function, or after it: none of the user's is left then
    try:
        return _described(function_name, error, tb, node, refs)
    except BaseException as failure:  # code of the exception's own class runs meanwhile
        return _undescribed(function_name, error, tb, node, failure)


def _described(
    function_name: str, error: BaseException, tb: TracebackType | None, node: str, refs: list[Any] | None
) -> bytes:
    if getattr(error, "of_the_runtime", False):
        return from_system_error(error).blob
    if isinstance(error, RayTaskError) and error.cause is not None:
        cause: BaseException | None = error.cause  # a task's error passing through this task
    else:
        cause = error
    hint = ""
    if general := hint_of(error):
        hint = general + "\n"
    if isinstance(error, ModuleNotFoundError) and error.name and str(error).startswith("No module named"):
        version = ".".join(map(str, sys.version_info[:3]))
        hint = f"Node {node} has no module {error.name!r} for Python {version} at {sys.executable}.\n"
    text = _traceback(error, tb) + hint
    frames = _frames(tb)
    if isinstance(error, RayTaskError):
        frames = _bounded(
            frames + list(error.frames)
        )  # on to where it was raised, in the task that this one waited for
    pickled: bytes | None = None
    found: list[Any] = []
    try:
        pickled = _pickled(cause, found)
        serializer.loads(pickled)  # classes whose __init__ wants more arguments fail only now
        if refs is not None:
            refs += found
        elif found:
            raise TypeError("there are refs inside it, which nothing would keep here")
    except Exception as failure:
        pickled = None
        text += f"(Exception {type(cause).__qualname__} isn't serializable: {type(failure).__name__}: {failure})\n"
    return pickle.dumps(
        (_TASK, function_name, text, os.getpid(), frames, pickled, type(cause).__name__, _text(cause), node, ())
    )


def _undescribed(
    function_name: str, error: BaseException, tb: TracebackType | None, node: str, failure: BaseException
) -> bytes:
    """Return the blob for an exception whose own code fails when it is looked at: where it was raised, and its class."""
    name = type.__dict__["__name__"].__get__(type(error))
    odd = type.__dict__["__name__"].__get__(type(failure))
    text = f"(Exception {name} isn't serializable: looking at it raised {odd})\n"
    if tb is not None:
        text = f"Traceback (most recent call last):\n{''.join(traceback.format_tb(tb))}{name}\n{text}"
    return pickle.dumps((_TASK, function_name, text, os.getpid(), _frames(tb), None, name, "<no text>", node, ()))


def hint_of(error: BaseException) -> str:
    """Return what to do about an error whose words cannot tell: of Python about refs, of NumPy about shared arrays."""
    if isinstance(error, RayTaskError) or not isinstance(error, (ValueError, TypeError, AttributeError)):
        return ""  # the first has it in its text, from where it was raised
    text = _text(error)
    if isinstance(error, ValueError):
        return _READ_ONLY if "read-only" in text else ""
    return _REF if _REF_AS_VALUE.search(text) else ""


def _traceback(error: BaseException, tb: TracebackType | None) -> str:
    """Return the text of a traceback without the frames of the runtime, where it was called in the middle."""
    told = traceback.TracebackException(type(error), error, tb)
    pending = [told]
    for part in pending:  # grows; each part is there once
        part.stack[:] = [frame for frame in part.stack if not frame.filename.startswith(OWN)]
        pending += [
            other for other in (part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())) if other
        ]
    return "".join(told.format())


def _text(error: BaseException | None) -> str:
    try:
        return str(error)
    except BaseException:  # whatever a class of the user's thinks of
        return "<no text>"


def _frames(tb: TracebackType | None) -> list[tuple[str, int, str]]:
    """Return the user's frames, outermost first."""
    every = [(f.filename, f.lineno or 0, f.name) for f in traceback.extract_tb(tb)]
    return _bounded([frame for frame in every if not frame[0].startswith(OWN)])


def _bounded(frames: list[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    return frames if len(frames) <= MAX_FRAMES else frames[: MAX_FRAMES // 2] + frames[-MAX_FRAMES // 2 :]


# Ray's names of error types, by class; more special ones first.
_ERROR_TYPES: dict[type[BaseException], str] = {
    exceptions.TaskCancelledError: "TASK_CANCELLED",
    exceptions.OutOfMemoryError: "OUT_OF_MEMORY",
    exceptions.WorkerCrashedError: "WORKER_DIED",
    exceptions.TaskPlacementGroupRemoved: "TASK_PLACEMENT_GROUP_REMOVED",
    exceptions.ActorPlacementGroupRemoved: "ACTOR_PLACEMENT_GROUP_REMOVED",
    exceptions.ActorUnschedulableError: "ACTOR_UNSCHEDULABLE_ERROR",
    exceptions.TaskUnschedulableError: "TASK_UNSCHEDULABLE_ERROR",
    exceptions.ActorUnavailableError: "ACTOR_UNAVAILABLE",
    exceptions.ActorDiedError: "ACTOR_DIED",
    exceptions.RuntimeEnvSetupError: "RUNTIME_ENV_SETUP_FAILED",
    exceptions.OutOfDiskError: "OUT_OF_DISK_ERROR",
    exceptions.ObjectLostError: "OBJECT_LOST",
    exceptions.LocalRayletDiedError: "LOCAL_RAYLET_DIED",
}


def describe(blob: bytes) -> tuple[str, str]:
    """Return the type of an error, in Ray's words, and its text; unpickles nothing of the user's."""
    fields: Any = pickle.loads(blob)
    if fields[0] == _TASK:
        return "TASK_EXECUTION_EXCEPTION", fields[2]
    if fields[0] == _GIVEN:
        return "TASK_EXECUTION_EXCEPTION", headline(blob)
    error = pickle.loads(fields[1])
    for cls, name in _ERROR_TYPES.items():
        if isinstance(error, cls):
            return name, _text(error)
    return "TASK_EXECUTION_EXCEPTION", f"{type(error).__name__}: {_text(error)}"


def source(blob: bytes) -> str:
    """Return which function failed where, as the head of a message; empty for errors of the runtime."""
    fields: Any = pickle.loads(blob)
    if fields[0] != _TASK:
        return ""
    return exceptions.dependents_text(fields[9]) + (
        f"{fields[1]}() failed on worker pid={fields[3]}\n" if fields[3] else ""
    )


def pickled_cause(blob: bytes) -> bytes:
    """Return the user's exception of a task's blob, pickled; empty when it could not be."""
    fields: Any = pickle.loads(blob)
    pickled = fields[5] if fields[0] == _TASK else None
    return pickled if pickled and pickled[0] == serializer.PICKLE_OPCODE else b""


def to_exception(blob: bytes) -> BaseException:
    """Make the exception that ``get`` raises for this blob."""
    fields: Any = pickle.loads(blob)
    if fields[0] == _SYSTEM:
        return pickle.loads(fields[1])
    if fields[0] == _GIVEN:
        return _given(*fields[1:])
    _, function_name, text, pid, frames, pickled, type_name, message, node, dependents = fields
    cause: BaseException | None = None
    if pickled is not None:
        try:
            cause = serializer.loads(pickled)
        except (Exception, SystemExit) as error:  # what a class of the user's does there
            text += f"\n(The exception could not be rebuilt here: {type(error).__name__}: {error})"
    if isinstance(cause, RayTaskError):  # that the task got, and raised again
        return cause.of_dependents(dependents)
    if isinstance(cause, ModuleNotFoundError) and cause.name:
        text += _own_module(cause.name)
    if cause is None:
        cause = UnserializableException(f"{type_name}: {message}")
    made = RayTaskError(function_name, text, cause, pid=pid, frames=frames, node=node, dependents=dependents)
    return made.as_instanceof_cause()


def _given(pickled: bytes | None, type_name: str, message: str) -> BaseException:
    """Make the error again that a program handed on."""
    text = f"{type_name}: {message}"
    if pickled is not None:
        try:
            return serializer.loads(pickled)
        except (Exception, SystemExit) as error:  # what a class of the user's does there
            text += f"\n(The exception could not be rebuilt here: {type(error).__name__}: {error})"
    return UnserializableException(text)


def facts(blob: bytes) -> dict[str, Any]:
    """Return what an error says, without running any code of it.

    Returns
    -------
    dict
        ``type`` and ``message``; ``traceback`` (text; empty for errors of the runtime); ``frames``: (file, line,
        function), outermost first; ``pid`` of the worker, 0 when it is not known.
    """
    known: dict[str, Any] = {"type": "", "message": "", "traceback": "", "frames": [], "pid": 0}
    fields: Any = without_code.read(blob)
    if fields[0] == _SYSTEM:
        error = without_code.read(fields[1])
        kind, made_of = type(error), getattr(error, "made_of", ())
        if made_of and isinstance(
            made_of[0], type
        ):  # of an actor: by a function, of the class, the actor's id and a text
            kind, (_, *made_of) = made_of[0], made_of[1]
        public = getattr(exceptions, kind.__name__, kind)  # some classes are shown under another name than their own
        texts = [arg for arg in made_of if type(arg) is str]
        return {**known, "type": public.__name__, "message": texts[0] if texts else ""}
    if fields[0] == _GIVEN:
        return {**known, "type": fields[2], "message": fields[3]}
    _, _, text, pid, frames, _, type_name, message, _, dependents = fields
    text = exceptions.dependents_text(dependents) + text
    return {**known, "type": type_name, "message": message, "traceback": text, "frames": frames, "pid": pid}


def _own_module(name: str) -> str:
    """Say whether this process has a module that a task has not, and how tasks get it."""
    top = name.partition(".")[0]
    try:
        module = sys.modules.get(top)
        spec = module.__spec__ if module is not None else importlib.util.find_spec(top)
        place = getattr(module, "__file__", None) or (spec.origin if spec is not None else None)
    except (ImportError, ValueError, AttributeError):
        return ""
    if not place:
        return ""
    version = getattr(module, "__version__", "")
    if not version:
        from importlib import metadata  # noqa: PLC0415 - slow to load, and rarely needed

        with contextlib.suppress(metadata.PackageNotFoundError):
            version = metadata.version(top)
    return (
        f"\nThis process has {top}{f' {version}' if version else ''} at {place}. Give it to the workers with "
        "runtime_env={'py_modules': [...]} or {'pip': [...]}."
    )


def headline(blob: bytes) -> str:
    """Return ``Class: message`` of an error, without unpickling anything of the user."""
    fields: Any = pickle.loads(blob)
    if fields[0] == _SYSTEM:
        error = pickle.loads(fields[1])
        name, message = type(error).__name__, _text(error)
    elif fields[0] == _GIVEN:
        name, message = fields[2:]
    else:
        name, message = fields[6], fields[7]
    return f"{name}: {message}" if message else str(name)


def shorten(blob: bytes, limit: int) -> bytes:
    """Return a blob of at most about ``limit`` bytes: the pickled cause goes first, then text."""
    fields = list(pickle.loads(blob))
    if fields[0] == _SYSTEM:
        return blob
    given = fields[0] == _GIVEN
    fields[1 if given else 5] = None
    half = limit // 4
    for index in (3,) if given else (2, 7):
        text = fields[index]
        if len(text) > 2 * half:
            fields[index] = text[:half] + f"\n... {len(text) - 2 * half} characters left out ...\n" + text[-half:]
    if not given:
        fields[4] = fields[4][-50:]
    return pickle.dumps(tuple(fields))
