"""How what a worker prints is cut into messages."""

import pickle

from nbray.core import output
from nbray.worker.output_capture import FLUSH_BYTES, OutputCapture


class Sent:
    """A channel that keeps what is sent, and a capture that sends to it."""

    def __init__(self):
        self.pieces = []  # (text, whether the rest of its last line follows)
        self.capture = OutputCapture(self.send)
        self.capture._start_thread = lambda: None  # which sends what has been printed for a while

    def send(self, payload, origin):
        _, _, (_, text), meta = pickle.loads(payload)
        self.pieces.append((text, meta.get("more", False)))
        return True


def print_to(capture, text):
    """Write as print does: the text, and then the end of its line."""
    capture.write("stdout", text)
    capture.write("stdout", "\n")


def test_lines_are_cut_at_their_ends():
    sent = Sent()
    for _ in range(1000):
        print_to(sent.capture, 100 * "x")
    sent.capture.flush()
    assert len(sent.pieces) > 1
    assert all(piece.endswith("\n") and not more for piece, more in sent.pieces)
    assert "".join(piece for piece, _ in sent.pieces) == 1000 * (100 * "x" + "\n")


def test_the_pieces_of_a_long_line_go_on(capsys):
    sent = Sent()
    print_to(sent.capture, "the first")
    print_to(sent.capture, 3 * FLUSH_BYTES * "x")
    print_to(sent.capture, "the last")
    sent.capture.flush()
    for piece, more in sent.pieces:
        assert len(piece) <= FLUSH_BYTES
        output.print_with_name("", "stream", ("stdout", piece), {"name": "f", "pid": 1, "more": more})
    lines = [line.removeprefix("(f pid=1) ") for line in capsys.readouterr().out.splitlines()]
    assert lines == ["the first", 3 * FLUSH_BYTES * "x", "the last"]


def test_a_line_that_does_not_end_waits_one_time():
    sent = Sent()
    print_to(sent.capture, "begin")
    sent.capture.write("stdout", "done: ")
    unfinished = sent.capture._flush_soon("")
    assert sent.pieces == [("begin\n", False)]
    sent.capture.write("stdout", "1")
    assert sent.capture._flush_soon(unfinished) == ""
    assert sent.pieces[1:] == [("done: 1", False)]
    assert not sent.capture.pending


def test_the_rest_of_what_was_sent_for_its_size_is_sent_soon():
    sent = Sent()
    print_to(sent.capture, "begin")
    sent.capture._wake.clear()  # the thread has been there
    sent.capture._flush_soon("")
    sent.capture._parts, sent.capture.pending = ["kept"], True  # a line that had not ended
    sent.capture.write("stdout", FLUSH_BYTES * "x" + "\nmore")
    assert sent.capture._wake.is_set()
    assert sent.capture._parts == ["more"]
