"""Reading one document: its chunks, sections, original file and page images, and the chunk a quote comes from."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from services.core.actor import Actor
from services.core.database import Database
from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.files.file_store import FileStore
from services.knowledge.formats.registry import SHOWN_PAGES
from services.knowledge.progress import ProgressBoard
from services.knowledge.recognition.recognized import RecognizedPage
from services.knowledge.recognition.word_marks import marks
from services.knowledge.store.chunks import ContentStore
from services.knowledge.store.documents import DocumentStore
from services.knowledge.store.recognized_pages import RecognizedPageStore
from services.knowledge.store.rights import Readable
from services.knowledge.types import Chunk, Document, DocumentTopics, Section

if TYPE_CHECKING:
    from services.knowledge.parsing.pool import ParserPool

# A chunk that shares less than this of the quote's character 4-grams is no match.
_MIN_SHARED = 0.5


class LibraryReader:
    """Reads the content of documents. Thread-safe. Of one that `actor` may not read there is nothing."""

    def __init__(
        self,
        database: Database,
        documents: DocumentStore,
        files: FileStore,
        parser: ParserPool,
        board: ProgressBoard,
    ) -> None:
        self._recognized = RecognizedPageStore(database)
        self._documents = documents
        self._contents = ContentStore(database)
        self._files = files
        self._parser = parser
        self._board = board

    def chunks(self, actor: Actor, document_id: int, limit: int = 100, offset: int = 0) -> list[Chunk]:
        """Return chunks of a document's active revision in reading order, a page of them."""
        return self._contents.chunks(document_id, limit, offset, actor.readable())

    def chunk(self, actor: Actor, chunk_id: int) -> Chunk | None:
        """Return a chunk, or None when its document was deleted, replaced or rechunked."""
        return self._contents.chunk(chunk_id, actor.readable())

    def sections(self, actor: Actor, document_id: int) -> list[Section]:
        """Return the sections of a document's active revision in reading order."""
        return self._contents.sections(document_id, actor.readable())

    def topics(self, actor: Actor, collection_ids: Collection[int] = (), most: int = 4) -> list[DocumentTopics]:
        """Return what the `most` searchable documents that were added last are about; no ids: of all collections."""
        return self._contents.newest_topics(actor.searched(collection_ids), most)

    def locate(self, actor: Actor, document_id: int, quote: str) -> Chunk | None:
        """Return the chunk of a document's active revision that contains `quote`, or most of it, else None."""
        return _locate_quote(self._contents, document_id, quote, actor.readable())

    def original(self, actor: Actor, document_id: int) -> tuple[Path, Document]:
        """Return the path of the original file, for reading at once, and its document.

        Raises:
            NotFoundError: the document is gone, may not be read, or its file was not kept as it could not be read.
            DamagedError: the file is not the one that was stored.
            UnavailableError: it cannot be had at present.
        """
        readable = actor.readable()
        document = self._documents.get(document_id, self._board.live(), readable)
        with self._files.opened(*self._documents.original(document_id, readable)) as path:
            return path, document

    def has_original(self, actor: Actor, document_id: int) -> bool:
        """Return whether the original file was kept; whether it can be had is not asked.

        Raises:
            NotFoundError: the document is gone, or may not be read.
        """
        return bool(self._documents.original(document_id, actor.readable())[0])

    def page_image(
        self, actor: Actor, document_id: int, page: int, width: int = 1000, highlight: Sequence[str] = ()
    ) -> bytes:
        """Return a page of a PDF or picture as PNG, `width` pixels wide, with the given words marked.

        Raises:
            NotFoundError: there is no such document or page.
            BadInputError: it is neither.
            DamagedError, UnavailableError: as of `original`.
        """
        readable = actor.readable()
        document = self._documents.get(document_id, self._board.live(), readable)
        if document.media_type not in SHOWN_PAGES:
            raise BadInputError(
                _("Only pages of PDF documents and pictures can be shown."), _("Open its text or the original.")
            )
        recognized = self._recognized.page(document_id, page, readable) if highlight else None
        boxes = marks(recognized.words, highlight) if recognized is not None else ()
        with self._files.opened(*self._documents.original(document_id, readable)) as path:
            return self._parser.render_page(path, page, width, highlight, boxes)

    def recognized_pages(self, actor: Actor, document_id: int) -> list[RecognizedPage]:
        """Return the pages that text recognition read, without their words."""
        return self._recognized.pages(document_id, actor.readable())


def _locate_quote(contents: ContentStore, document_id: int, quote: str, readable: Readable) -> Chunk | None:
    """Return the chunk that contains `quote`, else the one that shares most of its character 4-grams, else None.

    Finds quotes of an earlier revision after the document was rechunked.
    """
    wanted = quote.strip()
    if not wanted:
        return None
    exact = contents.containing(document_id, wanted, readable)
    if exact is not None:
        return exact
    plain = _alphanumeric(wanted)
    ngrams = _ngrams(plain)
    best: Chunk | None = None
    best_share = _MIN_SHARED
    for chunk in contents.each_chunk(document_id, readable):
        text = _alphanumeric(chunk.text)
        if plain in text:
            return chunk
        share = len(ngrams & _ngrams(text)) / len(ngrams) if ngrams else 0.0
        if share > best_share:
            best, best_share = chunk, share
    return best


def _alphanumeric(text: str) -> str:
    """Return the letters and digits of a text, case-folded: white space and punctuation make no difference."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def _ngrams(text: str) -> set[str]:
    return {text[i : i + 4] for i in range(max(len(text) - 3, 1))} if text else set()
