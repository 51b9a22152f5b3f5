"""Client of services in this process, for when no server runs on the data folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from console.cli.client import AnswerSource, DocumentState, ImportState, opened
from services.app.startup import Application
from services.chat.export import cut_words
from services.chat.types import Finished, MessageRole, Token
from services.core.actor import SERVICE
from services.core.auditing import Origin, Way, coming_from
from services.core.settings import Settings
from services.knowledge.document_import import PreparedDocument


class LocalClient:
    """Starts the services, which also carry on with jobs that were left unfinished."""

    def __init__(self, settings: Settings) -> None:
        self._application = Application(settings, watched=False)
        self._context = ExitStack()

    def __enter__(self) -> Self:
        self._services = self._application.start()
        self._context.enter_context(coming_from(Origin(Way.CLI)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.close()
        self._application.close()

    def collections(self) -> dict[str, int]:
        return {collection.name: collection.id for collection in self._services.library.collections(SERVICE)}

    def create_collection(self, name: str) -> int:
        return self._services.library.create_collection(SERVICE, name).id

    def add(self, path: Path, name: str, collection: int | None) -> tuple[int, bool]:
        with opened(path) as file:
            intake = self._services.library.add(SERVICE, file, name, collection)
        return intake.document.id, intake.duplicate

    def import_document(self, document: PreparedDocument, collection: int) -> ImportState:
        imported = self._services.importer.add(SERVICE, document, collection)
        return ImportState(imported.document.id, imported.duplicate, imported.vectors_kept)

    def state(self, document_id: int) -> DocumentState:
        document = self._services.library.document(SERVICE, document_id)
        return DocumentState(
            document.status.value,
            done=document.progress.done,
            total=document.progress.total,
            unit=document.progress.unit,
            chunks=document.chunks,
            error=document.error,
            hint=document.hint,
        )

    def ask(self, question: str, collections: Sequence[int]) -> Iterator[str | list[AnswerSource]]:
        with self._services.answers.complete(
            SERVICE, [(MessageRole.USER, question)], collection_ids=collections
        ) as answer:
            for event in answer:
                if isinstance(event, Token):
                    yield event.text
                elif isinstance(event, Finished):
                    if cut := cut_words(event.message.finish_reason):
                        yield f"\n\n{cut}"
                    yield [
                        AnswerSource(
                            citation.number,
                            citation.document,
                            page=citation.page,
                            sheet=citation.sheet,
                            heading=citation.heading,
                            quote=citation.quote,
                        )
                        for citation in event.message.citations
                    ]
