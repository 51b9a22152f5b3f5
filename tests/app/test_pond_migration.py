"""A pond moves to another database and back: nothing is lost, doubled, or made anew."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.app.container import Services
from services.app.pond_migration import migrate_pond
from services.app.startup import Application
from services.app.tables import import_tables
from services.core.actor import SERVICE
from services.core.database import Database
from services.core.errors import BadInputError, ConflictError, DamagedError
from services.core.settings import Settings
from services.knowledge.bundled_models import MINILM
from tests.databases import Engine, database_url, engine_in_use
from tests.knowledge.library_harness import text_about
from tests.knowledge.stores import check_terms

SUBJECTS = ("otters", "herons", "mills", "水库", "locks")


class InterruptedCopyError(Exception):
    pass


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with documents, of which one was deleted, and a conversation."""
    folder = tmp_path_factory.mktemp("original")
    with Application(Settings(data_dir=folder, embedding_model=MINILM), watched=False) as services:
        for subject in SUBJECTS:
            services.library.add(SERVICE, io.BytesIO(text_about(subject).encode()), f"{subject}.txt")
        assert services.ingestion.wait_idle(60)
        last = services.library.add(SERVICE, io.BytesIO(text_about("nothing").encode()), "gone.txt")
        assert services.ingestion.wait_idle(60)
        services.library.delete(SERVICE, [last.document.id])
        conversation = services.conversations.create(SERVICE)
        services.conversations.rename(SERVICE, conversation.id, "Wehr 水闸 \N{PILE OF POO}")
    return folder


@pytest.fixture
def settings(original: Path) -> Settings:
    return Settings(data_dir=original, embedding_model=MINILM)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[str]:
    with engine_in_use(Engine.POSTGRESQL):
        yield database_url(tmp_path)


def nothing(_what: str, _done: int, _total: int) -> None:
    pass


def state(services: Services) -> dict[str, Any]:
    hits = services.retriever.search(SERVICE, "Which parts does the heron have?").hits
    return {
        "documents": [(d.id, d.name, d.chunks) for d in services.library.documents(SERVICE, limit=100)],
        "conversations": [(c.id, c.title) for c in services.conversations.conversations(SERVICE)],
        "hits": [(hit.chunk_id, hit.text, round(hit.score, 6)) for hit in hits],
        "vectors": services.index.index.ids().tolist(),
    }


def opened(settings: Settings, url: str) -> Application:
    return Application(settings.model_copy(update={"database_url": url}), watched=False)


def test_everything_is_there_and_counts_on(settings: Settings, target: str, tmp_path: Path) -> None:
    """There and back again: the same documents, conversations, words and vectors; no id comes a second time."""
    moved = migrate_pond(settings, target, nothing)
    assert moved.documents == len(SUBJECTS)
    back = f"sqlite:///{tmp_path / 'back.db'}"
    migrate_pond(settings.model_copy(update={"database_url": target}), back, nothing)
    with Application(settings, watched=False) as services:
        before = state(services)
    for url in (target, back):
        with opened(settings, url) as services:
            assert state(services) == before
            with services.database.read() as connection:
                check_terms(connection)
            added = services.library.add(SERVICE, io.BytesIO(b"One more about geese."), "geese.txt")
            assert added.document.id == len(SUBJECTS) + 2, "the id of the deleted document"


def test_a_copy_that_was_interrupted_goes_on(settings: Settings, target: str) -> None:
    """A kill in the middle costs what was not committed, and nothing comes twice."""
    import_tables()
    for part in ("chunks", "index of words", "comparing"):

        def interrupt(what: str, _done: int, _total: int, part: str = part) -> None:
            if part in what:
                raise InterruptedCopyError

        with pytest.raises(InterruptedCopyError):
            migrate_pond(settings, target, interrupt)
    assert migrate_pond(settings, target, nothing).documents == len(SUBJECTS)
    copy = Database(target)
    with copy.read() as connection:
        check_terms(connection)
        assert not sa.inspect(connection).has_table("transfer")
    copy.close()


def test_a_copy_that_differs_is_refused(settings: Settings, target: str) -> None:
    """What was written beside the copy, or lost on the way, does not pass for the original."""

    def meddle(what: str, _done: int, _total: int) -> None:
        if "index of words" in what:
            with other.write() as connection:
                connection.execute(sa.text("UPDATE documents SET enabled = false WHERE id = 2"))

    other = Database(target)
    with pytest.raises(DamagedError, match="documents"):
        migrate_pond(settings, target, meddle)
    other.close()


def test_what_cannot_be_the_copy_is_refused(settings: Settings, target: str) -> None:
    """Data of another pond would be mixed with these, a server at work would write beside the copy."""
    with pytest.raises(BadInputError):
        migrate_pond(settings, settings.effective_database_url, nothing)
    with Application(settings, watched=False), pytest.raises(ConflictError):
        migrate_pond(settings, target, nothing)
    migrate_pond(settings, target, nothing)
    with pytest.raises(ConflictError, match="data of its own"):
        migrate_pond(settings, target, nothing)
