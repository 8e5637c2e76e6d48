"""``%%remote`` and ``%remote``: the line is read here, the work is done by RemoteCells."""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from . import magic_options
from .remote_cell import RemoteCells

HELP = f"""Run the cell on the cluster as if it ran here.

The names that the cell uses go along, the names that it binds come back, and what it
prints, displays and plots appears below it. The cluster starts with the first cell that
needs it. Interrupting the kernel stops the cell on its worker.

    %%remote [options]
    code

    %%remote --each x=range(10)
    y = f(x)

    result = %remote [options] expression

Options:
{magic_options.help_text()}

Names bound to ObjectRefs are their values inside the cell; refs inside containers stay
refs. `a[3] = 7` on a name from outside changes it here as well. Private names (`_x`) go
along but do not come back.

An object that several names or containers share stays one object, in the cell and after it; what the cell
changes of it is seen wherever it is held here. Copies come back of what is taken out of inputs above 1 MB; views
that the cell makes come back as arrays of their own; with --each every value comes back on its own; those of
--async share objects within one get or one later cell.

Directory, environment and filters of warnings are those of the notebook. So are random numbers (`random`,
`numpy.random`), logging and the settings of numpy, pandas and matplotlib, and what the cell changes of these
holds here afterwards; not with --each, --async and --actor, where all would draw the same numbers.
"""


@magics_class
class RemoteMagics(Magics):
    """The magics of nbray."""

    def __init__(self, shell: Any, cells: RemoteCells) -> None:
        super().__init__(shell=shell)
        self.cells = cells
        self.raw_cell = ""  # of the cell that runs, set before it does

    @no_var_expand
    @line_cell_magic
    def remote(self, line: str, cell: str | None = None) -> Any:
        __tracebackhide__ = True
        if line.strip() in magic_options.HELP:
            print(HELP)
            return None
        try:
            if cell is None:
                options, cell = magic_options.parse_with_code(line)
            else:
                options = magic_options.parse(line)
        except magic_options.OptionError as error:
            raise UsageError(f"%%remote: {error}") from None
        return self.cells.run(options, cell, self.raw_cell)


RemoteMagics.remote.__doc__ = HELP  # what %%remote? shows
