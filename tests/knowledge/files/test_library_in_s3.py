"""The library over a bucket: what becomes of documents while the server is there, away, and back."""

from __future__ import annotations

import pytest

from services.core.actor import SERVICE
from services.knowledge.embedding import Embedder
from services.knowledge.files.stored_file import FilesUnavailableError
from services.knowledge.ingestion.leftovers import SharedLeftovers
from services.knowledge.original_check import OriginalCheck
from services.knowledge.types import DocumentStatus
from tests.knowledge.files.conftest import Place, content
from tests.knowledge.library_harness import LibraryHarness, pdf, text_about
from tests.s3_server import objects, s3_server
from tests.servers import eventually

MAIL = b"""From: a@example.org\r\nSubject: Offer\r\nMIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=XX\r\n\r
--XX\r\nContent-Type: text/plain\r\n\r\nThe prices are attached.\r
--XX\r\nContent-Type: text/plain; name="prices.txt"\r\nContent-Disposition: attachment; filename="prices.txt"\r\n\r
A heron costs seven crowns.\r\n--XX--\r\n"""


@pytest.fixture
def harness(bucket: Place, embedder: Embedder):  # type: ignore[no-untyped-def]
    with LibraryHarness(bucket.folder / "node", embedder, **bucket.settings) as harness:
        yield harness


def originals(harness: LibraryHarness) -> set[str]:
    with harness.database.read() as connection:
        return set(connection.exec_driver_sql("SELECT stored FROM revisions").scalars()) - {""}


def test_documents_come_and_go(harness: LibraryHarness, bucket: Place) -> None:
    """Uploads, pages, attachments, rechunking, a duplicate, another version, deletion: rows and objects agree."""
    text = harness.ready("a.txt", text_about("herons", 6))
    pages = harness.ready("b.pdf", pdf(2))
    mail = harness.ready("offer.eml", MAIL)
    assert {each.status for each in harness.library.documents(SERVICE)} == {DocumentStatus.READY}
    assert len(harness.library.documents(SERVICE)) == 4, "the attachment, too"
    assert bucket.keys() == originals(harness)
    assert harness.library.reader.page_image(SERVICE, pages.id, 2).startswith(b"\x89PNG")
    path, _document = harness.library.reader.original(SERVICE, text.id)
    assert path.read_text() == text_about("herons", 6)
    assert harness.add("copy.txt", text_about("herons", 6)).duplicate
    harness.library.jobs.rechunk(SERVICE, [text.id], chunk_tokens=64, overlap=0)
    harness.idle()
    harness.ready("a.txt", text_about("bitterns", 6))
    harness.library.delete(SERVICE, [mail.id, pages.id])
    eventually(lambda: bucket.keys() == originals(harness), seconds=10, what="the deletions")
    assert len(bucket.keys()) == 1


def test_job_waits_for_a_server_that_is_away(bucket: Place, embedder: Embedder) -> None:
    """A file whose original cannot be had is not blamed: its job waits, says why, and is done when it can be had."""
    server = s3_server()
    with LibraryHarness(bucket.folder / "node", embedder, start=False, **bucket.settings) as harness:
        waiting = harness.add("a.txt", text_about("egrets"))
    with LibraryHarness(bucket.folder / "node", embedder, start=False, **bucket.settings) as harness:
        for copy in (bucket.folder / "node" / "originals" / "cache").iterdir():
            copy.unlink()
        server.stop()
        try:
            harness.ingestion.start()
            eventually(
                lambda: "does not answer" in harness.library.jobs.pause_reason,
                seconds=30,
                what="the reason of the pause",
            )
            assert harness.library.document(SERVICE, waiting.document.id).status is DocumentStatus.QUEUED
            assert "does not answer" in harness.ingestion.files_warning
            assert OriginalCheck(harness.database, harness.files).some(1000) == [], "not damaged, away"
            with pytest.raises(FilesUnavailableError):
                harness.add("b.txt", text_about("storks"))
        finally:
            server.start()
        harness.idle()
        assert harness.library.document(SERVICE, waiting.document.id).status is DocumentStatus.READY
        assert harness.ready("b.txt", text_about("storks")).status is DocumentStatus.READY
        assert not harness.ingestion.files_warning


def test_duplicate_of_a_lost_original_brings_it_back(harness: LibraryHarness, bucket: Place) -> None:
    """A file that is handed in again where its original is gone from the bucket is kept, not taken for known."""
    first = harness.ready("a.txt", text_about("cranes"))
    (lost,) = originals(harness)
    objects(bucket.settings).delete(f"{lost[:2]}/{lost}")
    other = harness.library.create_collection(SERVICE, "Other")
    second = harness.ready("a.txt", text_about("cranes"), other.id)
    (kept,) = originals(harness) - {lost}
    assert bucket.keys() == {kept}
    stored, sha256 = harness.library.reader._documents.original(second.id, None)
    assert content(harness.files, stored, sha256) == text_about("cranes").encode()
    assert first.id != second.id


def test_check_in_the_background_finds_damage(harness: LibraryHarness, bucket: Place) -> None:
    """Damaged and lost objects are told once each."""
    for name in ("a", "b", "c"):
        harness.ready(f"{name}.txt", text_about(name, 40))
    damaged, lost, _sound = (harness.library.reader._documents.original(number, None)[0] for number in (1, 2, 3))
    place = objects(bucket.settings)
    check = OriginalCheck(harness.database, harness.files)
    place.put(f"{damaged[:2]}/{damaged}", b"x" * 3000)
    place.delete(f"{lost[:2]}/{lost}")
    found = [text for _ in range(40) for text in check.some(1000)]
    assert len(found) == 2
    assert "a.txt" in found[0]
    assert "is damaged" in found[0]
    assert "b.txt" in found[1]
    assert "is gone" in found[1]


def test_bucket_of_another_pond_is_not_swept(
    bucket: Place, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new, empty database that is pointed at a bucket takes nothing there for leftovers, and warns."""
    from services.knowledge.files import s3_store

    monkeypatch.setattr(s3_store, "SPARED_SECONDS", -60.0)
    with LibraryHarness(bucket.folder / "node", embedder, start=False, **bucket.settings) as first:
        first.add("a.txt", text_about("ibises"))
        kept = originals(first)
        mine = SharedLeftovers(first.files, first.database)
        assert (mine.sweep(), mine.warning) == (0, "")
        with LibraryHarness(bucket.folder / "another", embedder, start=False, **bucket.settings) as second:
            theirs = SharedLeftovers(second.files, second.database)
            assert theirs.sweep() == 0
            assert "another database" in theirs.warning
        assert bucket.keys() == kept
        assert (mine.sweep(), mine.warning) == (0, "")
