import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.app.data_folder import lock_folder
from services.core.errors import ConflictError, StorageError
from services.core.settings import Settings
from services.operations.data_lock import LOCK_FILE, DataLock
from tests.servers import ROOT

HOLD = """
import sys
from pathlib import Path
from services.operations.data_lock import DataLock
DataLock(Path(sys.argv[1])).acquire("http://127.0.0.1:4711")
print("held", flush=True)
sys.stdin.read()
"""


def holding(data_dir: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data_dir)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()


def test_free_folder_has_no_owner(tmp_path: Path) -> None:
    """A folder that nobody holds has no owner, whether the lock file exists or not."""
    lock = DataLock(tmp_path)
    assert lock.holder() is None
    lock.acquire("http://127.0.0.1:1")
    lock.release()
    assert (tmp_path / LOCK_FILE).exists()
    assert lock.holder() is None
    assert lock.holder_url() is None


def test_second_process_gets_the_address(tmp_path: Path) -> None:
    """While a process holds the folder, another one learns its address and process id and cannot take it."""
    process = holding(tmp_path)
    try:
        lock = DataLock(tmp_path)
        owner = lock.holder()
        assert owner is not None
        assert (owner.pid, owner.url) == (process.pid, "http://127.0.0.1:4711")
        with pytest.raises(ConflictError, match=r"http://127\.0\.0\.1:4711") as caught:
            lock.acquire("http://127.0.0.1:2")
        assert "--data-dir" in caught.value.hint
        with pytest.raises(ConflictError, match=str(process.pid)):
            lock.require_free()
    finally:
        end(process)


def test_kill_leaves_nothing_to_clean_up(tmp_path: Path) -> None:
    """After the holder was killed the folder is free at once, although its note is still in the file."""
    end(holding(tmp_path))
    assert json.loads((tmp_path / LOCK_FILE).read_text())["url"] == "http://127.0.0.1:4711"
    lock = DataLock(tmp_path)
    lock.require_free()
    lock.acquire("http://127.0.0.1:3")
    lock.release()


def test_lock_is_not_inherited_by_a_program_that_is_started(tmp_path: Path) -> None:
    """A child program that outlives its parent does not keep the folder locked."""
    lock = DataLock(tmp_path)
    lock.acquire()
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        lock.release()
        assert DataLock(tmp_path).holder() is None
    finally:
        child.communicate()


def test_holder_without_a_server_says_so(tmp_path: Path) -> None:
    """A command line at work has no address; the message then names its process."""
    lock = DataLock(tmp_path)
    lock.acquire()
    try:
        with pytest.raises(ConflictError, match=str(os.getpid())):
            DataLock(tmp_path).acquire("http://127.0.0.1:5")
        assert DataLock(tmp_path).holder_url() == ""
    finally:
        lock.release()
        lock.release()


def test_damaged_note_still_locks(tmp_path: Path) -> None:
    """What stands in the file does not matter for whether the folder is held."""
    lock = DataLock(tmp_path)
    lock.acquire("http://127.0.0.1:6")
    (tmp_path / LOCK_FILE).write_text('{"pid": "no number"')
    try:
        with pytest.raises(ConflictError):
            DataLock(tmp_path).acquire()
    finally:
        lock.release()


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    """A folder that does not exist cannot be locked; the message names it and what to do."""
    with pytest.raises(StorageError, match="nowhere") as caught:
        DataLock(tmp_path / "nowhere").acquire()
    assert caught.value.hint


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    """The start is the moment at which nobody else writes in the folder."""
    (tmp_path / "audit.head").write_text("whole")
    (tmp_path / "audit.head.new").write_text("ha")
    with ExitStack() as closing:
        lock_folder(Settings(data_dir=tmp_path), "", 0, closing)
        assert sorted(each.name for each in tmp_path.iterdir()) == ["audit.head", LOCK_FILE]
