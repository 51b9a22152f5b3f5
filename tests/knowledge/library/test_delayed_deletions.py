from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.core.actor import SERVICE, AccessLevel, Actor
from services.core.errors import ForbiddenError, NotFoundError, StorageError
from services.knowledge.delayed_deletions import DelayedDeletions
from services.knowledge.embedding import Embedder
from services.knowledge.library import Library
from services.knowledge.types import DeletionReport
from tests.actors import reader_of, writer_of
from tests.knowledge.library_harness import LibraryHarness
from tests.servers import eventually

LONG = 600.0


@pytest.fixture
def library(tmp_path: Path, embedder: Embedder) -> Iterator[Library]:
    with LibraryHarness(tmp_path / "data", embedder) as harness:
        harness.library.delayed.seconds = LONG
        yield harness.library
        harness.library.delayed.close()
        harness.idle()
        harness.check()


def add(library: Library, name: str) -> int:
    return library.add(SERVICE, io.BytesIO(f"{name} tells of the heron by the pond.".encode()), name).document.id


def there(library: Library, *ids: int) -> list[int]:
    return [each for each in ids if each in {document.id for document in library.documents(SERVICE, limit=100)}]


def test_after_a_while_it_is_deleted_and_told_once(library: Library) -> None:
    """Without anybody's help; whoever asked is told once, what others are told is nothing."""
    library.delayed.seconds = 0.05
    first, second = add(library, "first.txt"), add(library, "second.txt")
    library.delayed.documents(SERVICE, [first])
    eventually(lambda: not there(library, first), what="the deletion")
    eventually(lambda: not library.delayed.waiting(SERVICE), what="its end")
    assert library.delayed.ended(reader_of()) == []
    [report] = told(library.delayed, SERVICE)
    assert isinstance(report, DeletionReport)
    assert report.documents == 1
    assert library.delayed.ended(SERVICE) == []
    assert there(library, second) == [second]


def told(delayed: DelayedDeletions, actor: Actor) -> list[object]:
    found: list[object] = []
    eventually(lambda: found.extend(delayed.ended(actor)) or found, what="the outcome")
    return found


def test_who_asked_can_call_it_off(library: Library) -> None:
    """Nobody else can, and a second time there is nothing to call off."""
    first = add(library, "first.txt")
    library.delayed.documents(SERVICE, [first])
    [waiting] = library.delayed.waiting(SERVICE)
    assert waiting.documents == {first}
    assert 0 < waiting.seconds <= LONG
    assert library.delayed.is_waiting(first)
    stranger = reader_of()
    assert library.delayed.waiting(stranger) == []
    with pytest.raises(NotFoundError):
        library.delayed.undo(stranger, waiting.id)
    before = library.version()
    library.delayed.undo(SERVICE, waiting.id)
    assert library.version() != before
    assert not library.delayed.is_waiting(first)
    with pytest.raises(NotFoundError):
        library.delayed.undo(SERVICE, waiting.id)
    library.delayed.close()
    assert there(library, first) == [first]
    assert library.delayed.ended(SERVICE) == []


def test_what_is_not_permitted_is_refused_at_once(library: Library) -> None:
    """Not ten seconds later, when nobody looks."""
    first = add(library, "first.txt")
    home = library.document(SERVICE, first).collection_id
    with pytest.raises(ForbiddenError):
        library.delayed.documents(reader_of(home), [first])
    with pytest.raises(ForbiddenError):
        library.delayed.collection(writer_of(home), home)
    with pytest.raises(NotFoundError):
        library.delayed.collection(reader_of(), home)
    assert library.delayed.waiting(SERVICE) == []


def test_a_process_that_ends_deletes_what_is_waiting(library: Library) -> None:
    """A collection with its documents, too; what is asked for after that is deleted at once."""
    pond = library.create_collection(SERVICE, "Pond")
    first, second = add(library, "first.txt"), add(library, "second.txt")
    library.move(SERVICE, [first], pond.id)
    library.delayed.collection(SERVICE, pond.id)
    assert [each.collection for each in library.delayed.waiting(SERVICE)] == ["Pond"]
    library.delayed.close()
    assert there(library, first, second) == [second]
    assert "Pond" not in {each.name for each in library.collections(SERVICE, AccessLevel.READ)}
    library.delayed.documents(SERVICE, [second])
    assert there(library, second) == []


def test_a_deletion_that_fails_is_told(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documents are there still, and who asked learns why."""
    first = add(library, "first.txt")

    def full(*_args: object, **_how: object) -> DeletionReport:
        raise StorageError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(Library, "delete", full)
        library.delayed.documents(SERVICE, [first])
        library.delayed.close()
    [error] = library.delayed.ended(SERVICE)
    assert isinstance(error, StorageError)
    assert there(library, first) == [first]
