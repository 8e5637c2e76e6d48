"""When the dump of a process is whole: it says so by growing no more."""

import itertools
from types import SimpleNamespace

from nbray.core import stack_dump


def test_a_dump_is_whole_after_so_many_looks_also_where_the_machine_stands_still(monkeypatch, tmp_path):
    path = tmp_path / stack_dump.STACKS / "77"
    path.parent.mkdir(parents=True)
    path.write_text("of another time\n")
    seconds = itertools.count(0.0, 0.3)  # from look to look

    def sleep(step_s):
        step = next(steps)
        if step in (1, 3):
            with path.open("a") as file:
                file.write(f"part {step}\n")

    steps = itertools.count()
    monkeypatch.setattr(stack_dump, "time", SimpleNamespace(monotonic=lambda: next(seconds), sleep=sleep))
    monkeypatch.setattr(stack_dump, "lib", SimpleNamespace(nbs_signal=lambda *_: 0))
    monkeypatch.setattr(stack_dump, "answers", lambda pid: True)
    said = stack_dump.ask(str(tmp_path), None, 5, 77, timeout_s=1000.0)
    assert said == "part 1\npart 3"
