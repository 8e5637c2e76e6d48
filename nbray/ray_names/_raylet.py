"""Refs and ids, under the name of Ray's C extension."""

from __future__ import annotations

from nbray.api.inner_objects import GcsClient
from nbray.ids import (
    ActorClassID,
    ActorID,
    BaseID,
    ClusterID,
    FunctionID,
    JobID,
    NodeID,
    PlacementGroupID,
    TaskID,
    UniqueID,
    WorkerID,
)
from nbray.object_ref import ObjectRef
from nbray.object_ref_generator import DynamicObjectRefGenerator, ObjectRefGenerator

ObjectID = ObjectRef

__all__ = [
    "ActorClassID",
    "ActorID",
    "BaseID",
    "ClusterID",
    "DynamicObjectRefGenerator",
    "FunctionID",
    "GcsClient",
    "JobID",
    "NodeID",
    "ObjectID",
    "ObjectRef",
    "ObjectRefGenerator",
    "PlacementGroupID",
    "TaskID",
    "UniqueID",
    "WorkerID",
]
