"""What is in a document: the part of the library that opens one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from services.errors import BadInputError
from services.knowledge.files import FileStore
from services.knowledge.library.locating import locate
from services.knowledge.progress import ProgressBoard
from services.knowledge.store.contents import ContentStore
from services.knowledge.store.documents import DocumentStore
from services.knowledge.types import Chunk, Document, Section
from services.texts import _

if TYPE_CHECKING:
    from services.knowledge.parsing import ParserPool


class Contents:
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
