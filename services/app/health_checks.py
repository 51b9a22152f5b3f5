"""How each part says that it can do its work: what `/readyz` asks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from services.core.i18n import _, plural
from services.core.units import MEGABYTE
from services.operations.health import Check

if TYPE_CHECKING:
    from services.chat.models import ChatModels
    from services.knowledge.embedding import Embedder
    from services.knowledge.index import IndexManager
    from services.knowledge.library import Library
    from services.operations.restarts import Restarts

STORE, INDEX, EMBEDDER, CHAT_MODEL, DISK, ACCEPTING = "store", "index", "embedder", "chat model", "disk", "accepting"
NAMES = (STORE, INDEX, EMBEDDER, CHAT_MODEL, DISK, ACCEPTING)  # in the order in which they are shown


def store_check(library: Library) -> Callable[[], Check]:
    """Return the check of the store: its counts can be read."""

    def check() -> Check:
        counts = library.counts()
        return Check(STORE, ok=True, detail=plural("{count} document", "{count} documents", counts.documents))

    return check


def index_check(index: IndexManager) -> Callable[[], Check]:
    """Return the check of the index: it is in RAM and complete."""

    def check() -> Check:
        return Check(INDEX, ok=index.ready, detail=plural("{count} vector", "{count} vectors", len(index.index)))

    return check


def embedder_check(embedder: Embedder) -> Callable[[], Check]:
    """Return the check of the embedding model."""
    return lambda: Check(EMBEDDER, ok=True, detail=embedder.memory_report().detail)


def chat_model_check(models: ChatModels) -> Callable[[], Check]:
    """Return the check of the chat back end; none at all is a state one can work in."""

    def check() -> Check:
        status = models.status()
        return Check(CHAT_MODEL, ok=status.state != "down", detail=status.message or status.label)

    return check


def disk_check(folder: Path, least_mb: int) -> Callable[[], Check]:
    """Return the check of the data folder's disk: at least `least_mb` MB are free."""

    def check() -> Check:
        free_mb = shutil.disk_usage(folder).free // MEGABYTE
        return Check(DISK, ok=free_mb >= least_mb, detail=_("{free} MB free").format(free=f"{free_mb:,}"))

    return check


def accepting_check(restarts: Restarts) -> Callable[[], Check]:
    """Return the check of a restart under way: while draining, a front should send people elsewhere."""

    def check() -> Check:
        draining = restarts.draining
        return Check(ACCEPTING, ok=not draining, detail=_("draining for a restart") if draining else _("open"))

    return check
