"""What collectives make of the arrays they are given, before any group is there."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from nbray._cstore import lib

from nbray.core import collective_group
from nbray.core.collective_group import as_array
from nbray.core.collective_members import group_id
from nbray.exceptions import CollectiveMismatchError


class FakeTensor:
    """What is asked of a torch tensor."""

    def __init__(self, array: np.ndarray, dtype: object = None, device: str = "cpu") -> None:
        self.array, self.dtype = array, dtype
        self.device = types.SimpleNamespace(type=device)

    def detach(self) -> FakeTensor:
        return self

    def view(self, dtype: object) -> FakeTensor:
        return FakeTensor(self.array.view(np.int16))

    def numpy(self) -> np.ndarray:
        if self.dtype == "bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array


@pytest.fixture
def torch(monkeypatch):
    """A module that looks like torch; the real one is never imported for collectives."""
    module = types.SimpleNamespace(Tensor=FakeTensor, bfloat16="bfloat16", int16="int16")
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def test_tensors_share_their_memory(torch):
    array = np.zeros(3, np.float32)
    found, code = as_array(FakeTensor(array))
    assert found is array and code >> 8 == lib.NBS_F32
    found, code = as_array(FakeTensor(np.zeros(3, np.uint16), torch.bfloat16))
    assert found.dtype == np.int16 and code >> 8 == lib.NBS_BF16


def test_tensors_on_gpus_are_refused(torch):
    with pytest.raises(RuntimeError, match=r"tensor\.cpu\(\)"):
        as_array(FakeTensor(np.zeros(3), device="cuda"))


@pytest.mark.parametrize("value", [[1.0], "text", memoryview(b"x"), 3])
def test_what_is_no_tensor(value):
    with pytest.raises(RuntimeError, match="Unrecognized tensor type"):
        as_array(value)


@pytest.mark.parametrize("dtype", ["O", "S3", "U3", "M8[s]", "m8[s]", "f4,i4", np.longdouble])
def test_types_that_collectives_do_not_know(dtype):
    with pytest.raises(CollectiveMismatchError, match="their elements must be"):
        as_array(np.zeros(3, dtype))


def test_the_other_byte_order_is_known():
    assert as_array(np.zeros(3, ">f8"))[1] >> 8 == lib.NBS_F64


def test_group_ids():
    ids = {group_id(space, name) for space in ("a", "b", "") for name in ("a", "b", "declared\0a")}
    assert len(ids) == 9 and all(len(one) == lib.NBS_ID_SIZE for one in ids)
    assert collective_group.MAX_RANKS == 256
