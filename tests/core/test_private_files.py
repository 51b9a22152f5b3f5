from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.core.private_files import create_file, make_folder, mend, remove_unfinished, write_whole


@pytest.fixture(params=[0o000, 0o022, 0o377])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> str:
    return oct(path.stat().st_mode & 0o7777)


@pytest.mark.usefixtures("umask")
def test_files_and_folders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    """A generous umask opens them to others, a strict one to nobody."""
    make_folder(tmp_path / "a" / "b")
    file = tmp_path / "a" / "b" / "c"
    with create_file(file, exclusive=True) as stream:
        stream.write(b"first")
    with create_file(file) as stream:
        stream.write(b"x")
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b"), mode(file)) == ("0o700", "0o700", "0o600")
    assert file.read_bytes() == b"x"
    make_folder(tmp_path / "a" / "b")
    with pytest.raises(FileExistsError):
        make_folder(file)
    with pytest.raises(FileExistsError):
        create_file(file, exclusive=True)


def test_what_was_open_to_others_is_mended(tmp_path: Path) -> None:
    """Files of older versions and restored backups; what a link points at is not touched."""
    outside = tmp_path / "outside"
    outside.write_text("of somebody else")
    outside.chmod(0o644)
    folder = tmp_path / "data"
    (folder / "index").mkdir(parents=True)
    (folder / "index" / "ids.npy").write_text("1")
    (folder / "index" / "ids.npy").chmod(0o644)
    (folder / "link").symlink_to(outside)
    for each in (folder, folder / "index"):
        each.chmod(0o755)
    assert mend(folder) == 3
    assert mend(folder) == 0
    assert (mode(folder), mode(folder / "index"), mode(folder / "index" / "ids.npy")) == ("0o700", "0o700", "0o600")
    assert mode(outside) == "0o644"


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed in the middle leaves what was there, and a file that the next start removes."""
    file = tmp_path / "key"
    write_whole(file, b"first")
    with pytest.raises(FileExistsError):
        write_whole(file, b"second", exclusive=True)
    assert [each.name for each in tmp_path.iterdir()] == ["key"]

    def killed(_descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            write_whole(file, b"second")
    assert file.read_bytes() == b"first"
    assert len(list(tmp_path.iterdir())) == 2
    remove_unfinished(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["key"]
    write_whole(file, b"second")
    assert (file.read_bytes(), mode(file)) == (b"second", "0o600")


def test_a_disk_that_is_full_keeps_nothing_of_what_it_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Halves of files that could not be written would fill it for good."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = tmp_path / "result.json"
    write_whole(file, b"first")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(file, b"second")
    assert [each.name for each in tmp_path.iterdir()] == ["result.json"]
    assert file.read_bytes() == b"first"
