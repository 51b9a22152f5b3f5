from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from services.core.errors import BadInputError, BusyError, ConflictError, NotFoundError, TooLargeError
from services.knowledge.embedding import Embedder
from services.knowledge.types import DocumentStatus
from tests.knowledge.library_harness import LibraryHarness, text_about


def test_document_becomes_ready_and_agrees_everywhere(workshop: LibraryHarness) -> None:
    """A file ends as chunks with vectors and terms, findable by its words, and its original can be had back."""
    document = workshop.ready("otters.md", "# Otters\n\n" + text_about("otters", 8))
    assert document.status is DocumentStatus.READY
    assert document.searchable
    assert (document.version, document.media_type, document.error) == (1, "text/markdown", "")
    chunks = workshop.library.chunks(document.id)
    assert len(chunks) == document.chunks > 1
    assert workshop.matching("otter") == [chunk.id for chunk in chunks]
    _ids, vectors = workshop.chunks.vectors([chunk.id for chunk in chunks])
    assert vectors.shape == (len(chunks), 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    path, _document = workshop.library.original(document.id)
    assert path.read_text().startswith("# Otters")
    assert "".join(section.text for section in workshop.library.sections(document.id)).count("otters") > 8
    workshop.check()


def test_same_content_is_taken_once(workshop: LibraryHarness) -> None:
    """A second copy, under any name, is answered with the document that is there; nothing is processed."""
    first = workshop.ready("a.txt", text_about("beavers"))
    second = workshop.add("b.txt", text_about("beavers"))
    assert second.duplicate
    assert second.document.id == first.id
    assert workshop.library.count_documents() == 1
    assert len(workshop.library.jobs()) == 1
    workshop.check()


def test_same_content_in_another_collection_is_copied(
    workshop: LibraryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another collection gets the chunks and vectors that exist, without parsing or embedding; the file is shared."""
    first = workshop.ready("a.md", text_about("badgers", 8))
    other = workshop.library.create_collection("Other")
    monkeypatch.setattr(type(workshop.parser), "parse", None)
    second = workshop.ready("a.md", text_about("badgers", 8), other.id)
    assert second.status is DocumentStatus.READY
    assert [c.text for c in workshop.library.chunks(second.id)] == [c.text for c in workshop.library.chunks(first.id)]
    assert len(workshop.stored_files()) == 1
    workshop.check()
    workshop.library.delete([first.id])
    assert workshop.library.original(second.id)[0].read_text() == text_about("badgers", 8)
    workshop.check()


def test_two_copies_at_once_are_processed_once(tmp_path: Path, embedder: Embedder) -> None:
    """The same bytes queued in two collections at the same time are parsed by one job and copied by the other."""
    with LibraryHarness(tmp_path / "data", embedder, start=False) as workshop:
        other = workshop.library.create_collection("Other")
        workshop.add("a.md", text_about("voles", 30))
        workshop.add("a.md", text_about("voles", 30), other.id)
        parsed: list[Path] = []
        parse = workshop.parser.parse

        def counting(path: Path, *args: object, **keywords: object) -> object:
            parsed.append(path)
            return parse(path, *args, **keywords)  # type: ignore[arg-type]

        workshop.parser.parse = counting  # type: ignore[method-assign,assignment]
        workshop.ingestion.start()
        workshop.idle()
        assert len(parsed) == 1
        assert workshop.library.counts().searchable == 2
        workshop.check()


def test_copy_under_another_name_is_found_by_its_own_name(workshop: LibraryHarness) -> None:
    """The words of a document's name are among its terms, also when its chunks were copied from another one."""
    workshop.ready("walrus.txt", text_about("sea life"))
    other = workshop.library.create_collection("Other")
    second = workshop.ready("narwhal.txt", text_about("sea life"), other.id)
    own = {chunk.id for chunk in workshop.library.chunks(second.id)}
    assert set(workshop.matching("narwhal")) == own
    assert not own & set(workshop.matching("walrus"))
    workshop.check()


def test_new_version_replaces_the_old_one_when_it_is_ready(workshop: LibraryHarness) -> None:
    """The same name with new content keeps its document, counts up and leaves nothing of the old version."""
    first = workshop.ready("plan.txt", text_about("zeppelins"))
    second = workshop.ready("plan.txt", text_about("airships"))
    assert second.id == first.id
    assert (second.version, second.status) == (2, DocumentStatus.READY)
    assert workshop.matching("zeppelin") == []
    assert len(workshop.matching("airship")) == second.chunks
    assert len(workshop.stored_files()) == 1
    workshop.check()


def test_failed_new_version_leaves_the_old_one_answering(workshop: LibraryHarness) -> None:
    """When the new content cannot be read, the document says so and still answers with what it had."""
    first = workshop.ready("plan.pdf", text_about("canals"))
    failed = workshop.ready("plan.pdf", b"%PDF-1.7 nothing that any reader could use" + bytes(range(256)))
    assert failed.id == first.id
    assert failed.status is DocumentStatus.FAILED
    assert failed.error
    assert failed.searchable
    assert workshop.matching("canal")
    assert len(workshop.stored_files()) == 1
    workshop.check()
    again = workshop.ready("plan.pdf", text_about("tunnels"))
    assert (again.status, workshop.matching("canal")) == (DocumentStatus.READY, [])
    workshop.check()


def test_newest_of_several_versions_wins(tmp_path: Path, embedder: Embedder) -> None:
    """Versions that come before the first is through: only the last one is processed, the others say why not."""
    with LibraryHarness(tmp_path / "data", embedder, start=False) as workshop:
        for subject in ("pears", "plums", "quinces"):
            intake = workshop.add("fruit.txt", text_about(subject))
        assert len(workshop.stored_files()) == 1
        workshop.ingestion.start()
        workshop.idle()
        assert [job.status for job in workshop.library.jobs()] == [
            DocumentStatus.READY,
            DocumentStatus.CANCELLED,
            DocumentStatus.CANCELLED,
        ]
        assert "newer version" in workshop.library.jobs()[1].error
        assert workshop.library.document(intake.document.id).status is DocumentStatus.READY
        assert (workshop.matching("pear"), workshop.matching("plum")) == ([], [])
        assert workshop.matching("quince")
        workshop.check()


@pytest.mark.parametrize("name", ["empty.txt", "../empty.pdf"])
def test_empty_file_is_refused_and_leaves_nothing(workshop: LibraryHarness, name: str) -> None:
    """A file of no bytes is a clear message at intake, with no document, job or file."""
    with pytest.raises(BadInputError, match="empty"):
        workshop.add(name, b"")
    assert workshop.library.count_documents() == 0
    assert workshop.library.jobs() == []
    assert workshop.stored_files() == set()


def test_unreadable_file_fails_alone_and_leaves_nothing(workshop: LibraryHarness) -> None:
    """Bytes that are no document fail with reason and hint; nothing of them stays on disk, others go through."""
    bad = workshop.add("noise.pdf", bytes(range(256)) * 40)
    good = workshop.ready("fine.txt", text_about("larks"))
    failed = workshop.library.document(bad.document.id)
    assert failed.status is DocumentStatus.FAILED
    assert failed.error
    assert failed.hint
    assert good.status is DocumentStatus.READY
    assert len(workshop.stored_files()) == 1
    with pytest.raises(NotFoundError):
        workshop.library.original(failed.id)
    with pytest.raises(ConflictError, match="not kept"):
        workshop.library.retry(failed.job_id or 0)
    workshop.check()


def test_same_unreadable_file_again_is_tried_again(workshop: LibraryHarness) -> None:
    """Content that failed before is not a duplicate: it gets another try under its document."""
    first = workshop.ready("noise.pdf", bytes(range(256)) * 40)
    again = workshop.add("noise.pdf", bytes(range(256)) * 40)
    assert not again.duplicate
    assert again.document.id == first.id
    workshop.idle()
    assert workshop.library.document(first.id).status is DocumentStatus.FAILED
    assert [job.attempts for job in workshop.library.jobs()] == [2]
    workshop.check()


def test_interrupted_upload_leaves_nothing(workshop: LibraryHarness) -> None:
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
        workshop.library.add(Sender(3), "half.txt")  # type: ignore[arg-type]
    with pytest.raises(TooLargeError):
        workshop.library.add(Sender(workshop.settings.upload_limit_mb + 1), "big.txt")  # type: ignore[arg-type]
    assert workshop.library.count_documents() == 0
    assert workshop.stored_files() == set()


@pytest.mark.parametrize(
    "name", ["../../../etc/cron.d/x", "nul\x00name.txt", "n" * 300 + ".txt", "a\u202etxt.exe", "<script>x</script>"]
)
def test_hostile_names_are_only_ever_shown(workshop: LibraryHarness, name: str) -> None:
    """Whatever a file is called, it lies under a name of our own inside the data folder and becomes ready."""
    document = workshop.ready(name, text_about("gulls"))
    assert document.status is DocumentStatus.READY
    path, _document = workshop.library.original(document.id)
    assert path.resolve().is_relative_to((workshop.settings.data_dir / "files").resolve())
    assert set(path.name) <= set("0123456789abcdef")
    assert len(document.name) <= 255
    workshop.check()


def test_full_queue_says_so_and_keeps_nothing(tmp_path: Path, embedder: Embedder) -> None:
    """Past the limit of waiting jobs a file is refused, with nothing left behind; a duplicate is still answered."""
    with LibraryHarness(tmp_path / "data", embedder, start=False, queue_limit=2) as workshop:
        workshop.add("a.txt", "alpha")
        workshop.add("b.txt", "beta")
        with pytest.raises(BusyError, match="2 files are waiting"):
            workshop.add("c.txt", "gamma")
        assert workshop.add("d.txt", "beta").duplicate
        assert len(workshop.stored_files()) == 2
        assert workshop.library.count_documents() == 2


def test_a_file_that_is_deleted_right_behind_its_intake_was_taken(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever hands a file in gets its document, also when somebody else deletes that at the same moment."""
    with LibraryHarness(tmp_path, embedder, start=False) as workshop:
        found = workshop.library.documents

        def meanwhile() -> None:
            monkeypatch.undo()
            workshop.library.delete([document.id for document in found()])

        monkeypatch.setattr(workshop.ingestion, "wake", meanwhile)
        assert workshop.add("fleeting.txt", text_about("mayflies")).document.name == "fleeting.txt"
        assert workshop.library.count_documents() == 0
