"""Overview: what is held, how much, and whether every part works."""

from __future__ import annotations

from console.components.overview_view import overview
from console.resources import runtime

overview(runtime())
