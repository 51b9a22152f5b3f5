"""The services as the commands use them, provided by a running server or by this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from services.core.errors import NotFoundError, StorageError
from services.core.i18n import _
from services.knowledge.document_import import PreparedDocument
from services.knowledge.types import UNFINISHED


@dataclass(frozen=True, slots=True)
class DocumentState:
    """Progress and outcome of a document's ingestion."""

    status: str
    done: int = 0
    total: int = 0
    unit: str = ""
    chunks: int = 0
    error: str = ""
    hint: str = ""

    @property
    def finished(self) -> bool:
        """Whether its ingestion has ended."""
        return self.status not in UNFINISHED


@dataclass(frozen=True, slots=True)
class AnswerSource:
    """A passage that an answer cites."""

    number: int
    document: str
    page: int | None = None
    sheet: str = ""
    heading: tuple[str, ...] = ()
    quote: str = ""


@dataclass(frozen=True, slots=True)
class ImportState:
    """What became of a document that was imported in chunks."""

    document_id: int
    duplicate: bool
    vectors_kept: bool


class Client(Protocol):
    """What the commands need of the services."""

    def collections(self) -> dict[str, int]:
        """Return the ids of the collections by name."""

    def create_collection(self, name: str) -> int:
        """Create a collection and return its id."""

    def add(self, path: Path, name: str, collection: int | None) -> tuple[int, bool]:
        """Upload a file; return its document's id and whether its content was there already."""

    def import_document(self, document: PreparedDocument, collection: int) -> ImportState:
        """Import a document in chunks."""

    def state(self, document_id: int) -> DocumentState:
        """Return the progress of a document."""

    def ask(self, question: str, collections: Sequence[int]) -> Iterator[str | list[AnswerSource]]:
        """Yield the pieces of the answer, and its sources last."""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise StorageError(
            _("{path} cannot be read: {reason}.").format(path=path, reason=error.strerror), ""
        ) from error
    with file:
        yield file


def collection_ids(client: Client, names: Sequence[str]) -> list[int]:
    """Return the ids of the collections called `names`.

    Raises:
        NotFoundError: there is no collection of that name.
    """
    known = client.collections()
    for name in names:
        if name not in known:
            raise NotFoundError(
                _("There is no collection named {name}.").format(name=name),
                _("There are: {names}.").format(names=", ".join(sorted(known))),
            )
    return [known[name] for name in names]
