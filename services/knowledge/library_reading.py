"""What is in a document: the part of the library that opens one.

Finds the chunk that contains a quotation, also after a document was chunked anew.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.file_store import FileStore
from services.knowledge.progress import ProgressBoard
from services.knowledge.store.chunks import ContentStore
from services.knowledge.store.documents import DocumentStore
from services.knowledge.types import Chunk, Document, Section

if TYPE_CHECKING:
    from services.knowledge.parsing import ParserPool

# A chunk that contains less of the quotation than this is not the place.
_LEAST_SHARE = 0.5


class LibraryReader:
    """Reads one document. `Library` is built on it."""

    _files: FileStore
    _parser: ParserPool
    _board: ProgressBoard
    _documents: DocumentStore
    _contents: ContentStore

    def chunks(self, document_id: int, limit: int = 100, offset: int = 0) -> list[Chunk]:
        """Return the chunks that answer for a document, in reading order."""
        return self._contents.chunks(document_id, limit, offset)

    def chunk(self, chunk_id: int) -> Chunk | None:
        """Return a chunk, or None when its document was deleted, replaced or chunked anew."""
        return self._contents.chunk(chunk_id)

    def sections(self, document_id: int) -> list[Section]:
        """Return a document's text in reading order."""
        return self._contents.sections(document_id)

    def locate(self, document_id: int, quote: str) -> Chunk | None:
        """Return the chunk of a document's present text that contains `quote`, or most of it."""
        return locate(self._contents, document_id, quote)

    def original(self, document_id: int) -> tuple[Path, Document]:
        """Return where the original lies, for reading, and its document.

        Raises:
            NotFoundError: the document is gone, or its file was not kept because it could not be read.
        """
        document = self._documents.get(document_id, self._board.live())
        return self._files.path(self._documents.original(document_id)), document

    def page_image(self, document_id: int, page: int, width: int = 1000, highlight: Sequence[str] = ()) -> bytes:
        """Return a page of a PDF document as PNG, `width` pixels wide, with the given words marked.

        Raises:
            NotFoundError: there is no such document or page.
            BadInputError: it is not a PDF.
        """
        path, document = self.original(document_id)
        if document.media_type != "application/pdf":
            raise BadInputError(_("Only pages of PDF documents can be shown."), _("Open its text or the original."))
        return self._parser.render_page(path, page, width, highlight)


def locate(contents: ContentStore, document_id: int, quote: str) -> Chunk | None:
    """Return the chunk with `quote`, else the one that shares most of its runs of four characters, else None."""
    wanted = quote.strip()
    if not wanted:
        return None
    exact = contents.containing(document_id, wanted)
    if exact is not None:
        return exact
    plain = _plain(wanted)
    runs = _runs(plain)
    best: Chunk | None = None
    best_share = _LEAST_SHARE
    for chunk in contents.each_chunk(document_id):
        text = _plain(chunk.text)
        if plain in text:
            return chunk
        share = len(runs & _runs(text)) / len(runs) if runs else 0.0
        if share > best_share:
            best, best_share = chunk, share
    return best


def _plain(text: str) -> str:
    """Return the letters and digits of a text, so that white space and punctuation make no difference."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def _runs(text: str) -> set[str]:
    return {text[i : i + 4] for i in range(max(len(text) - 3, 1))} if text else set()
