"""An interrupt gets at a pickler that writes very many small objects."""

import signal

import pytest

from nbray.notebook.cell_pickle import CellPickler, MemoryWriter


class Struck(Exception):
    pass


@pytest.fixture
def strike():
    """A signal whose handler raises, from a timer that one sets."""

    def handler(signum, frame):
        raise Struck

    before = signal.signal(signal.SIGALRM, handler)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.01)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_signal_is_handled_in_the_midst_of_a_large_value(strike):
    rows = [{"number": i, "text": str(i)} for i in range(500_000)]
    whole = MemoryWriter()
    CellPickler(whole, {}, ()).dump(rows)
    part = MemoryWriter()
    strike()
    with pytest.raises(Struck):
        CellPickler(part, {}, ()).dump(rows)
    assert part.tell() < whole.tell()
