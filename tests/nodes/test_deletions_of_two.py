"""What one node deletes while another one works: finished once, whoever begins it, and gone at both of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from services.core.actor import SERVICE, Actor
from services.core.database.change_log import Topic
from services.core.errors import ConflictError, TakenOverError
from services.knowledge.embedding import Embedder
from services.knowledge.ingestion import pipeline
from services.knowledge.library import Library
from services.knowledge.store.unit_of_work import Gone
from services.knowledge.types import DeletionReport
from tests.databases import Engine, database_url, engine_in_use
from tests.knowledge.library_harness import LibraryHarness
from tests.nodes.joined import JoinedNode, joined


@contextmanager
def library_at(folder: Path, name: str, embedder: Embedder) -> Iterator[tuple[JoinedNode, LibraryHarness]]:
    """Open the library of the database that belongs to a folder as a node; its queue stands still."""
    with ExitStack() as closing:
        node = closing.enter_context(joined(folder, name))
        with engine_in_use(Engine.POSTGRESQL):
            url = database_url(folder)
        harness = LibraryHarness(
            folder / name,
            embedder,
            start=False,
            claims=node.nodes.claims,
            database_url=url,
            files_url=str(folder / "f"),
        )
        closing.enter_context(harness)
        harness.database.join(node.nodes.membership.number, node.nodes.membership.epoch)
        node.nodes.follower.on(Topic.INDEX, harness.ingestion.writer.follow)
        yield node, harness


def test_a_collection_is_deleted_at_one_node(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start of a node would delete what another one is deleting, and fail as it is gone in the middle of it; or
    nobody would finish what a node began that was taken over, or it would keep that in the end.
    """
    with library_at(tmp_path, "one", embedder) as (one, first), library_at(tmp_path, "two", embedder) as (two, second):
        law = first.library.create_collection(SERVICE, "Law")
        for name in ("a.txt", "b.txt"):
            first.add(name, f"What is in {name}.", law.id)

        def taken_over(actor: Actor, ids: list[int], *, erase_quotes: bool = False) -> DeletionReport:
            second.library.finish_deletions()
            assert second.library.count_documents(SERVICE) == 2
            with pytest.raises(ConflictError, match="at the node one"):
                second.library.delete_collection(SERVICE, law.id)
            two.take_over(one)
            return Library.delete(first.library, actor, ids, erase_quotes=erase_quotes)

        with monkeypatch.context() as patched:
            patched.setattr(first.library, "delete", taken_over)
            with pytest.raises(TakenOverError):
                first.library.delete_collection(SERVICE, law.id)
        second.library.finish_deletions()
        assert second.library.count_documents(SERVICE) == 0
        assert [each.name for each in second.library.collections(SERVICE)] == ["General"]


def test_what_is_gone_is_told_to_the_other_node(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would keep answers, events and copies of files of what was deleted; or forget a name that another document
    still bears.
    """
    with library_at(tmp_path, "one", embedder) as (_one, first), library_at(tmp_path, "two", embedder) as (two, second):
        told: list[Gone] = []
        copies: list[str] = []
        second.ingestion.writer.on_gone(told.append)
        monkeypatch.setattr(second.files, "drop_copies", copies.extend)
        law = first.library.create_collection(SERVICE, "Law")
        deleted = [first.add("report.txt", "A first report."), first.add("letter.txt", "A letter.")]
        first.add("report.txt", "A second report.", law.id)
        two.follow()
        assert (told, copies) == ([], [])
        kept = first.stored_files()
        first.library.delete(SERVICE, [each.document.id for each in deleted])
        two.follow()
        (gone,) = told
        assert set(gone.documents) == {each.document.id for each in deleted}
        assert (gone.names, gone.elsewhere) == (("letter.txt",), True)
        assert len(copies) == 2
        assert kept == first.stored_files(), "the originals are not in the data folder"


def test_a_start_goes_on_where_a_document_goes_meanwhile(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another node deletes in the moment in which this one queues it would end the start."""
    with library_at(tmp_path, "one", embedder) as (_node, harness):
        monkeypatch.setattr(pipeline, "outdated_documents", lambda *_asked: [12345])
        harness.ingestion.start()
        harness.ready("a.txt", "It takes documents in all the same.")
