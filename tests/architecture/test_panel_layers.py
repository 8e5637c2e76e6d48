"""The TypeScript of the panel: imports go down a table of layers, in no circle; what is pure knows nothing of JupyterLab."""

from __future__ import annotations

import graphlib
import os.path
import re
from pathlib import Path
from typing import NamedTuple

from .source_tree import ROOT

SOURCES = ROOT / "labextension" / "src"

# Bottom to top: a file may import from its own layer and from those above it here. `nbray/ARCHITECTURE.md` says what they are.
LAYERS: list[tuple[str, list[str]]] = [
    ("words", ["text.ts"]),
    ("pure", ["graph/"]),
    ("tokens", ["tokens.ts"]),
    ("streams", ["request.ts"]),
    ("model", ["model/"]),
    ("exports", ["exports/"]),
    ("panels", ["panels/", "icons.ts"]),
    ("plugins", ["plugins/", "commands.ts"]),
    ("index", ["index.ts"]),
]

# What `node --test` runs without a browser, and what could be drawn by anything.
PURE = ("text.ts", "graph/", "exports/")

# `import ... from 'x'`, `export ... from 'x'`, `import 'x'` and `import('x')`; types count, too.
IMPORT = re.compile(r"""\b(?:from|import)\s*\(?\s*['"]([\w@./-]+)['"]""")
COMMENT = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*", re.DOTALL)


class Import(NamedTuple):
    """One import of a file: of another of ours (its path), or of a package."""

    by: str
    of: str
    is_ours: bool

    def __str__(self) -> str:
        return f"{self.by} imports {self.of}"


def read_imports(sources: Path) -> list[Import]:
    """All imports of a folder of TypeScript, without those of its tests."""
    found = []
    for path in sorted(sources.rglob("*.ts*")):
        by = path.relative_to(sources).as_posix()
        if "__tests__" in by:
            continue
        for target in IMPORT.findall(COMMENT.sub("", path.read_text())):
            if not target.startswith("."):
                found.append(Import(by, target, False))
                continue
            stem = os.path.normpath((path.parent / target).with_suffix(""))
            [of] = [one for one in (Path(stem + ".ts"), Path(stem + ".tsx")) if one.exists()]
            found.append(Import(by, of.relative_to(sources).as_posix(), True))
    return found


def depth(file: str) -> int:
    """0 for the lowest layer; of a file that has none, the table lacks a line."""
    for n, (_, members) in enumerate(LAYERS):
        if any(file == one or (one.endswith("/") and file.startswith(one)) for one in members):
            return n
    raise AssertionError(f"name the layer of {file} in {Path(__file__).name}")


def upward(imports: list[Import]) -> list[str]:
    """The imports against the order."""
    return [
        f"{one}: {LAYERS[depth(one.by)][0]} -> {LAYERS[depth(one.of)][0]}"
        for one in imports
        if one.is_ours and depth(one.by) < depth(one.of)
    ]


def circle(imports: list[Import]) -> list[str]:
    """A circle of files; empty when there is none."""
    graph: dict[str, set[str]] = {}
    for one in imports:
        if one.is_ours:
            graph.setdefault(one.by, set()).add(one.of)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def impure(imports: list[Import]) -> list[str]:
    """The packages that pure files import."""
    return [str(one) for one in imports if not one.is_ours and one.by.startswith(PURE)]


def test_every_file_has_a_layer_and_imports_go_down():
    imports = read_imports(SOURCES)
    assert len(imports) > 300
    assert upward(imports) == []


def test_there_is_no_circle():
    assert circle(read_imports(SOURCES)) == []


def test_what_is_pure_imports_no_package():
    assert impure(read_imports(SOURCES)) == []


def test_what_is_against_the_rules_is_found(tmp_path):
    """The four ways to import, of a type too; what stands in comments is none."""
    files = {
        "tokens.ts": "// import x from './index.js'\nexport const tokens = 'https://host/';",
        "index.ts": "import {\n  one\n} from './plugins/one.js';",
        "plugins/one.ts": "import '../tokens.js';",
        "graph/layout.ts": "import type { Widget } from '@lumino/widgets';\nimport type { IView } from '../panels/view.js';",
        "panels/view.tsx": "export { feed } from '../model/feed.js';\nconst late = import('../graph/layout.js');",
        "model/feed.ts": "/* import '../plugins/one.js' */",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    imports = read_imports(tmp_path)
    assert upward(imports) == ["graph/layout.ts imports panels/view.tsx: pure -> panels"]
    assert set(circle(imports)) == {"graph/layout.ts", "panels/view.tsx"}
    assert impure(imports) == ["graph/layout.ts imports @lumino/widgets"]
    assert len(imports) == 6
