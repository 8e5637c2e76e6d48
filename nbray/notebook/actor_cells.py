"""``--actor NAME``: the actors in which cells keep their names."""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError

from nbray.exceptions import RayActorError, RayError
from nbray.notes import add_note

from . import node_choice
from .cell_actor import CellActor
from .cell_result import NotHere
from .magic_options import CellOptions
from .runtime import ActorClass, actor_death, actor_state, find_actor, rebuild_handle, uninterrupted


class ActorCells:
    """The actors of one shell's cells; they live as long as it does, or until they are killed."""

    def __init__(self, cells: Any) -> None:
        self._cells = cells
        self._methods = ActorClass(CellActor, {})._methods  # by which one that is made for cells is known
        self._handles: dict[str, Any] = {}
        self._asked: dict[str, dict[str, Any]] = {}  # options with which each was made

    def names(self) -> list[str]:
        """Return the names of the actors that cells have used."""
        return sorted(self._handles)

    def handle(self, options: CellOptions) -> Any:
        """Return the actor of that name, made at its first use.

        Raises
        ------
        UsageError
            When the actor is of another kind, or was made with other options.
        """
        name = options.actor
        wanted = {key: value for key, value in options.task.items() if key != "name"}
        if options.node:
            wanted["scheduling_strategy"] = options.node
        handle = self._handles.get(name)
        if handle is not None and actor_state(handle) == "DEAD":
            if handle._ray_calls.core.session.attached:
                cause = actor_death(handle).partition("\n")[0].rstrip(".")  # without the end of its log
                self._cells.tell(
                    [f"the actor {name} ended{': ' + cause if cause else ''}; a new one begins without names."]
                )
            self._handles.pop(name)
            self._names_end(name)
            handle = None
        if handle is not None:
            if wanted and wanted != self._asked.get(name):
                raise UsageError(
                    f"%%remote: the actor {name} was made with other resources; they cannot be changed."
                    f" nbray.kill(nbray.get_actor({name!r})) ends it, and the next cell makes a new one."
                )
            return handle
        return self._find_or_make(name, wanted, options)

    def _find_or_make(self, name: str, wanted: dict[str, Any], options: CellOptions) -> Any:
        given = dict(wanted)
        if options.node:
            given["scheduling_strategy"] = node_choice.strategy(options.node)
        try:
            try:
                handle = rebuild_handle(*find_actor(name))
            except ValueError:
                return self._make(name, wanted, given)
        except (RayError, ValueError, TypeError) as error:
            text = node_choice.for_a_cell(str(error), given).replace(f"{name} asks", f"the actor {name} asks")
            raise UsageError(f"%%remote: {text}") from None
        if handle._ray_info["methods"] != self._methods:
            raise UsageError(
                f"%%remote: the actor {name} is of the class {handle._ray_info['class_name']}; cells run in actors that"
                " --actor made. Take another name."
            )
        self._keep(name, wanted, handle)
        return handle

    @uninterrupted
    def _make(self, name: str, wanted: dict[str, Any], given: dict[str, Any]) -> Any:
        """Make an actor. An interrupt between this and keeping it would end it, and the next cell would find it dying."""
        made = ActorClass(CellActor, {})
        made._class_name = name  # lists and the panel show the user's word, not the name of a class of ours
        handle = made.options(name=name, **given).remote()
        self._keep(name, wanted, handle)
        return handle

    def _keep(self, name: str, wanted: dict[str, Any], handle: Any) -> None:
        self._handles[name] = handle
        self._asked[name] = wanted

    def _names_end(self, name: str) -> None:
        """The actor has ended: what stands here for values that it kept says so from now on, also in cells of its successor."""
        for value in list(self._cells.shell.user_ns.values()):
            if type(value) is NotHere and value._left.actor == name:
                value._left.ended = True

    def failed(self, name: str, failure: BaseException) -> None:
        """A cell of the actor failed without an error of its own."""
        if isinstance(failure, RayActorError):
            self._names_end(name)
            add_note(failure, f"The names that the actor {name} kept are lost; the next cell begins a new one.")
