"""What the objects page may repeat and measure: actions and owners, registered with the inspector."""

from __future__ import annotations

import gc
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from uuid import uuid4

from services.core.actor import SERVICE
from services.core.errors import TimedOutError
from services.core.i18n import _

if TYPE_CHECKING:
    from services.chat.answer_service import AnswerService
    from services.knowledge.ingestion import Ingestion
    from services.knowledge.library import Library
    from services.knowledge.retrieval import Retriever
    from services.memory.objects.inspector import Inspector

_INGESTION_SECONDS = 120.0


def register_actions(
    inspector: Inspector, retriever: Retriever, answers: AnswerService, library: Library, ingestion: Ingestion
) -> None:
    """Register the actions that the objects page can repeat to see what they leave in memory."""
    question = _("What is written about the memory?")

    def search() -> None:
        retriever.search(SERVICE, question)

    def answer() -> None:
        from services.chat.types import MessageRole

        for _event in answers.complete(SERVICE, [(MessageRole.USER, question)], user="repetition", fresh=True):
            pass

    def document() -> None:
        text = _("A small document for a repetition.") + f" {uuid4().hex}"  # other content each time: no duplicate
        added = library.add(SERVICE, io.BytesIO(text.encode()), "repetition.txt").document.id
        try:
            if not ingestion.wait_idle(_INGESTION_SECONDS):
                raise TimedOutError(_("The queue was never empty."), _("Try again when nothing is being processed."))
        finally:
            library.delete(SERVICE, [added])

    inspector.add_action("search", search, _("Search a question"))
    inspector.add_action("answer", answer, _("Answer a question, storing nothing"))
    inspector.add_action("document", document, _("Add a small document and delete it"))
    inspector.add_action("collect", gc.collect, _("Run the garbage collector"))


def register_owners(inspector: Inspector, owners: Mapping[str, tuple[object, str]]) -> None:
    """Register the objects that can be measured with all they refer to: by name the object and its label."""
    for name, (owner, label) in owners.items():
        inspector.add_owner(name, _constant(owner), label)


def _constant(value: object) -> Callable[[], object]:
    return lambda: value
