"""Names and colours of memory owners and their families, and all other colours of charts, for light and dark themes.

Figures refer to colours as `$name` and are built once for all tabs; the browser fills in those of its theme. The
families' hues are Paul Tol's colour-blind safe "muted" scheme (https://sronpersonalpages.nl/~pault/), with the two
darkest lightened for dark backgrounds; neighbours in the stack differ in lightness.
"""

from __future__ import annotations

from enum import StrEnum

from services.core.i18n import _
from services.core.memory_report import Owner


class ColourFamily(StrEnum):
    """Families of owners that share a colour, in stacking order from the bottom."""

    CODE = "code"
    MODELS = "models"
    INDEX = "index"
    PYTHON = "python"
    PYTHON_FREE = "python_free"
    NATIVE = "native"
    NATIVE_FREE = "native_free"
    DATA = "data"
    CACHES = "caches"
    WATCHING = "watching"
    UNNAMED = "unnamed"


FAMILY_OWNERS: dict[ColourFamily, tuple[Owner, ...]] = {
    ColourFamily.CODE: (Owner.LIBRARIES, Owner.RELOCATIONS, Owner.KERNELS, Owner.FILES, Owner.STACKS),
    ColourFamily.MODELS: (Owner.MODELS, Owner.GPU_HOST),
    ColourFamily.INDEX: (Owner.INDEX,),
    ColourFamily.PYTHON: (Owner.PYTHON,),
    ColourFamily.PYTHON_FREE: (Owner.PYTHON_FREE,),
    ColourFamily.NATIVE: (Owner.NATIVE,),
    ColourFamily.NATIVE_FREE: (Owner.NATIVE_FREE,),
    ColourFamily.DATA: (
        Owner.DATABASE,
        Owner.CONVERSATIONS,
        Owner.UPLOADS,
        Owner.SESSIONS,
        Owner.EXPIRED_SESSIONS,
        Owner.MEDIA,
    ),
    ColourFamily.CACHES: (Owner.STREAMLIT_CACHES, Owner.OWN_CACHES),
    ColourFamily.WATCHING: (Owner.WATCHING,),
    ColourFamily.UNNAMED: (Owner.UNNAMED,),
}


_FAMILY = {owner: family for family, owners in FAMILY_OWNERS.items() for owner in owners}


def family_of(owner: Owner) -> ColourFamily:
    """Return the family of an owner, `UNNAMED` if it has none."""
    return _FAMILY.get(owner, ColourFamily.UNNAMED)


def family_name(family: ColourFamily) -> str:
    """Return the name of a family."""
    return {
        ColourFamily.CODE: _("Program code"),
        ColourFamily.MODELS: _("Models"),
        ColourFamily.INDEX: _("Index"),
        ColourFamily.PYTHON: _("Python objects"),
        ColourFamily.PYTHON_FREE: _("Python, free"),
        ColourFamily.NATIVE: _("Native in use"),
        ColourFamily.NATIVE_FREE: _("Native, free"),
        ColourFamily.DATA: _("Data"),
        ColourFamily.CACHES: _("Caches"),
        ColourFamily.WATCHING: _("Watching"),
        ColourFamily.UNNAMED: _("Unnamed"),
    }[family]


def owner_name(owner: Owner) -> str:
    """Return the name of an owner."""
    return {
        Owner.LIBRARIES: _("Shared libraries"),
        Owner.RELOCATIONS: _("Relocated pages"),
        Owner.KERNELS: _("Generated code"),
        Owner.MODELS: _("Model weights"),
        Owner.INDEX: _("Index codes"),
        Owner.DATABASE: _("Database"),
        Owner.PYTHON: _("Python objects"),
        Owner.PYTHON_FREE: _("Python, free"),
        Owner.NATIVE: _("Native in use"),
        Owner.NATIVE_FREE: _("Native, free"),
        Owner.STACKS: _("Thread stacks"),
        Owner.CONVERSATIONS: _("Conversations"),
        Owner.UPLOADS: _("Uploads"),
        Owner.SESSIONS: _("Sessions"),
        Owner.EXPIRED_SESSIONS: _("Expired sessions"),
        Owner.STREAMLIT_CACHES: _("Streamlit caches"),
        Owner.MEDIA: _("Media files"),
        Owner.OWN_CACHES: _("Own caches"),
        Owner.WATCHING: _("Watching"),
        Owner.GPU_HOST: _("GPU host buffers"),
        Owner.FILES: _("Mapped files"),
        Owner.UNNAMED: _("Unnamed"),
    }.get(owner, str(owner))


# name: (on light, on dark)
PALETTE: dict[str, tuple[str, str]] = {
    ColourFamily.CODE: ("#b4b9bd", "#4b5459"),
    ColourFamily.MODELS: ("#332288", "#7c70d6"),
    ColourFamily.INDEX: ("#88ccee", "#88ccee"),
    ColourFamily.PYTHON: ("#117733", "#2f9a55"),
    ColourFamily.PYTHON_FREE: ("#a9d8b8", "#1f4a32"),
    ColourFamily.NATIVE: ("#aa4499", "#c062b0"),
    ColourFamily.NATIVE_FREE: ("#e3bfdd", "#5a2f53"),
    ColourFamily.DATA: ("#d0a63a", "#ddcc77"),
    ColourFamily.CACHES: ("#77772a", "#7d7d24"),
    ColourFamily.WATCHING: ("#9adbd0", "#b5e3da"),
    ColourFamily.UNNAMED: ("#cc6677", "#cc6677"),
    "text": ("#1c2526", "#e6ecec"),
    "quiet": ("#5d6b6d", "#9aa8aa"),
    "grid": ("#e6ebeb", "#263134"),
    "background": ("#ffffff", "#12181a"),
    "panel": ("#ffffff", "#1b2427"),
    "accent": ("#0f766e", "#4fc5b8"),
    "limit": ("#b42318", "#ff8a7a"),
    "rss": ("#1c2526", "#e6ecec"),
    "peak": ("#8b9899", "#71807f"),
    # Levels of the memory budget: muted for zones, strong for the memory in use.
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
    """Return the reference to a colour of `PALETTE` for figures."""
    if name not in PALETTE:
        raise KeyError(name)
    return f"${name}"


def owner_colour(owner: Owner) -> str:
    """Return the reference to an owner's colour for figures."""
    return colour(family_of(owner))
