"""``python -m nbray``: the command line."""

import sys

from nbray.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
