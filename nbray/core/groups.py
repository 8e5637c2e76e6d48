"""What this process knows of placement groups: their state as the daemon last told it."""

from __future__ import annotations

from typing import Any

from nbray import ids
from nbray.exceptions import RaySystemError, TaskPlacementGroupRemoved, TaskUnschedulableError
from nbray.object_ref import ObjectRef, new_ref
from nbray.serialization import error_value
from nbray.wire import messages as m

PENDING, CREATED, REMOVED = "PENDING", "CREATED", "REMOVED"
MAX_KNOWN = 10_000  # states remembered; of the others the daemon is asked again


class _Group:
    """One group that this process made or asked about."""

    __slots__ = ("notice", "waiting")

    def __init__(self) -> None:
        self.notice: m.GroupNotice | None = None
        self.waiting: list[tuple[ObjectRef, bytes]] = []  # refs of ``ready()``, and their value


class Groups:
    """Placement groups by id.

    Parameters
    ----------
    core : CoreWorker
        Its lock guards all of this.
    """

    def __init__(self, core: Any) -> None:
        self.core = core
        self._known: dict[str, _Group] = {}

    def create(self, request: m.CreateGroupRequest) -> None:
        """Have a group made; a named one is accepted or refused before this returns.

        Raises
        ------
        RaySystemError
            When the name is taken.
        TaskUnschedulableError
            When no node can ever have one of its bundles.
        """
        core = self.core
        group = _Group()
        with core.lock:
            if len(self._known) >= MAX_KNOWN:
                self._forget()
            self._known[request.group_id] = group
        core.control.send(request)
        if not request.name:
            return
        core.wait_until(lambda: group.notice is not None, 10.0)
        notice = group.notice
        if notice is not None and notice.name_taken:
            raise RaySystemError(
                f"There is a placement group named {request.name!r} in namespace {request.namespace!r} already. Remove it "
                "(remove_placement_group), get it (get_placement_group), or use another name."
            )
        if notice is not None and notice.infeasible:
            raise TaskUnschedulableError(notice.infeasible)

    def ready(self, group_id: str, value: bytes) -> ObjectRef:
        """Return a ref that gets ``value``, pickled, when the group is there."""
        core = self.core
        ref = new_ref(next(core.numbers), 0, core.peer, core)
        with core.lock:
            group = self._watch(group_id)
            if group.notice is None or group.notice.state not in (CREATED, REMOVED):
                group.waiting.append((ref, value))
            else:
                core._set(ref, self._outcome(group.notice, value))
        return ref

    def wait(self, group_id: str, timeout_s: float | None) -> bool:
        """Wait until the group is there; False after ``timeout_s``. Raises when it never will be."""
        core = self.core
        with core.lock:
            group = self._watch(group_id)

        def settled() -> bool:
            return group.notice is not None and group.notice.state in (CREATED, REMOVED)

        if not settled() and not core.wait_until(settled, timeout_s):
            return False
        assert group.notice is not None
        error = self._error(group.notice)
        if error is not None:
            raise error
        return True

    def remove(self, group_id: str) -> None:
        """Have the daemon remove a group; this process knows it at once, and hears nothing more of it."""
        self.core.control.send(m.RemoveGroupRequest(group_id=group_id))
        with self.core.lock:
            self.on_notice(m.GroupNotice(group_id=group_id, state=REMOVED))
            self.core.waiters.wake()
        self.core.run_callbacks()

    def on_notice(self, notice: m.GroupNotice) -> None:
        """The daemon tells a group's state."""
        group = self._known.get(notice.group_id)
        if group is None:
            return
        if group.notice is not None and group.notice.state == REMOVED:
            return
        group.notice = notice
        if notice.state == REMOVED:
            self._forget_pools(notice.group_id)
        if notice.state in (CREATED, REMOVED):
            waiting, group.waiting = group.waiting, []
            for ref, value in waiting:
                self.core._set(ref, self._outcome(notice, value))

    def _watch(self, group_id: str) -> _Group:
        group = self._known.get(group_id)
        if group is None:
            group = self._known[group_id] = _Group()
            self.core.control.send(m.WatchGroupRequest(group_id=group_id))
        return group

    def _outcome(self, notice: m.GroupNotice, value: bytes) -> Any:
        error = self._error(notice)
        return value if error is None else error_value.from_system_error(error)

    @staticmethod
    def _error(notice: m.GroupNotice) -> Exception | None:
        if notice.infeasible:
            return TaskUnschedulableError(notice.infeasible)
        if notice.state == REMOVED:
            return TaskPlacementGroupRemoved(f"The placement group {notice.group_id} has been removed.")
        return None

    def _forget_pools(self, group_id: str) -> None:
        """Nothing new runs in a group that is gone, also not in the workers that it still has."""
        pools = self.core.pools
        for key, pool in [(key, pool) for key, pool in pools.items() if pool.target.group == group_id]:
            pool.refuse_removed()
            if not pool.lanes:
                del pools[key]

    def _forget(self) -> None:
        """Forget the removed groups, and if that is not enough the oldest that nobody waits for."""
        for group_id, group in list(self._known.items()):
            done = group.notice is not None and group.notice.state == REMOVED
            if not group.waiting and (done or len(self._known) >= MAX_KNOWN):
                del self._known[group_id]


def new_id(core: Any) -> str:
    """Return the id of a new group, hex."""
    return ids.placement_group_id(core.peer, next(core.numbers), core.job_id).hex()
