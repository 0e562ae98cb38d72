"""The grid of stage A: recipes, sizes and horizons that every table builds on."""

from __future__ import annotations

RECIPES = ("transformer", "gatedconv")
SIZES = ("3e3", "1e4", "3e4", "1e5")
MEGABYTE = 512  # steps
HORIZONS = (1, 2, 4)
