"""What the widgets draw: the same facts make the same picture, well formed, escaped and bounded.

``NBRAY_GOLDEN=1 pytest`` writes the golden files anew; look at what changed before you keep it.
"""

import itertools
import os
import random
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nbray.notebook.widgets import facts as f
from nbray.notebook.widgets import layout, picture, text

GOLDEN = Path(__file__).parent / "golden"
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=y>&\x00\x1b\u202e\ud800"


def usage():
    wave = tuple((i % 10) / 10 for i in range(30))
    gpus = (
        f.Gpu(0, 31 * 10**9, 80 * 10**9, 0.91, wave, (("evaluate", 12 * 10**9), ("train", 3 * 10**9))),
        f.Gpu(1, 2 * 10**9, 80 * 10**9, None, (), (("", -1),)),
    )
    return f.Usage(0.98, 2, wave, 6_100_000_000, 24_000_000_000, wave, 1_200_000_000, 4_000_000_000, wave, gpus)


def graph():
    groups = [
        f.Group("load", (0, 0, 0, 64, 0, 0), 7, 0.012, own=False),
        f.Group("clean", (0, 0, 0, 62, 2, 0), 8, 0.03),
        f.Group("search", (0, 0, 1, 0, 0, 0), 12),
        f.Group("evaluate", (264, 41, 2, 93, 0, 0), 12, 0.038),
        f.Group("best", (1, 0, 0, 0, 0, 0), 13),
        f.Group("stopped", (0, 0, 0, 0, 0, 3), 13),
    ]
    edges = [f.Edge(0, 1, 64), f.Edge(1, 3, 64), f.Edge(2, 3, 400, True), f.Edge(3, 4, 400), f.Edge(0, 4, 1), f.Edge(4, 1, 1)]  # fmt: skip
    return groups, edges


def running():
    groups, edges = graph()
    return f.Facts("93 of 400 items", ["38 ms each", "12 s left"], "", 2, groups[3].counts, groups, edges, [], usage())


def whole():
    groups, edges = graph()
    problems = [f.Problem("clean", "ValueError: empty file: day-31.csv", 8)]
    return f.Facts("nbray", [], "", 2, None, groups, edges, problems, usage(), (("CPU", 2, 2), ("GPU", 1, 1)), 5)


CASES = {
    "line.html": lambda: picture.line(running()),
    "line.svg": lambda: picture.line_svg(running()),
    "line.txt": lambda: text.line(running()),
    "waiting.html": lambda: picture.line(f.Facts("cell 13", ["waiting for 1 GPU: 0 of 1 free", "14 s"], state=f.PLACE)),
    "dashboard.html": lambda: picture.dashboard(whole()),
    "dashboard.svg": lambda: picture.dashboard_svg(whole()),
    "dashboard.txt": lambda: text.dashboard(whole()),
    "empty.html": lambda: picture.dashboard(f.Facts("nbray")),
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name):
    made = CASES[name]() + "\n"
    made = re.sub(r"<style>.*?</style>", "<style/>", made).replace("><", ">\n<")  # one element a line, to be read
    file = GOLDEN / name
    if os.environ.get("NBRAY_GOLDEN"):
        file.write_text(made)
    assert made == file.read_text()


class Elements(HTMLParser):
    """Counts elements, and holds that each is closed."""

    def __init__(self):
        super().__init__()
        self.names, self.open, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag != "br":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def elements(made):
    parser = Elements()
    parser.feed(made)
    parser.close()
    assert parser.open == []
    return parser


def hostile(n=60):
    groups = [f.Group(EVIL + str(i), (i, 1, 1, 1, 1, 1), i, 1.0) for i in range(n)]
    edges = [f.Edge(a, b, 10**6) for a in range(n) for b in range(n) if a != b]
    problems = [f.Problem(EVIL, EVIL * 100, 3)] * 50
    gpus = tuple(f.Gpu(i, 1, 2, 0.5, (0.5,) * 100, ((EVIL, 5),) * 9) for i in range(20))
    use = f.Usage(0.5, 2, (0.123,) * 500, 1, 2, (0.456,) * 500, 1, 2, (0.789,) * 500, gpus)
    return f.Facts(EVIL, [EVIL], EVIL, 4, (1,) * 6, groups, edges, problems, use, ((EVIL, 1, 2),))


def test_hostile_names_make_no_elements_and_all_is_bounded():
    for draw in (picture.line, picture.dashboard):
        made = draw(hostile())
        found = elements(made)
        assert not {"script", "img"} & set(found.names)
        assert not [name for name in found.attributes if name.startswith("on")]
        assert len(made.encode()) < 60_000, len(made)
    for draw in (picture.line_svg, picture.dashboard_svg):
        root = ET.fromstring(draw(hostile()))
        names = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert names <= {"svg", "style", "g", "title", "rect", "path", "circle", "text"}
    for say in (text.line, text.dashboard):
        said = say(hostile())
        assert len(said) < 6_000 and said.replace("\n", "").isprintable()


def test_a_state_has_a_shape_and_a_colour_of_its_own():
    from nbray.notebook.widgets import drawing

    shapes = [drawing.shape(state, 5, 5) for state in range(f.N_STATES)]
    without_colour = {re.sub(r'class="\w+"', "", one) for one in shapes}
    assert len(set(shapes)) == len(without_colour) == f.N_STATES


@pytest.mark.parametrize("seed", range(20))
def test_no_two_cards_overlap_and_all_are_inside(seed):
    rng = random.Random(seed)
    n = rng.randint(1, 40)
    sizes = [(rng.randint(60, 180), 44.0) for _ in range(n)]
    edges = [(rng.randrange(n), rng.randrange(n)) for _ in range(rng.randint(0, 80))]
    placed = layout.place(sizes, edges)
    boxes = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(placed.corners, sizes, strict=True)]
    for i, (a, b, c, d) in enumerate(boxes):
        assert a >= 0 and b >= -0.01 and c <= placed.width + 0.01 and d <= placed.height + 0.01
        for e, g, h, k in boxes[:i]:
            assert c <= e or h <= a or d <= g or k <= b
    assert len(placed.routes) == len(edges)
    for x, y in (point for route in placed.routes for point in route):
        assert 0 <= x <= placed.width + 0.01 and -0.01 <= y <= placed.height + 0.01


def test_a_long_chain_goes_on_in_the_next_row_and_its_edges_pass_no_card():
    sizes = [(150.0, 44.0)] * 31
    edges = [(one, one + 1) for one in range(30)] + [(3, 9), (0, 30)]
    placed = layout.place(sizes, edges, 780)
    assert placed.width <= 780 + 2 * layout.MARGIN
    corners = placed.corners
    assert len({y for _, y in corners}) > 6 and all(y >= corners[0][1] - 44 for _, y in corners)
    boxes = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners, sizes, strict=True)]
    for route in placed.routes:
        for (x1, y1), (x2, y2) in itertools.pairwise(route):
            if abs(y1 - y2) > 0.5 and abs(x1 - x2) > 0.5:
                continue  # a curve between two columns
            for a, b, c, d in boxes:
                assert max(x1, x2) <= a or min(x1, x2) >= c or max(y1, y2) <= b or min(y1, y2) >= d


def test_the_estimate_of_the_time_that_is_left():
    assert f.time_left(400, 100, 5.0) == 15.0
    assert f.time_left(400, 2, 5.0) is None
    assert f.time_left(400, 400, 5.0) is None


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (("duration", 0.0381), "38 ms"), (("duration", 4.2), "4.2 s"), (("duration", 200), "3 min 20 s"),
        (("size", 48e6), "48 MB"), (("size_of", 31e9, 80e9), "31 of 80 GB"), (("size_of", 5e6, 4e9), "5 MB of 4 GB"),
        (("percent", 0.905), "90 %"), (("amount", 0.5), "0.5"), (("rough", 250), "4 min"), (("noun", 1, "task"), "1 task"),
    ],
)  # fmt: skip
def test_amounts(made, expected):
    from nbray.notebook.widgets import amounts

    assert getattr(amounts, made[0])(*made[1:]) == expected
