from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from services.core.errors import MillpondError
from services.knowledge.embedding import Embedder
from tests.knowledge.library_harness import LibraryHarness, text_about
from tests.servers import eventually


def stamp(workshop: LibraryHarness) -> int:
    found = workshop.ingestion.writer.version.current()
    assert found is not None
    return found


CHANGES: dict[str, Callable[[LibraryHarness, int, int], object]] = {
    "add": lambda shop, _document, _shelf: shop.ready("other.txt", text_about("rivers")),
    "replace": lambda shop, _document, _shelf: shop.ready("lake.txt", text_about("seas")),
    "disable": lambda shop, document, _shelf: shop.library.set_enabled([document], enabled=False),
    "move": lambda shop, document, shelf: shop.library.move([document], shelf),
    "delete": lambda shop, document, _shelf: shop.library.delete([document]),
    "delete collection": lambda shop, document, _shelf: shop.library.delete_collection(
        shop.library.document(document).collection_id
    ),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_every_change_draws_another_stamp(workshop: LibraryHarness, change: str) -> None:
    """Whatever can change an answer changes the stamp by the time the call returns, and looking does not."""
    document = workshop.ready("lake.txt", text_about("lakes")).id
    shelf = workshop.library.create_collection("Shelf").id
    before = stamp(workshop)
    assert stamp(workshop) == before
    workshop.library.documents()
    CHANGES[change](workshop, document, shelf)
    assert stamp(workshop) != before


def test_the_stamp_survives_a_restart(tmp_path: Path, embedder: Embedder) -> None:
    """The same documents have the same stamp in the next process, so that a shared level stays right."""
    with LibraryHarness(tmp_path / "data", embedder) as workshop:
        workshop.ready("lake.txt", text_about("lakes"))
        before = stamp(workshop)
    with LibraryHarness(tmp_path / "data", embedder) as workshop:
        assert stamp(workshop) == before


def test_there_is_no_stamp_while_the_index_follows(workshop: LibraryHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between commit and index a search would see half of a change: then nothing may be remembered."""
    document = workshop.ready("lake.txt", text_about("lakes")).id
    entered, go = threading.Event(), threading.Event()
    follow = workshop.ingestion.writer._follow

    def held_up(change: object) -> None:
        entered.set()
        assert go.wait(20)
        follow(change)  # type: ignore[arg-type] # handed on as it came

    monkeypatch.setattr(workshop.ingestion.writer, "_follow", held_up)
    deleting = threading.Thread(target=workshop.library.delete, args=([document],))
    deleting.start()
    assert entered.wait(20)
    assert workshop.ingestion.writer.version.current() is None
    go.set()
    deleting.join(20)
    eventually(lambda: workshop.ingestion.writer.version.current() is not None, seconds=10)


def test_a_change_that_fails_keeps_the_stamp(workshop: LibraryHarness) -> None:
    """Nothing was committed, so what was remembered is still right."""
    workshop.ready("lake.txt", text_about("lakes"))
    before = stamp(workshop)
    with pytest.raises(MillpondError), workshop.ingestion.writer.change():
        raise MillpondError("no")
    assert stamp(workshop) == before
