from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.core.actor import SERVICE
from services.core.errors import StorageError
from services.knowledge.embedding import Embedder
from services.knowledge.types import DocumentStatus
from tests.knowledge.library_harness import LibraryHarness, text_about


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Mount a disk of its own on `folder`; skips where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a disk needs root; the test with a limit on file sizes covers the same")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_disk_runs_full_in_the_middle_of_ingestion(tmp_path: Path, embedder: Embedder) -> None:
    """The job in work fails with a reason and a hint, questions can still be asked, and with room it can be retried."""
    with (
        small_disk(tmp_path / "disk", 6),
        LibraryHarness(tmp_path / "disk" / "data", embedder, start=False, free_disk_mb=0) as harness,
    ):
        harness.add("small.txt", text_about("mice"))
        big = harness.add("big.txt", text_about("mammoths", 400))
        ballast = tmp_path / "disk" / "ballast"
        room = 300_000
        with ballast.open("wb") as file:
            free = int(subprocess.check_output(["stat", "-f", "-c", "%a", str(tmp_path / "disk")])) * 4096
            file.write(bytes(max(free - room, 0)))
        harness.ingestion.start()
        harness.idle()
        failed = harness.library.document(SERVICE, big.document.id)
        assert failed.status is DocumentStatus.FAILED
        assert "could not be" in failed.error
        assert failed.hint
        assert harness.matching("mous") or harness.matching("mice")
        assert harness.matching("mammoth") == []
        harness.check()
        with pytest.raises(StorageError):
            harness.add("more.txt", b"m" * 3_000_000)
        ballast.unlink()
        harness.library.jobs.retry(SERVICE, failed.job_id or 0)
        harness.idle()
        assert harness.library.document(SERVICE, failed.id).status is DocumentStatus.READY
        harness.check()


def test_database_that_cannot_grow_fails_the_job_alone(tmp_path: Path, embedder: Embedder) -> None:
    """When the database's files may not grow any more, the job fails, what was ready stays, and a retry succeeds."""
    with LibraryHarness(tmp_path / "data", embedder) as harness:
        kept = harness.ready("kept.txt", text_about("shrews"))
        harness.ingestion.close()
        big = harness.add("big.txt", text_about("giants", 300))
    with LibraryHarness(tmp_path / "data", embedder, start=False) as harness:
        with file_size_limit(200_000):
            harness.ingestion.start()
            harness.idle()
        failed = harness.library.document(SERVICE, big.document.id)
        assert failed.status is DocumentStatus.FAILED
        assert failed.hint
        assert harness.library.document(SERVICE, kept.id).status is DocumentStatus.READY
        harness.check()
        harness.library.jobs.retry(SERVICE, failed.job_id or 0)
        harness.idle()
        assert harness.library.document(SERVICE, failed.id).status is DocumentStatus.READY
        harness.check()
