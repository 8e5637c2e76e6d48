"""Answer requests to the table of keys and values."""

from __future__ import annotations

from collections.abc import Iterator

from nbray.control.key_value_table import KeyValueTable
from nbray.wire import messages as m

MAX_REPLY_BYTES = 512 * 1024  # of keys in one reply
MAX_KEY_BYTES = 64 * 1024


def replies(table: KeyValueTable, message: m.KeyValueRequest) -> Iterator[m.KeyValueReply]:
    """Carry out a request; yields its replies, one unless many keys are listed."""
    number, space, key = message.request_id, message.space, message.key
    if len(key) > MAX_KEY_BYTES or len(space) > MAX_KEY_BYTES:
        yield m.KeyValueReply(number, error=f"a key and a namespace have at most {MAX_KEY_BYTES} bytes")
    elif message.action == "get":
        value = table.get(space, key)
        yield m.KeyValueReply(number, found=value is not None, value=value or b"")
    elif message.action in ("put", "add"):
        try:
            found = table.put(space, key, message.value, overwrite=message.action == "put")
        except ValueError as error:
            yield m.KeyValueReply(number, error=str(error))
        else:
            yield m.KeyValueReply(number, found=found)
    elif message.action in ("delete", "delete_prefix"):
        yield m.KeyValueReply(number, count=table.delete(space, key, by_prefix=message.action == "delete_prefix"))
    elif message.action == "list":
        some: list[bytes] = []
        size = 0
        for one in table.keys(space, key):
            if size + len(one) > MAX_REPLY_BYTES:
                yield m.KeyValueReply(number, keys=some, last=False)
                some, size = [], 0
            some.append(one)
            size += len(one) + 8
        yield m.KeyValueReply(number, keys=some)
    else:
        raise ValueError(f"unknown action {message.action!r}")
