"""Control message <-> bytes.

Messages are msgpack maps whose ``type`` field names the class. An unknown type or a
wrong type of field raises ProtocolError; unknown fields are ignored, so that a newer
process may say more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Union, cast

import msgspec

from nbray.wire.messages import MESSAGES, Message


class ProtocolError(ValueError):
    """Bytes that are no message of this protocol."""


_encode = msgspec.msgpack.Encoder().encode


@functools.cache
def prepare() -> Callable[[bytes], Any]:
    """Make the decoder, which takes some ms: ahead of the first message, where there is time."""
    return msgspec.msgpack.Decoder(cast(Any, Union[MESSAGES])).decode  # noqa: UP007 - made at run time


def encode(message: Message) -> bytes:
    """Return ``message`` as the one frame that carries it."""
    return encode_any(message)


def encode_any(value: Any) -> bytes:
    """Return a message, or rows of a list; lone surrogates in the texts of the user's (an error's, say) as ``\\udcff``."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_escaped(msgspec.to_builtins(value, builtin_types=(bytes,))))


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, (list, tuple)) else value


def decode(frame: bytes) -> Message:
    """Return the message in ``frame``.

    Raises
    ------
    ProtocolError
        When it is none, whatever the bytes are.
    """
    try:
        return cast(Message, prepare()(frame))
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        raise ProtocolError(str(error) or type(error).__name__) from None
