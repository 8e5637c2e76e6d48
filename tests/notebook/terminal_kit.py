"""IPython in a terminal of its own, typed into as a person would: cells are pasted, and run with Escape and Enter."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pexpect
import psutil
from kit import LIMIT_S, ROOT

COLUMNS, LINES = 132, 40
_CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07|\x1b[=>]")


def plain(text: str) -> str:
    """What a terminal got, without the codes that move its cursor and colour it."""
    return _CODES.sub("", text).replace("\r\n", "\n")


class Terminal:
    """IPython with the extension loaded and a cluster of two CPUs."""

    def __init__(self, folder: Path) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        env |= {"PYTHONPATH": path, "IPYTHONDIR": str(folder / "ipython"), "TERM": "xterm", "PAGER": "cat"}
        self.process = pexpect.spawn(
            sys.executable,
            ["-m", "IPython", "--no-banner", "--no-confirm-exit", "--colors=NoColor"],
            cwd=str(folder),
            env={**env, "PROMPT_TOOLKIT_NO_CPR": "1"},  # nobody answers where the cursor is
            encoding="utf-8",
            timeout=LIMIT_S,
            dimensions=(LINES, COLUMNS),
        )
        self._number = 1
        self.prompt()
        self.run("%load_ext nbray\nimport nbray\nnbray.init(num_cpus=2);")

    def until(self, pattern: str) -> str:
        """Return what came before a pattern, once it has come."""
        self.process.expect(pattern)
        return plain(self.process.before)

    def type(self, text: str) -> None:
        """Paste a cell and have it run."""
        self.process.send(f"\x1b[200~{text}\x1b[201~\x1b\r")
        self._number += 1

    def prompt(self) -> str:
        """Wait for the next prompt; returns what came before."""
        return self.until(rf"In \[{self._number}\]:.*?\x1b\[\?25h")  # where the cursor is shown again

    def run(self, text: str) -> str:
        """Run a cell; returns its text, and what it has shown."""
        self.type(text)
        return self.prompt()

    def answer(self, line: str) -> str:
        """Type a line into the debugger; returns what that showed before."""
        shown = self.until(
            r"\x1b\[\?2004h.*?ipdb>.*?\x1b\[\?25h"
        )  # where a prompt begins, and the cursor is shown again
        self.process.send(line + "\r")
        return shown

    def interrupt(self) -> None:
        self.process.sendintr()

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def leave(self) -> str:
        """Type exit; returns what is shown until the end."""
        if not self.process.isalive():
            return ""
        self.process.send("\x03exit\r")
        self.process.expect(pexpect.EOF)
        self.process.close()
        return plain(self.process.before or "")
