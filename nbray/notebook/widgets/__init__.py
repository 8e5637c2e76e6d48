"""What stands under a cell and in the dashboard while tasks run.

``facts`` is what is known, ``html``, ``svg`` and ``text`` draw it: pure, so that the same facts
always make the same picture. ``watch`` gathers the facts, ``shown`` puts them into a notebook.
"""
