"""``python -m nbray.node FD``: a node daemon, as started by the launcher."""

from __future__ import annotations

import sys

from nbray.node.main import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
