from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from services.core.actor import SERVICE
from services.core.errors import BadInputError, BusyError, ConflictError, NotFoundError, TooLargeError
from services.knowledge.embedding import Embedder
from services.knowledge.files.stored_file import is_name
from services.knowledge.types import DocumentStatus
from tests.knowledge.library_harness import LibraryHarness, text_about


def test_document_becomes_ready_and_agrees_everywhere(harness: LibraryHarness) -> None:
    """A file ends as chunks with vectors and terms, findable by its words, and its original can be had back."""
    document = harness.ready("otters.md", "# Otters\n\n" + text_about("otters", 8))
    assert document.status is DocumentStatus.READY
    assert document.searchable
    assert (document.version, document.media_type, document.error) == (1, "text/markdown", "")
    chunks = harness.library.reader.chunks(SERVICE, document.id)
    assert len(chunks) == document.chunks > 1
    assert harness.matching("otter") == [chunk.id for chunk in chunks]
    _ids, vectors = harness.chunks.vectors([chunk.id for chunk in chunks])
    assert vectors.shape == (len(chunks), 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    path, _document = harness.library.reader.original(SERVICE, document.id)
    assert path.read_text().startswith("# Otters")
    assert (
        "".join(section.text for section in harness.library.reader.sections(SERVICE, document.id)).count("otters") > 8
    )
    harness.check()


def test_same_content_is_taken_once(harness: LibraryHarness) -> None:
    """A second copy, under any name, is answered with the document that is there; nothing is processed."""
    first = harness.ready("a.txt", text_about("beavers"))
    second = harness.add("b.txt", text_about("beavers"))
    assert second.duplicate
    assert second.document.id == first.id
    assert harness.library.count_documents(SERVICE) == 1
    assert len(harness.library.jobs.recent(SERVICE)) == 1
    harness.check()


def test_same_content_in_another_collection_is_copied(harness: LibraryHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another collection gets the chunks and vectors that exist, without parsing or embedding; the file is shared."""
    first = harness.ready("a.md", text_about("badgers", 8))
    other = harness.library.create_collection(SERVICE, "Other")
    monkeypatch.setattr(type(harness.parser), "parse", None)
    second = harness.ready("a.md", text_about("badgers", 8), other.id)
    assert second.status is DocumentStatus.READY
    assert [c.text for c in harness.library.reader.chunks(SERVICE, second.id)] == [
        c.text for c in harness.library.reader.chunks(SERVICE, first.id)
    ]
    assert len(harness.stored_files()) == 1
    harness.check()
    harness.library.delete(SERVICE, [first.id])
    assert harness.library.reader.original(SERVICE, second.id)[0].read_text() == text_about("badgers", 8)
    harness.check()


def test_two_copies_at_once_are_processed_once(tmp_path: Path, embedder: Embedder) -> None:
    """The same bytes queued in two collections at the same time are parsed by one job and copied by the other."""
    with LibraryHarness(tmp_path / "data", embedder, start=False) as harness:
        other = harness.library.create_collection(SERVICE, "Other")
        harness.add("a.md", text_about("voles", 30))
        harness.add("a.md", text_about("voles", 30), other.id)
        parsed: list[Path] = []
        parse = harness.parser.parse

        def counting(path: Path, *args: object, **keywords: object) -> object:
            parsed.append(path)
            return parse(path, *args, **keywords)  # type: ignore[arg-type]

        harness.parser.parse = counting  # type: ignore[method-assign,assignment]
        harness.ingestion.start()
        harness.idle()
        assert len(parsed) == 1
        assert harness.library.counts(SERVICE).searchable == 2
        harness.check()


def test_copy_under_another_name_is_found_by_its_own_name(harness: LibraryHarness) -> None:
    """The words of a document's name are among its terms, also when its chunks were copied from another one."""
    harness.ready("walrus.txt", text_about("sea life"))
    other = harness.library.create_collection(SERVICE, "Other")
    second = harness.ready("narwhal.txt", text_about("sea life"), other.id)
    own = {chunk.id for chunk in harness.library.reader.chunks(SERVICE, second.id)}
    assert set(harness.matching("narwhal")) == own
    assert not own & set(harness.matching("walrus"))
    harness.check()


def test_new_version_replaces_the_old_one_when_it_is_ready(harness: LibraryHarness) -> None:
    """The same name with new content keeps its document, counts up and leaves nothing of the old version."""
    first = harness.ready("plan.txt", text_about("zeppelins"))
    second = harness.ready("plan.txt", text_about("airships"))
    assert second.id == first.id
    assert (second.version, second.status) == (2, DocumentStatus.READY)
    assert harness.matching("zeppelin") == []
    assert len(harness.matching("airship")) == second.chunks
    assert len(harness.stored_files()) == 1
    harness.check()


def test_failed_new_version_leaves_the_old_one_answering(harness: LibraryHarness) -> None:
    """When the new content cannot be read, the document says so and still answers with what it had."""
    first = harness.ready("plan.pdf", text_about("canals"))
    failed = harness.ready("plan.pdf", b"%PDF-1.7 nothing that any reader could use" + bytes(range(256)))
    assert failed.id == first.id
    assert failed.status is DocumentStatus.FAILED
    assert failed.error
    assert failed.searchable
    assert harness.matching("canal")
    assert len(harness.stored_files()) == 1
    harness.check()
    again = harness.ready("plan.pdf", text_about("tunnels"))
    assert (again.status, harness.matching("canal")) == (DocumentStatus.READY, [])
    harness.check()


def test_newest_of_several_versions_wins(tmp_path: Path, embedder: Embedder) -> None:
    """Versions that come before the first is through: only the last one is processed, the others say why not."""
    with LibraryHarness(tmp_path / "data", embedder, start=False) as harness:
        for subject in ("pears", "plums", "quinces"):
            intake = harness.add("fruit.txt", text_about(subject))
        assert len(harness.stored_files()) == 1
        harness.ingestion.start()
        harness.idle()
        assert [job.status for job in harness.library.jobs.recent(SERVICE)] == [
            DocumentStatus.READY,
            DocumentStatus.CANCELLED,
            DocumentStatus.CANCELLED,
        ]
        assert "newer version" in harness.library.jobs.recent(SERVICE)[1].error
        assert harness.library.document(SERVICE, intake.document.id).status is DocumentStatus.READY
        assert (harness.matching("pear"), harness.matching("plum")) == ([], [])
        assert harness.matching("quince")
        harness.check()


@pytest.mark.parametrize("name", ["empty.txt", "../empty.pdf"])
def test_empty_file_is_refused_and_leaves_nothing(harness: LibraryHarness, name: str) -> None:
    """A file of no bytes is a clear message at intake, with no document, job or file."""
    with pytest.raises(BadInputError, match="empty"):
        harness.add(name, b"")
    assert harness.library.count_documents(SERVICE) == 0
    assert harness.library.jobs.recent(SERVICE) == []
    assert harness.stored_files() == set()


def test_unreadable_file_fails_alone_and_leaves_nothing(harness: LibraryHarness) -> None:
    """Bytes that are no document fail with reason and hint; nothing of them stays on disk, others go through."""
    bad = harness.add("noise.pdf", bytes(range(256)) * 40)
    good = harness.ready("fine.txt", text_about("larks"))
    failed = harness.library.document(SERVICE, bad.document.id)
    assert failed.status is DocumentStatus.FAILED
    assert failed.error
    assert failed.hint
    assert good.status is DocumentStatus.READY
    assert len(harness.stored_files()) == 1
    with pytest.raises(NotFoundError):
        harness.library.reader.original(SERVICE, failed.id)
    with pytest.raises(ConflictError, match="not kept"):
        harness.library.jobs.retry(SERVICE, failed.job_id or 0)
    harness.check()


def test_same_unreadable_file_again_is_tried_again(harness: LibraryHarness) -> None:
    """Content that failed before is not a duplicate: it gets another try under its document."""
    first = harness.ready("noise.pdf", bytes(range(256)) * 40)
    again = harness.add("noise.pdf", bytes(range(256)) * 40)
    assert not again.duplicate
    assert again.document.id == first.id
    harness.idle()
    assert harness.library.document(SERVICE, first.id).status is DocumentStatus.FAILED
    assert [job.attempts for job in harness.library.jobs.recent(SERVICE)] == [2]
    harness.check()


def test_interrupted_upload_leaves_nothing(harness: LibraryHarness) -> None:
    """A sender that goes away, and a file over the limit, leave neither file nor row."""

    class Sender(io.RawIOBase):
        def __init__(self, parts: int) -> None:
            self.parts = parts

        def read(self, _size: int = -1) -> bytes:
            if not self.parts:
                raise ConnectionResetError
            self.parts -= 1
            return bytes(1024 * 1024)

    with pytest.raises(ConnectionResetError):
        harness.library.add(SERVICE, Sender(3), "half.txt")  # type: ignore[arg-type]
    with pytest.raises(TooLargeError):
        harness.library.add(SERVICE, Sender(harness.settings.upload_limit_mb + 1), "big.txt")  # type: ignore[arg-type]
    assert harness.library.count_documents(SERVICE) == 0
    assert harness.stored_files() == set()


@pytest.mark.parametrize(
    "name", ["../../../etc/cron.d/x", "nul\x00name.txt", "n" * 300 + ".txt", "a\u202etxt.exe", "<script>x</script>"]
)
def test_hostile_names_are_only_ever_shown(harness: LibraryHarness, name: str) -> None:
    """Whatever a file is called, it lies under a name of our own inside the data folder and becomes ready."""
    document = harness.ready(name, text_about("gulls"))
    assert document.status is DocumentStatus.READY
    path, _document = harness.library.reader.original(SERVICE, document.id)
    assert path.resolve().is_relative_to((harness.settings.data_dir / "files").resolve())
    assert is_name(path.name)
    assert len(document.name) <= 255
    harness.check()


def test_full_queue_says_so_and_keeps_nothing(tmp_path: Path, embedder: Embedder) -> None:
    """Past the limit of waiting jobs a file is refused, with nothing left behind; a duplicate is still answered."""
    with LibraryHarness(tmp_path / "data", embedder, start=False, queue_limit=2) as harness:
        harness.add("a.txt", "alpha")
        harness.add("b.txt", "beta")
        with pytest.raises(BusyError, match="2 files are waiting"):
            harness.add("c.txt", "gamma")
        assert harness.add("d.txt", "beta").duplicate
        assert len(harness.stored_files()) == 2
        assert harness.library.count_documents(SERVICE) == 2


def test_a_file_that_is_deleted_right_behind_its_intake_was_taken(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever hands a file in gets its document, also when somebody else deletes that at the same moment."""
    with LibraryHarness(tmp_path, embedder, start=False) as harness:
        found = harness.library.documents

        def meanwhile(**_what: bool) -> None:
            monkeypatch.undo()
            harness.library.delete(SERVICE, [document.id for document in found(SERVICE)])

        monkeypatch.setattr(harness.ingestion, "wake", meanwhile)
        assert harness.add("fleeting.txt", text_about("mayflies")).document.name == "fleeting.txt"
        assert harness.library.count_documents(SERVICE) == 0
