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
from nbray.ray_names.constants import Language

ObjectID = ObjectRef
StreamingObjectRefGenerator = ObjectRefGenerator  # its name in older versions

__all__ = [
    "ActorClassID",
    "ActorID",
    "BaseID",
    "ClusterID",
    "DynamicObjectRefGenerator",
    "FunctionID",
    "GcsClient",
    "JobID",
    "Language",
    "NodeID",
    "ObjectID",
    "ObjectRef",
    "ObjectRefGenerator",
    "PlacementGroupID",
    "StreamingObjectRefGenerator",
    "TaskID",
    "UniqueID",
    "WorkerID",
]
