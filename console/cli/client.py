"""What the commands need, whoever answers: a server that holds the data folder, or services in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.core.errors import NotFoundError
from services.core.i18n import _
from services.knowledge.types import UNFINISHED


@dataclass(frozen=True, slots=True)
class DocumentState:
    """How far a document is."""

    status: str
    done: int = 0
    total: int = 0
    unit: str = ""
    chunks: int = 0
    error: str = ""
    hint: str = ""

    @property
    def finished(self) -> bool:
        """Whether nothing will happen to it by itself."""
        return self.status not in UNFINISHED


@dataclass(frozen=True, slots=True)
class AnswerSource:
    """What an answer rests on."""

    number: int
    document: str
    page: int | None = None
    sheet: str = ""
    heading: tuple[str, ...] = ()
    quote: str = ""


class Client(Protocol):
    """The services as the command line uses them."""

    def collections(self) -> dict[str, int]:
        """Return the ids of the collections by name."""

    def create_collection(self, name: str) -> int:
        """Make a collection and return its id."""

    def add(self, path: Path, name: str, collection: int | None) -> tuple[int, bool]:
        """Hand in a file; return its document's id and whether its content was there already."""

    def state(self, document_id: int) -> DocumentState:
        """Return how far a document is."""

    def ask(self, question: str, collections: Sequence[int]) -> Iterator[str | list[AnswerSource]]:
        """Yield the pieces of the answer, and its sources last."""


def ids_of(desk: Client, names: Sequence[str]) -> list[int]:
    """Return the ids of the collections called `names`.

    Raises:
        NotFoundError: there is none of that name.
    """
    known = desk.collections()
    for name in names:
        if name not in known:
            raise NotFoundError(
                _("There is no collection named {name}.").format(name=name),
                _("There are: {names}.").format(names=", ".join(sorted(known))),
            )
    return [known[name] for name in names]
