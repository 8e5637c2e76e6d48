"""The visual language of the widgets, which is that of the panel: colours of states, and how text looks.

The six colours are Okabe and Ito's, safe for colour-blind readers; a state always has its shape
too. Text takes the host's colour and lines are half transparent, so that both are legible on
any background; only the colours of states know light from dark.
"""

from __future__ import annotations

CLASS = "nbray-live"
OLD_S = 12  # after which a line that is not drawn anew tells of when it is

# waits for input, waits for a place, runs, done, failed, cancelled; GPU, memory.
LIGHT = ("#9aa3ad", "#E69F00", "#0072B2", "#009E73", "#D55E00", "#a8578f", "#56B4E9", "#CC79A7")
_DARK = ("#6b7580", "#E69F00", "#4aa3df", "#2fc79b", "#ff7a33", "#e3a1c9", "#7cc8f5", "#d990b8")


def _variables(colours: tuple[str, ...]) -> str:
    return ";".join(f"--nb{index}:{colour}" for index, colour in enumerate(colours))


def _states() -> str:
    rules = []
    for index in range(len(LIGHT)):
        rules.append(f".{CLASS} .s{index}{{fill:var(--nb{index})}}")
        rules.append(f".{CLASS} .t{index}{{fill:none;stroke:var(--nb{index});stroke-width:1.5}}")
    return "".join(rules)


_COLOURS = (
    f".{CLASS}{{{_variables(LIGHT)}}}"
    f"@media (prefers-color-scheme:dark){{.{CLASS}{{{_variables(_DARK)}}}}}"
    f"[data-jp-theme-light=true] .{CLASS},.vscode-light .{CLASS},html[theme=light] .{CLASS}{{{_variables(LIGHT)}}}"
    f"[data-jp-theme-light=false] .{CLASS},.vscode-dark .{CLASS},html[theme=dark] .{CLASS}{{{_variables(_DARK)}}}"
    f"{_states()}"
)
_DRAWING = (
    f".{CLASS} text{{direction:ltr;fill:currentColor;font-size:11px;font-variant-numeric:tabular-nums}}"
    f".{CLASS} .b{{font-weight:600}}.{CLASS} .q{{opacity:.66}}"
    f".{CLASS} .k{{fill:currentColor;fill-opacity:.025;stroke:currentColor;stroke-opacity:.2}}"
    f".{CLASS} .o{{fill:currentColor;fill-opacity:.13}}"
    f".{CLASS} .e{{fill:none;stroke:currentColor;stroke-opacity:.3}}"
    f".{CLASS} .w{{opacity:.3}}.{CLASS} .w .e{{stroke-opacity:1}}"
    f".{CLASS} .a{{fill-opacity:.18}}"
)
_FONT = "var(--jp-ui-font-family,system-ui,-apple-system,'Segoe UI','Liberation Sans',Arial,sans-serif)"

# Of the outputs of a cell in JupyterLab and Notebook 7, the one before a line or a dashboard holds its buttons.
# (Each step is said: what a browser looks for at any depth it looks for again whenever an output changes.)
_ABOVE = ".jp-OutputArea-child:has(+ .jp-OutputArea-child > .jp-OutputArea-output > .{})"
_BUTTON = (
    # The button of a line stands at the right end of its first row, which leaves room for it.
    f"{_ABOVE.format('nb-stop')}{{height:0;z-index:1;overflow:visible}}"
    f"{_ABOVE.format('nb-stop')} > .jp-OutputArea-output{{display:flex;justify-content:flex-end;overflow:visible;height:0}}"
    f".{CLASS}.nb-stop > .nb-row:first-child{{min-height:28px;padding-right:100px}}"
    # A notebook that is opened without the kernel that made its widgets: a button that cannot be is not worth an error.
    f"{_ABOVE.format(CLASS)} > .jp-OutputArea-output.jupyter-widgets:not(:has(*)){{display:none}}"
)
#: In front of every piece of HTML.
HTML_STYLE = (
    f"<style>{_COLOURS}{_DRAWING}"
    # Its words are English, and pictures are drawn from the left, also on a page from right to left.
    f".{CLASS}{{direction:ltr;font:12px/1.5 {_FONT};color:var(--jp-ui-font-color1,inherit);"
    "font-variant-numeric:tabular-nums;padding:2px 0}"
    # JupyterLab makes pictures narrower, and so cuts them off; a wide one can be scrolled.
    f".{CLASS} svg{{display:block;flex:none;overflow:visible;max-width:none}}"
    f".{CLASS} .nb-row{{display:flex;flex-wrap:wrap;gap:2px 14px;align-items:center}}"
    f".{CLASS} .nb-i{{display:inline-flex;gap:5px;align-items:center}}"
    f".{CLASS} .nb-q{{opacity:.7}}"
    # What runs is drawn anew every few seconds; that it was not, as in a page that was loaded again, shows after some more.
    "@keyframes nb-old{from{visibility:hidden;font-size:0}to{visibility:visible}}"
    f".{CLASS} .nb-old{{animation:nb-old 1ms {OLD_S}s both}}"
    f".{CLASS} b{{font-weight:600}}"
    f".{CLASS} .nb-wide{{overflow-x:auto;padding:6px 1px 3px}}"
    f".{CLASS} .nb-bad{{border-left:3px solid var(--nb4);padding:1px 8px;margin:5px 0 2px;"
    "background:color-mix(in srgb,var(--nb4) 10%,transparent)}"
    f".{CLASS} .nb-two{{display:flex;flex-wrap:wrap;gap:6px 36px;align-items:flex-start;padding-top:4px}}"
    f"{_BUTTON}"
    f".{CLASS} .nb-head{{padding-bottom:4px;border-bottom:1px solid color-mix(in srgb,currentColor 14%,transparent)}}"
    "</style>"
)
#: Inside of a picture that stands alone.
SVG_STYLE = (
    f"<style>{_COLOURS}{_DRAWING}svg.{CLASS}{{color:#1f2328;font-family:system-ui,-apple-system,'Segoe UI','Liberation Sans',Arial,sans-serif}}"
    f"@media (prefers-color-scheme:dark){{svg.{CLASS}{{color:#e6e9ed}}}}</style>"
)
