from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from services.core.actor import SERVICE
from services.core.errors import MillpondError
from services.knowledge.embedding import Embedder
from tests.knowledge.library_harness import LibraryHarness, text_about
from tests.servers import eventually


def stamp(harness: LibraryHarness) -> int:
    found = harness.ingestion.writer.version.current()
    assert found is not None
    return found


CHANGES: dict[str, Callable[[LibraryHarness, int, int], object]] = {
    "add": lambda shop, _document, _shelf: shop.ready("other.txt", text_about("rivers")),
    "replace": lambda shop, _document, _shelf: shop.ready("lake.txt", text_about("seas")),
    "disable": lambda shop, document, _shelf: shop.library.set_enabled(SERVICE, [document], enabled=False),
    "move": lambda shop, document, store: shop.library.move(SERVICE, [document], store),
    "delete": lambda shop, document, _shelf: shop.library.delete(SERVICE, [document]),
    "delete collection": lambda shop, document, _shelf: shop.library.delete_collection(
        SERVICE, shop.library.document(SERVICE, document).collection_id
    ),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_every_change_draws_another_stamp(harness: LibraryHarness, change: str) -> None:
    """Whatever can change an answer changes the stamp by the time the call returns, and looking does not."""
    document = harness.ready("lake.txt", text_about("lakes")).id
    store = harness.library.create_collection(SERVICE, "IndexedStore").id
    before = stamp(harness)
    assert stamp(harness) == before
    harness.library.documents(SERVICE)
    CHANGES[change](harness, document, store)
    assert stamp(harness) != before


def test_the_stamp_survives_a_restart(tmp_path: Path, embedder: Embedder) -> None:
    """The same documents have the same stamp in the next process, so that a shared level stays right."""
    with LibraryHarness(tmp_path / "data", embedder) as harness:
        harness.ready("lake.txt", text_about("lakes"))
        before = stamp(harness)
    with LibraryHarness(tmp_path / "data", embedder) as harness:
        assert stamp(harness) == before


def test_there_is_no_stamp_while_the_index_follows(harness: LibraryHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between commit and index a search would see half of a change: then nothing may be remembered."""
    document = harness.ready("lake.txt", text_about("lakes")).id
    entered, go = threading.Event(), threading.Event()
    update_index = harness.ingestion.writer._update_index

    def held_up(change: object) -> None:
        entered.set()
        assert go.wait(20)
        update_index(change)  # type: ignore[arg-type] # handed on as it came

    monkeypatch.setattr(harness.ingestion.writer, "_update_index", held_up)
    deleting = threading.Thread(target=harness.library.delete, args=(SERVICE, [document]))
    deleting.start()
    assert entered.wait(20)
    assert harness.ingestion.writer.version.current() is None
    go.set()
    deleting.join(20)
    eventually(lambda: harness.ingestion.writer.version.current() is not None, seconds=10)


def test_a_change_that_fails_keeps_the_stamp(harness: LibraryHarness) -> None:
    """Nothing was committed, so what was remembered is still right."""
    harness.ready("lake.txt", text_about("lakes"))
    before = stamp(harness)
    with pytest.raises(MillpondError), harness.ingestion.writer.transaction():
        raise MillpondError("no")
    assert stamp(harness) == before
