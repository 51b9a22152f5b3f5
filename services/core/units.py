"""Units of size. A module of its own, because parser children import it and must not load the settings with it."""

from __future__ import annotations

MEGABYTE = 1024 * 1024
