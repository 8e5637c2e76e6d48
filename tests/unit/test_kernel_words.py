"""The page knows the kernel's sentences by their text; here both are held together."""

import ast
import re
from pathlib import Path

from nbray.control.actor_table import _with_restarts

ROOT = Path(__file__).parents[2]
SAID_BY = ("nbray/notebook/panel_answers", "nbray/core/lineage.py")


def texts(node: ast.AST) -> str:
    """A literal with `%1` for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(texts(part) if isinstance(part, ast.Constant) else "%1" for part in node.values)
    return ""


def test_the_page_has_the_templates_of_all_sentences_about_waiting():
    said = {"%1, %2", "%1 and %2"}  # chosen by a variable
    for place in ("nbray/scheduling/wait_reasons.py", "nbray/core/why.py"):
        for node in ast.walk(ast.parse((ROOT / place).read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say" and texts(node.args[0]):
                said.add(texts(node.args[0]))
    page = (ROOT / "labextension/src/model/waitSentences.ts").read_text()
    listed = page.split("export const TEMPLATES = [")[1].split("] as const")[0]
    known = [one or two for one, two in re.findall(r"""^  (?:'(.+?)'|"(.+?)"),?$""", listed, re.MULTILINE)]
    assert len(known) == len(set(known))
    assert set(known) == said


def test_the_kernel_says_each_sentence_that_the_page_translates():
    said = set()
    for place in SAID_BY:
        path = ROOT / place
        for file in [path] if path.is_file() else sorted(path.glob("*.py")):
            said |= {texts(node) for node in ast.walk(ast.parse(file.read_text()))}
    page = (ROOT / "labextension/src/model/kernelWords.ts").read_text()
    known = re.findall(r"^  '(.+)',?$", page.split("const SENTENCES = [")[1].split("] as const")[0], re.MULTILINE)
    assert len(known) > 30
    assert [text for text in known if text not in said] == []


def test_the_node_writes_each_piece_of_a_death_that_the_page_translates():
    places = ("control/actor_table.py", "node/death.py", "node/daemon.py", "worker/actor_host.py")
    said = "\n".join(
        texts(node) for place in places for node in ast.walk(ast.parse((ROOT / "nbray" / place).read_text()))
    )
    said += _with_restarts("\n", 1) + _with_restarts("\n", 2)
    page = (ROOT / "labextension/src/model/deathWords.ts").read_text()
    listed = page.split("export const DEATH_TEMPLATES = [")[1].split("] as const")[0]
    known = [one or two for one, two in re.findall(r"""^  (?:'(.+?)'|"(.+?)"),?$""", listed, re.MULTILINE)]
    assert len(known) == len(listed.strip().splitlines()) > 15
    pieces = {piece for one in known for piece in re.split(r"%\d", one.replace("\\n", "\n")) if len(piece) > 2}
    assert [piece for piece in sorted(pieces) if piece not in said] == []
