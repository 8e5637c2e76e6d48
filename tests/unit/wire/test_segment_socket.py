"""Who gets the segment's descriptor."""

import os
import socket

from nbray.wire import segment_socket


def test_nobody_is_let_in_for_whom_no_file_can_be_opened(tmp_path):
    path = str(tmp_path / "seg")
    with segment_socket.listen(path) as listener, open(os.devnull) as shared:
        for last_file, words in ((1 << 30, ""), (listener.fileno(), "ulimit -n")):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(path)
                assert segment_socket.serve_one(listener, shared.fileno(), {}, last_file) == (
                    -1 if words else os.getpid()
                )
                descriptor, greeting = segment_socket.receive_descriptor(connection)
                assert words in greeting.get("error", "")
                assert (descriptor < 0) == bool(words)
                if descriptor >= 0:
                    os.close(descriptor)
