"""What each part can give back, offered to people and to the memory budget alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.memory.process import trim_heap
from services.memory.reclaiming.reclaimers import Reclaimer
from services.texts import _

if TYPE_CHECKING:
    from services.runtime import Runtime


def offer_reclaimers(runtime: Runtime) -> None:
    """Register what the services can give back; the shell adds what Streamlit keeps."""
    memory = runtime.memory

    def trim() -> str:
        trim_heap()
        return _("free pages were given back to the system")

    memory.reclaimers.add(
        Reclaimer("heap", _("Free pages of the allocator"), _("Nothing is lost."), lambda: None, trim)
    )
