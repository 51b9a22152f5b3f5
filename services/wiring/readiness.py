"""How each part says that it can do its work: what `/readyz` asks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from services.operations.health import Check
from services.settings import MEGABYTE
from services.texts import _, plural

if TYPE_CHECKING:
    from services.runtime import Runtime


def checks(runtime: Runtime) -> Mapping[str, Callable[[], Check]]:
    """Return one check per part of `runtime`; one of a part that is not there yet raises `UnavailableError`."""

    def store() -> Check:
        counts = runtime.library.counts()
        return Check("store", ok=True, detail=plural("{count} document", "{count} documents", counts.documents))

    def index() -> Check:
        keeper = runtime.keeper
        return Check("index", ok=keeper.ready, detail=plural("{count} vector", "{count} vectors", len(keeper.index)))

    def embedder() -> Check:
        return Check("embedder", ok=True, detail=runtime.embedder.resource().detail)

    def chat_model() -> Check:
        status = runtime.models.status()
        return Check("chat model", ok=status.state != "down", detail=status.message or status.label)

    def disk() -> Check:
        free_mb = shutil.disk_usage(runtime.settings.data_dir).free // MEGABYTE
        enough = free_mb >= runtime.settings.free_disk_mb
        return Check("disk", ok=enough, detail=_("{free} MB free").format(free=f"{free_mb:,}"))

    def accepting() -> Check:
        draining = runtime.restarts.draining
        return Check("accepting", ok=not draining, detail=_("draining for a restart") if draining else _("open"))

    return {
        "store": store,
        "index": index,
        "embedder": embedder,
        "chat model": chat_model,
        "disk": disk,
        "accepting": accepting,
    }
