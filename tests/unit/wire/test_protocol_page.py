"""PROTOCOL.md and messages.py say the same."""

import re
from pathlib import Path

import pytest

from nbray.wire import messages as m

PAGE = (Path(m.__file__).parent / "PROTOCOL.md").read_text(encoding="utf-8")
ROWS = {
    name: (direction, re.findall(r"`(\w+)`", fields))
    for name, direction, fields in re.findall(r"^\| ([A-Z]\w+) \| ([^|]*->[^|]*) \| ([^|]*) \|$", PAGE, re.MULTILINE)
}


def test_version():
    assert f"Version {m.PROTOCOL_VERSION} " in PAGE


def test_the_page_lists_each_message_once():
    assert set(ROWS) == {cls.__name__ for cls in m.MESSAGES}
    assert len(re.findall(r"^\| \w+(?:Request|Reply|Notice) \|", PAGE, re.MULTILINE)) == len(m.MESSAGES)


@pytest.mark.parametrize("cls", m.MESSAGES, ids=lambda cls: cls.__name__)
def test_fields(cls):
    assert ROWS[cls.__name__][1] == list(cls.__struct_fields__)


@pytest.mark.parametrize("cls", m.MESSAGES, ids=lambda cls: cls.__name__)
def test_names_and_words(cls):
    assert re.fullmatch(r"[A-Z]\w+(Request|Reply|Notice)", cls.__name__)
    daemon_sends = ROWS[cls.__name__][0].startswith("daemon")
    if cls.__name__.endswith("Reply"):
        assert daemon_sends
    if cls.__name__.endswith("Request"):
        assert not daemon_sends


def test_every_request_has_its_reply_or_says_what_it_is_answered_with():
    names = {cls.__name__ for cls in m.MESSAGES}
    for cls in m.MESSAGES:
        if cls.__name__.endswith("Request"):
            reply = cls.__name__.removesuffix("Request") + "Reply"
            words = (cls.__doc__ or "") + PAGE
            assert reply in names or re.search(r"Repl(y|ies)|[Dd]aemon", words), cls
