"""What the objects page may repeat and measure: actions and owners out of every room, offered by the runtime."""

from __future__ import annotations

import gc
import io
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from services.core.errors import TimedOutError
from services.core.i18n import _

if TYPE_CHECKING:
    from services.app.container import Runtime

_INGESTION_SECONDS = 120.0


def offer(runtime: Runtime) -> None:
    """Register actions for repetition and owners for asizeof; called once, when every service is there."""
    objects = runtime.memory.objects
    question = _("What is written about the memory?")

    def search() -> None:
        runtime.retriever.search(question)

    def answer() -> None:
        from services.chat.types import MessageRole

        for _event in runtime.answering.complete([(MessageRole.USER, question)], user="repetition", fresh=True):
            pass

    def document() -> None:
        text = _("A small document for a repetition.") + f" {uuid4().hex}"  # other content each time: no duplicate
        taken = runtime.library.add(io.BytesIO(text.encode()), "repetition.txt").document.id
        try:
            if not runtime.ingestion.wait_idle(_INGESTION_SECONDS):
                raise TimedOutError(_("The queue was never empty."), _("Try again when nothing is taken in."))
        finally:
            runtime.library.delete([taken])

    objects.add_action("search", search, _("Search a question"))
    objects.add_action("answer", answer, _("Answer a question, storing nothing"))
    objects.add_action("document", document, _("Take in a small document and delete it"))
    objects.add_action("collect", gc.collect, _("Run the garbage collector"))
    for name, label in (
        ("conversations", _("Conversations")),
        ("answering", _("Answering")),
        ("models", _("Chat models")),
        ("keeper", _("Index")),
        ("embedder", _("Embedding model")),
        ("retriever", _("Retrieval")),
        ("caches", _("Caches")),
        ("library", _("Library of documents")),
        ("ingestion", _("Ingestion")),
        ("database", _("Database")),
        ("memory", _("Watching the memory")),
        ("events", _("Events")),
    ):
        objects.add_owner(name, partial(getattr, runtime, name), label)
    for name, (get, label) in runtime.offered_owners.items():
        objects.add_owner(name, get, label)
