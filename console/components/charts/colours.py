"""One colour per owner, and for everything else that is drawn, in light and dark.

Figures name colours as `$name`; whoever draws them puts in the ones of the theme, so that a figure is built once for
all tabs. The families' hues are Paul Tol's "muted" scheme (https://sronpersonalpages.nl/~pault/), which colour-blind
people can tell apart, with the two darkest lightened for dark backgrounds; neighbours in the stack differ in lightness.
"""

from __future__ import annotations

from console.components.charts.owners import Family, family_of
from services.held import Owner

# name: (on light, on dark)
PALETTE: dict[str, tuple[str, str]] = {
    Family.CODE: ("#b4b9bd", "#4b5459"),
    Family.MODELS: ("#332288", "#7c70d6"),
    Family.INDEX: ("#88ccee", "#88ccee"),
    Family.PYTHON: ("#117733", "#2f9a55"),
    Family.PYTHON_FREE: ("#a9d8b8", "#1f4a32"),
    Family.NATIVE: ("#aa4499", "#c062b0"),
    Family.NATIVE_FREE: ("#e3bfdd", "#5a2f53"),
    Family.DATA: ("#d0a63a", "#ddcc77"),
    Family.CACHES: ("#77772a", "#7d7d24"),
    Family.UNNAMED: ("#cc6677", "#cc6677"),
    "text": ("#1c2526", "#e6ecec"),
    "quiet": ("#5d6b6d", "#9aa8aa"),
    "grid": ("#e6ebeb", "#263134"),
    "background": ("#ffffff", "#12181a"),
    "panel": ("#ffffff", "#1b2427"),
    "accent": ("#0f766e", "#4fc5b8"),
    "limit": ("#b42318", "#ff8a7a"),
    "rss": ("#1c2526", "#e6ecec"),
    "peak": ("#8b9899", "#71807f"),
    # Where memory use stands against its watermarks: quiet grounds for zones, strong ones for what is in use.
    "zone-calm": ("#e3eceb", "#22302f"),
    "zone-soft": ("#f6e6b8", "#4d431f"),
    "zone-high": ("#f4cfa6", "#5c3f20"),
    "zone-hard": ("#f0b6ae", "#662d28"),
    "calm": ("#0f766e", "#4fc5b8"),
    "soft": ("#a67c00", "#ddcc77"),
    "high": ("#c2571a", "#f0a060"),
    "hard": ("#b42318", "#ff8a7a"),
    "first": ("#0f766e", "#4fc5b8"),
    "second": ("#aa4499", "#d08ac4"),
    "third": ("#c08a00", "#ddcc77"),
    "fourth": ("#2f6fb5", "#88ccee"),
}


def colour(name: str) -> str:
    """Return the name of a colour of `PALETTE` as figures carry it."""
    if name not in PALETTE:
        raise KeyError(name)
    return f"${name}"


def owner_colour(owner: Owner) -> str:
    """Return an owner's colour as figures carry it."""
    return colour(family_of(owner))
