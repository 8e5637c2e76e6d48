"""The table of keys and values, and what goes over the wire of it."""

import pytest

from nbray.control.key_value_table import OVERHEAD, KeyValueTable
from nbray.node import key_values
from nbray.wire import messages as m


def ask(table, action, key=b"", value=b"", space=b""):
    return list(key_values.replies(table, m.KeyValueRequest(7, action, space, key, value)))


def test_it_counts_its_bytes_and_has_a_limit():
    table = KeyValueTable(max_bytes=2 * OVERHEAD + 10)
    assert table.put(b"", b"a", b"1234") is False
    assert table.put(b"x", b"a", b"1234") is False
    with pytest.raises(ValueError, match="210 bytes, of which 210 are used"):
        table.put(b"", b"b", b"")
    assert table.put(b"", b"a", b"12") is True
    assert table.get(b"", b"a") == b"12"
    assert table.get(b"y", b"a") is None
    table.validate()
    assert table.delete(b"x", b"", by_prefix=True) == 1
    assert table.delete(b"", b"a") == 1
    assert table.used == 0
    table.validate()


def test_many_keys_come_in_several_replies():
    table = KeyValueTable()
    keys = [b"%06d" % i + bytes(1000) for i in range(1500)]
    for key in keys:
        assert ask(table, "put", key) == [m.KeyValueReply(7)]
    replies = ask(table, "list", b"0")
    assert len(replies) > 1
    assert [reply.last for reply in replies] == [False] * (len(replies) - 1) + [True]
    assert [key for reply in replies for key in reply.keys] == keys
    assert ask(table, "list", b"nothing") == [m.KeyValueReply(7)]


def test_what_is_refused():
    table = KeyValueTable(max_bytes=200)
    assert "do not fit" in ask(table, "put", b"k", bytes(300))[0].error
    assert "at most" in ask(table, "get", bytes(100_000))[0].error
    with pytest.raises(ValueError, match="unknown action"):
        ask(table, "destroy", b"k")
    table.validate()


def test_add_keeps_what_is_there():
    table = KeyValueTable()
    ask(table, "put", b"k", b"1")
    assert ask(table, "add", b"k", b"2")[0].found
    assert ask(table, "get", b"k")[0].value == b"1"
