"""What owners of memory are called, and the ten families into which the stacked chart gathers them."""

from __future__ import annotations

from enum import StrEnum

from services.held import Owner
from services.texts import _


class Family(StrEnum):
    """Owners that share a colour. The order is the one in which they are stacked, from the bottom."""

    CODE = "code"
    MODELS = "models"
    INDEX = "index"
    PYTHON = "python"
    PYTHON_FREE = "python_free"
    NATIVE = "native"
    NATIVE_FREE = "native_free"
    DATA = "data"
    CACHES = "caches"
    UNNAMED = "unnamed"


MEMBERS: dict[Family, tuple[Owner, ...]] = {
    Family.CODE: (Owner.LIBRARIES, Owner.RELOCATIONS, Owner.KERNELS, Owner.FILES, Owner.STACKS),
    Family.MODELS: (Owner.MODELS, Owner.GPU_HOST),
    Family.INDEX: (Owner.INDEX,),
    Family.PYTHON: (Owner.PYTHON,),
    Family.PYTHON_FREE: (Owner.PYTHON_FREE,),
    Family.NATIVE: (Owner.NATIVE,),
    Family.NATIVE_FREE: (Owner.NATIVE_FREE,),
    Family.DATA: (
        Owner.DATABASE,
        Owner.CONVERSATIONS,
        Owner.UPLOADS,
        Owner.SESSIONS,
        Owner.EXPIRED_SESSIONS,
        Owner.MEDIA,
    ),
    Family.CACHES: (Owner.STREAMLIT_CACHES, Owner.OWN_CACHES, Owner.TRACING),
    Family.UNNAMED: (Owner.UNNAMED,),
}
_FAMILY = {owner: family for family, owners in MEMBERS.items() for owner in owners}


def family_of(owner: Owner) -> Family:
    """Return the family of an owner; one that belongs to none counts as unnamed."""
    return _FAMILY.get(owner, Family.UNNAMED)


def family_name(family: Family) -> str:
    """Return what a family is called in a legend."""
    return {
        Family.CODE: _("Code"),
        Family.MODELS: _("Models"),
        Family.INDEX: _("Index"),
        Family.PYTHON: _("Python objects"),
        Family.PYTHON_FREE: _("Python, free"),
        Family.NATIVE: _("Native in use"),
        Family.NATIVE_FREE: _("Native, free"),
        Family.DATA: _("Data"),
        Family.CACHES: _("Caches and tools"),
        Family.UNNAMED: _("Unnamed"),
    }[family]


def owner_name(owner: Owner) -> str:
    """Return what an owner is called in tables and charts."""
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
        Owner.TRACING: _("Tracing"),
        Owner.GPU_HOST: _("GPU host buffers"),
        Owner.FILES: _("Mapped files"),
        Owner.UNNAMED: _("Unnamed"),
    }.get(owner, str(owner))
