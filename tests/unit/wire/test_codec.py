"""The codec: what goes in comes out, and any other bytes are refused and nothing worse."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbray.wire import messages as m
from nbray.wire.codec import ProtocolError, decode, encode


def message_of(cls):
    """A strategy for messages of one class, from its annotations."""
    return st.builds(cls, **{field.encode_name: _values(field.type) for field in msgspec.inspect.type_info(cls).fields})


def _values(kind):
    info = msgspec.inspect
    if isinstance(kind, info.IntType):
        return st.integers(0, 2**63 - 1)
    if isinstance(kind, info.StrType):
        return st.text(max_size=20)
    if isinstance(kind, info.BytesType):
        return st.binary(max_size=20)
    if isinstance(kind, info.BoolType):
        return st.booleans()
    if isinstance(kind, info.FloatType):
        return st.floats(allow_nan=False)
    if isinstance(kind, info.NoneType):
        return st.none()
    if isinstance(kind, info.ListType):
        return st.lists(_values(kind.item_type), max_size=2)
    if isinstance(kind, info.VarTupleType):
        return st.lists(_values(kind.item_type), max_size=2).map(tuple)
    if isinstance(kind, info.DictType):
        if isinstance(kind.key_type, info.AnyType):  # a plain dict: a row of a report
            return st.dictionaries(st.text(max_size=5), st.integers(0, 9) | st.text(max_size=5), max_size=2)
        return st.dictionaries(_values(kind.key_type), _values(kind.value_type), max_size=2)
    if isinstance(kind, info.UnionType):
        return st.one_of([_values(part) for part in kind.types])
    if isinstance(kind, info.StructType):
        return message_of(kind.cls)
    raise NotImplementedError(kind)


@pytest.mark.parametrize("cls", m.MESSAGES, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_round_trip(cls, data):
    message = data.draw(message_of(cls))
    again = decode(encode(message))
    assert type(again) is cls and again == message


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_politely(frame):
    try:
        assert isinstance(decode(frame), m.Message)
    except ProtocolError:
        pass


@given(data=st.data(), cut=st.integers(0, 60), flip=st.integers(0, 7))
def test_damaged_messages(data, cut, flip):
    frame = bytearray(encode(data.draw(message_of(data.draw(st.sampled_from(m.MESSAGES))))))
    if frame:
        frame[cut % len(frame)] ^= 1 << flip
    for damaged in (bytes(frame), bytes(frame[: cut % (len(frame) + 1)])):
        try:
            assert isinstance(decode(damaged), m.Message)
        except ProtocolError:
            pass


def test_unknown_fields_are_ignored_and_unknown_types_refused():
    known = msgspec.msgpack.encode({"type": "LeaseReturnNotice", "lease_id": 3, "colour": "red"})
    assert decode(known) == m.LeaseReturnNotice(3)
    for bad in ({"type": "MakeCoffeeRequest"}, {"lease_id": 3}, {"type": "LeaseReturnNotice", "lease_id": "3"}, [], 1):
        with pytest.raises(ProtocolError):
            decode(msgspec.msgpack.encode(bad))


def test_deep_nesting_is_refused():
    with pytest.raises(ProtocolError):
        decode(b"\x81\xa4type\xa9StateReply" + b"\x91" * 100_000)
    with pytest.raises(ProtocolError):
        decode(b"\x91" * 100_000)


def test_texts_of_users_may_have_lone_surrogates():
    notice = m.ActorReadyNotice(
        actor_id="a1", incarnation=1, error=b"\xff\xfe", error_text="ValueError: \udcff", repr_name="\udc80é"
    )
    there = decode(encode(notice))
    assert (there.error, there.error_text, there.repr_name) == (b"\xff\xfe", "ValueError: \\udcff", "\\udc80é")
