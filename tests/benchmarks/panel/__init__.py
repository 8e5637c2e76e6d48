"""How fast the panel is: `make bench-panel`, in headless Chromium with software rendering."""
