"""Refs and ids, under the name of Ray's C extension."""

from __future__ import annotations

from nbray.ids import ActorID, JobID, NodeID, TaskID, WorkerID
from nbray.object_ref import ObjectRef

ObjectID = ObjectRef

__all__ = ["ActorID", "JobID", "NodeID", "ObjectID", "ObjectRef", "TaskID", "WorkerID"]
