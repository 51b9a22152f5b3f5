"""Checks an SQLite file before it is opened, and moves the write-ahead log into it, with the checksums of its pages.

A damaged database is refused and left as it is. SQLite's own checkpoints are switched off: each would change pages
without their checksums (`page_checksums.py`).
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from services.core.database.page_checksums import PageCheck, PageChecksums, SumsState, text_of_pages
from services.core.database.write_ahead_log import FRAME_HEADER_BYTES, HEADER_BYTES, LogState, frame_count, read_log
from services.core.errors import DamagedError, StorageError
from services.core.i18n import _, plural

# As SQLite does by itself (https://www.sqlite.org/wal.html#automatic_checkpoint): 4 MB.
FRAMES_PER_CHECKPOINT = 1000
# Of a start that may be spent on checking pages, about 4 GB from the system's cache; `check_some` does the rest.
CHECK_SECONDS = 4.0
_STEPS_PER_CALL = 20_000  # of SQLite's machine, some milliseconds


class CheckedFile:
    """One SQLite file with the checksums of its pages. Not thread-safe: `Database` calls it under its lock of writers.

    `notes` are findings, in words, that did not prevent the file from being opened.
    """

    def __init__(self, path: Path) -> None:
        """Check the file; nothing of it is changed.

        Raises:
            DamagedError: pages are not as they were written, or work that was committed is missing.
            StorageError: it cannot be read.
        """
        self.path = path
        self.notes: list[str] = []
        self._keeper: sqlite3.Connection | None = None
        self._log = -1
        self._salts = b""
        self._counted = self._followed = 0
        self._next = 1
        try:
            self.sums = PageChecksums(path)
        except OSError as error:
            raise _unreadable(path, error) from error
        try:
            self._check()
        except OSError as error:
            self.sums.close()
            raise _unreadable(path, error) from error
        except DamagedError:
            self.sums.close()
            raise

    def open(self) -> None:
        """Open the file, which keeps SQLite from copying the log when another connection is closed.

        Raises:
            DamagedError: SQLite finds that it is damaged.
        """
        keeper = sqlite3.connect(self.path, timeout=10.0, isolation_level=None, check_same_thread=False)
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0", "cache_size=-64"):
                keeper.execute(f"PRAGMA {pragma}").fetchall()
            keeper.execute("SELECT count(*) FROM sqlite_schema").fetchall()
            if not self.sums.usable:
                self._check_structure(keeper)
                keeper.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                self.sums.begin(int(keeper.execute("PRAGMA page_size").fetchone()[0]))
            else:
                self.sums.set_open(True)
                self._keeper = keeper
                # After a kill the log may have been copied already, without its checksums.
                self.copy_log(empty=True)
        except sqlite3.DatabaseError as error:
            self._keeper = None
            keeper.close()
            self.sums.close()
            if _is_of_the_disk(error):
                raise _unreadable(self.path, error) from error
            raise damaged(self.path, _("SQLite finds: {reason}.").format(reason=error)) from error
        except BaseException:
            keeper.close()
            self.sums.close()
            raise
        self._keeper = keeper

    def after_write(self) -> None:
        """Move the log into the file if it has become long."""
        self._count_frames()
        if self._counted - self._followed >= FRAMES_PER_CHECKPOINT:
            self.copy_log()

    def copy_log(self, *, empty: bool = False, patience_ms: int = 0) -> bool:
        """Move what is in the log into the file; return whether everything was, and the log emptied if that was asked.

        Readers of an older state prevent it; for emptying they are waited for, `patience_ms` at most.
        """
        keeper = self._keeper
        if keeper is None:
            return True
        _busy, frames, copied = keeper.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if frames > 0:
            self._follow(frames, copied)
        if copied < frames or not empty:
            return bool(copied >= frames)
        keeper.execute(f"PRAGMA busy_timeout={patience_ms}")
        return not keeper.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]

    def check_some(self, pages: int) -> PageCheck:
        """Check the next `pages` pages, after the last one the first again.

        Needs no lock, and may take a page that is just being written for damaged.
        """
        if not self.sums.usable:
            return PageCheck()
        found = self.sums.check(self._next, seconds=1.0, most=pages)
        self._next = 1 if found.complete else found.next
        return found

    def recheck(self, pages: tuple[int, ...]) -> tuple[int, ...]:
        """Return those of the pages that are damaged; nobody may copy the log meanwhile."""
        return tuple(page for page in pages if self.sums.check(page, seconds=1.0, most=1).damaged)

    def damage(self, pages: tuple[int, ...]) -> DamagedError:
        """Return the error that says which pages are damaged."""
        text = plural(
            "{count} page of {all} is not as it was written (number {pages}).",
            "{count} pages of {all} are not as they were written (numbers {pages}).",
            len(pages),
            all=f"{self.sums.pages:,}",
            pages=text_of_pages(pages),
        )
        return damaged(self.path, text)

    def close(self, *, complete: bool) -> None:
        """Close the file; `complete`: the whole log was moved into it, and nobody else uses it."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            if complete and self.sums.usable:
                self.sums.set_open(False)
            else:
                self.sums.forget()  # SQLite will copy the log when the last reader ends
            keeper.close()
        if self._log >= 0:
            os.close(self._log)
            self._log = -1
        self.sums.close()

    def _check(self) -> None:
        sums, size = self.sums, self.sums.size()
        if not size and (sums.pages or sums.state is SumsState.DAMAGED):
            raise damaged(self.path, _("It is empty, or was removed."))
        log = read_log(self.path)
        if log.lost and log.needed:
            text = plural(
                "The write-ahead log {log} lacks {count} page that was stored.",
                "The write-ahead log {log} lacks {count} pages that were stored.",
                log.lost,
                log=self._log_path().name,
            )
            raise damaged(self.path, text)
        if sums.state is SumsState.OPEN and log.needed and not self._log_path().exists():
            raise damaged(self.path, _("Its write-ahead log {log} was removed.").format(log=self._log_path().name))
        if sums.state is SumsState.CLOSED and log.frames:
            raise damaged(
                self.path, _("The write-ahead log {log} does not belong to it.").format(log=self._log_path().name)
            )
        if sums.usable:
            self._check_pages(log)
        if sums.state is SumsState.DAMAGED:
            self.notes.append(
                _("The checksums of {file} were damaged; SQLite found the file sound, and they were made anew.").format(
                    file=self.path.name
                )
            )
        if log.lost:
            self._set_log_aside()
        elif log.torn and sums.state is SumsState.OPEN and not self._index_path().exists():
            self.notes.append(
                _(
                    "The last transaction in the log of {file} is incomplete, as after a power cut, and was left out."
                ).format(file=self.path.name)
            )

    def _check_pages(self, log: LogState) -> None:
        sums = self.sums
        # Copied or not: their checksums may not be recorded yet.
        exempt = log.pages if not log.lost else frozenset[int]()
        found = sums.check(seconds=CHECK_SECONDS, exempt=exempt)
        if found.damaged:
            raise self.damage(found.damaged)
        if found.sums_damaged:
            sums.state = SumsState.DAMAGED
        elif not found.complete:
            self._next = found.next

    def _check_structure(self, keeper: sqlite3.Connection) -> None:
        """Have SQLite check the file, as far as it comes in `CHECK_SECONDS`."""
        deadline = time.monotonic() + CHECK_SECONDS
        keeper.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_PER_CALL)
        try:
            found = [str(row[0]) for row in keeper.execute("PRAGMA integrity_check(3)")]
        except sqlite3.OperationalError as error:
            if "interrupt" not in str(error):
                raise
            found = ["ok"]
        finally:
            keeper.set_progress_handler(None, 0)
        if found != ["ok"]:
            raise sqlite3.DatabaseError("; ".join(found))

    def _set_log_aside(self) -> None:
        """Put a damaged log out of SQLite's way; the file has everything that was in it."""
        self._index_path().unlink(missing_ok=True)
        if not self._log_path().exists():
            return
        aside = set_aside(self._log_path())
        self.notes.append(
            _(
                "The write-ahead log of {file} was damaged; everything in it had been stored. It was kept as {name}."
            ).format(file=self.path.name, name=aside.name)
        )

    def _follow(self, frames: int, copied: int) -> None:
        """Record the checksums of what was copied into the file: the first `copied` of `frames` frames."""
        if not self.sums.usable:
            return
        try:
            self._record(frames, copied)
        except OSError:
            # The log may begin anew before there is room again: checksums that lag behind would look like damage.
            self.sums.forget()
            raise

    def _record(self, frames: int, copied: int) -> None:
        self._count_frames()
        if copied <= self._followed:
            return
        size = FRAME_HEADER_BYTES + self.sums.page_size
        last: dict[int, int] = {}
        for frame in range(self._followed, frames):
            header = os.pread(self._log, 8, HEADER_BYTES + frame * size)
            last[int.from_bytes(header[:4], "big")] = frame
        header = os.pread(self._log, 8, HEADER_BYTES + (frames - 1) * size)
        pages = int.from_bytes(header[4:], "big")
        # SQLite leaves out pages of which the log has a newer state that it may not copy yet.
        last = {page: frame for page, frame in last.items() if page <= pages and frame < copied}
        if copied < frames:
            # The file becomes shorter once everything is copied, and is no longer yet than what was.
            pages = max([self.sums.pages, *last])  # of none where the log has newer states of all
        changed = {
            page: self.sums.sum_of(os.pread(self._log, size, HEADER_BYTES + frame * size)[FRAME_HEADER_BYTES:])
            for page, frame in last.items()
        }
        self.sums.follow(changed, pages)
        self._followed = copied

    def _count_frames(self) -> None:
        if self._log < 0:
            self._log = os.open(self._log_path(), os.O_RDONLY | os.O_CLOEXEC)
        salts = os.pread(self._log, 8, 16)
        if salts != self._salts:
            self._salts, self._counted, self._followed = salts, 0, 0
        if salts:
            self._counted = frame_count(self._log, salts, self._counted, self.sums.page_size)

    def _log_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}-wal")

    def _index_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}-shm")


def forget_checksums(database: Path) -> None:
    """Delete the checksums of a file that is about to be written without them; they are made anew when it is checked.

    The file is then checked by SQLite alone.
    """
    with suppress(OSError):
        PageChecksums.path_of(database).unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename a damaged file so that its name says so, and return the new path; a file of that name is replaced."""
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    path.replace(aside)
    return aside


def damaged(path: Path, what: str) -> DamagedError:
    """Return the error that refuses a damaged database: what is damaged, what was kept, how it goes on."""
    return DamagedError(
        _("The database {path} is damaged. {what} Nothing in it was changed.").format(path=path, what=what),
        _(
            "Put a copy of the whole data folder back, or start on another with --data-dir. If another program has "
            "changed the file on purpose, delete {sums}: SQLite's own check decides then."
        ).format(sums=f"{path.name}-sums"),
    )


def _unreadable(path: Path, error: Exception) -> StorageError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return StorageError(
        _("The database {path} cannot be opened: {reason}. Nothing in it was changed.").format(
            path=path, reason=reason
        ),
        _("Check the permissions of the data folder and its files, or choose another with --data-dir."),
    )


def _is_of_the_disk(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL} or (
        error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_IOERR
    )
