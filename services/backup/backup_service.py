"""Backups of a server at work: by the clock or when an administrator asks, one at a time, behind everything else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from services.backup.backup_events import report_made, report_verified
from services.backup.backup_types import BackupGeneration, BackupSource, BackupStage, BackupStatus
from services.backup.checking import BackupChecker, ReadKey
from services.backup.destination import Destination
from services.backup.generations import generation_of, read_heads
from services.backup.making import make_backup, remove_left_over, require_apart, staging_folder
from services.backup.manifest import SignatureKeys, Signer
from services.backup.pacing import Pace
from services.backup.retention import RetentionRule
from services.core.actor import Actor, Permission
from services.core.auditing import Action
from services.core.backup_settings import BackupSettings
from services.core.claims import ALONE, ClaimKind, Claims
from services.core.errors import (
    CancelledError,
    ConflictError,
    MillpondError,
    NotFoundError,
    StorageError,
)
from services.core.events import EventKind, EventSink
from services.core.i18n import _
from services.core.kept_text import kept, read_kept
from services.core.preferences import Preferences
from services.core.thread_priority import start_low_priority_thread

log = structlog.get_logger(__name__)

_PREFERENCE = "backups"
_POLL_SECONDS = 30.0
_RETRY_SECONDS = 900.0  # after a failure
_CLOSE_SECONDS = 30.0
_TURN_SECONDS = 5.0  # until it is asked again whether another node has finished
_HOUR = 3600.0
_CLAIM = ClaimKind.BACKUP


class Backups:
    """Makes and verifies backups in a thread of low priority; what it tells it has in memory. Thread-safe."""

    def __init__(  # noqa: PLR0917 - the composition root calls it, nobody else
        self,
        source: BackupSource,
        settings: BackupSettings,
        signer: Signer,
        read_key: ReadKey,
        preferences: Preferences,
        reporter: EventSink,
        *,
        busy: Callable[[], bool],
        before: Callable[[], object] = lambda: None,
        claims: Claims = ALONE,
        node: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        """Read what was kept of the last run; begin nothing.

        Args:
            source: what is backed up.
            settings: where to, how often, and what is kept.
            signer: signs the manifests.
            read_key: reads a public key.
            preferences: what is known across restarts.
            reporter: where events go.
            busy: whether questions are being answered.
            before: called before each backup.
            claims: has one node at a time make or verify backups.
            node: the name of this node, where several share the database; what one knows of the last run, all tell.
            now: seconds since 1970.
        """
        self._source = source
        self._path = Path(settings.backup_destination) if settings.backup_destination else None
        self._seconds = settings.backup_hours * _HOUR
        self._rule = RetentionRule.of(settings)
        self._signer = signer
        self._read_key = read_key
        self._preferences = preferences
        self._reporter = reporter
        self._busy = busy
        self._before = before
        self._claims = claims
        self._node = node
        self._now = now
        self._began = now()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._wanted: BackupStage | None = None
        self._stage = BackupStage.IDLE
        self._total = self._done = self._base = 0
        self._generations: tuple[BackupGeneration, ...] = ()
        # Of the newest one that this server knows of, also while its disk is not mounted.
        self._last_at: float | None = None
        self._made_by = ""
        self._failed: dict[str, Any] = {}
        self._verified: dict[str, list[float]] = {}
        self._recall()
        preferences.on_changed(_PREFERENCE, lambda: with_log("recall", self._recall))

    @property
    def configured(self) -> bool:
        """Whether there is a folder to write backups to."""
        return self._path is not None

    def start_worker(self) -> None:
        """Start to make backups by the clock; without a destination nothing is started."""
        if self._path is not None and self._thread is None:
            self._thread = start_low_priority_thread("backup", self._run)

    def close(self) -> None:
        """Stop what is done; the next start begins it anew and uses what was copied."""
        self._stopping.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)

    def start_backup(self, actor: Actor) -> BackupStatus:
        """Have a backup made now, and return the status.

        Raises:
            ForbiddenError: `actor` may not configure the service.
            ConflictError: there is no destination, or a backup is being made or verified, here or at another node.
        """
        actor.require(Permission.CONFIGURE, _("Make a backup"))
        self._want(BackupStage.FILES)
        self._reporter.audit(actor, Action.BACKUP_STARTED)
        return self.status()

    def start_verification(self, actor: Actor) -> BackupStatus:
        """Have the newest backup verified now, and return the status; errors as for `start_backup`."""
        actor.require(Permission.CONFIGURE, _("Verify a backup"))
        self._want(BackupStage.VERIFYING)
        self._reporter.audit(actor, Action.BACKUP_VERIFIED)
        return self.status()

    def status(self) -> BackupStatus:
        """Return where backups are; asks no disk."""
        with self._lock:
            failed, stage = self._failed, self._stage
            if stage is BackupStage.IDLE and self._wanted is not None:
                stage = self._wanted
            status = BackupStatus(
                destination=str(self._path or ""),
                hours=self._seconds / _HOUR,
                stage=stage,
                done=self._done,
                total=self._total,
                last_at=self._last_at,
                made_by=self._made_by if self._made_by != self._node else "",
                due_at=self._due_at(),
                failed_at=failed.get("at"),
                error=read_kept(failed.get("error", "")),
                hint=read_kept(failed.get("hint", "")),
                warning="",
                generations=self._generations,
            )
        return replace(status, warning=self._warning(status))

    # Decisions

    def _want(self, what: BackupStage) -> None:
        if self._path is None:
            raise ConflictError(
                _("No folder for backups is set; nothing was done."),
                _("Set MILLPOND_BACKUP_DESTINATION and start Millpond again."),
            )
        node = self._claims.owner(_CLAIM)
        with self._lock:
            if node or self._stage is not BackupStage.IDLE or self._wanted is not None:
                raise _under_way(node)
            self._wanted = what
        self._woken.set()

    def _due_at(self) -> float | None:
        if self._path is None or not self._seconds:
            return None
        due = self._began if self._last_at is None else self._last_at + self._seconds
        if self._failed:
            due = max(due, self._failed["at"] + min(_RETRY_SECONDS, self._seconds))
        return float(due)

    def _warning(self, status: BackupStatus) -> str:
        if self._path is None and not self._made_by:
            return ""
        if status.failed_at is not None:
            return _("The last backup failed: {reason}").format(reason=status.error)
        if self._seconds and self._now() - (status.last_at or self._began) > 2 * self._seconds:
            return _("The last backup is older than twice the time between two.")
        if status.generations and status.generations[0].problems:
            return _("The newest backup is damaged.")
        return ""

    # The thread

    def _run(self) -> None:
        with_log("left over", lambda: remove_left_over(self._source.folder))
        while not self._stopping.is_set():
            with_log("list", self._refresh)
            with self._lock:
                wanted, due = self._wanted, self._due_at()
            waits = _POLL_SECONDS if due is None else min(_POLL_SECONDS, max(0.1, due - self._now()))
            if wanted is not None or (due is not None and due <= self._now()):
                waits = 0.0 if self._work_in_turn() else _TURN_SECONDS
            if waits:
                self._woken.wait(waits)
                self._woken.clear()

    def _work_in_turn(self) -> bool:
        """Do what is wanted or due, unless another node is at work; return whether it was our turn."""
        try:
            with self._claims.held(_CLAIM) as ours:
                if ours:
                    # Another node may have made one since.
                    self._recall()
                    with_log("list", partial(self._refresh, anew=True))
                    self._work()
                return ours
        except MillpondError as error:
            log.warning("no turn for a backup", reason=str(error))
            return False

    def _work(self) -> None:
        with self._lock:
            wanted, due = self._wanted, self._due_at()
        if wanted is BackupStage.VERIFYING:
            self._attempt(self._verify)
        elif wanted is not None or (due is not None and due <= self._now()):
            self._attempt(partial(self._make, asked=wanted is not None))

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except CancelledError:
            pass
        except MillpondError as error:
            self._fail(error.args[0] if error.args else str(error), error)
        except Exception as error:
            log.exception("backup failed")
            self._fail(_("An unexpected error; the log says more."), error)
        finally:
            with self._lock:
                self._stage, self._wanted, self._done, self._total = BackupStage.IDLE, None, 0, 0

    def _make(self, *, asked: bool) -> None:
        assert self._path is not None  # noqa: S101 - the thread runs only then
        began = self._now()
        pace = self._pace(BackupStage.FILES)
        require_apart(self._source.folder, self._path)
        if self._last_at is not None and not self._generations and not asked:
            raise StorageError(
                _("{path} has no backups any more, though there were some; nothing was written.").format(
                    path=self._path
                ),
                _("Mount its disk. To begin anew there, have a backup made now."),
            )
        self._before()
        with Destination(self._path, create=True) as destination:
            made = make_backup(
                self._source,
                destination,
                self._signer,
                self._rule,
                pace,
                now=self._now,
                report=lambda stage, total: self._report(pace, stage, total),
            )
        with self._lock:
            self._failed = {}
            self._last_at, self._made_by = made.head.made_at, self._node
        self._save()
        self._refresh()
        seconds = self._now() - began
        report_made(self._reporter, made.head, seconds)
        log.info(
            "backup made", name=made.head.name, seconds=round(seconds, 1), copied=made.head.copied, removed=made.removed
        )

    def _verify(self) -> None:
        assert self._path is not None  # noqa: S101 - the thread runs only then
        if not self._generations:
            raise NotFoundError(_("There are no backups in {path}.").format(path=self._path))
        newest = self._generations[0]
        pace = self._pace(BackupStage.VERIFYING)
        self._report(pace, BackupStage.VERIFYING, newest.size)
        keys: SignatureKeys | None = None
        if newest.key == self._signer.fingerprint:
            keys = self._read_key(self._signer.public_pem.encode(), self._source.folder)
        with Destination(self._path) as destination, staging_folder(self._source.folder) as scratch:
            found = BackupChecker(destination, self._read_key, pace, keys, scratch=scratch).check(newest.name)
        with self._lock:
            self._verified[newest.name] = [self._now(), len(found.problems)]
        self._save()
        self._refresh(anew=True)
        report_verified(self._reporter, newest.name, found.problems)

    def _pace(self, stage: BackupStage) -> Pace:
        with self._lock:
            self._stage, self._wanted = stage, None
        return Pace(self._busy, self._stopping, self._progress)

    def _report(self, pace: Pace, stage: BackupStage, total: int) -> None:
        with self._lock:
            self._stage, self._total, self._done = stage, total, 0
            self._base = pace.done

    def _progress(self, done: int) -> None:
        with self._lock:
            self._done = min(self._total, done - self._base)

    def _fail(self, message: str, error: Exception) -> None:
        hint = error.hint if isinstance(error, MillpondError) else ""
        with self._lock:
            self._failed = {"at": self._now(), "error": kept(message), "hint": kept(hint)}
        with_log("failure", self._save)
        self._reporter.event(EventKind.BACKUP, _("The last backup failed: {reason}").format(reason=message))
        log.error("backup failed", reason=str(error))

    def _save(self) -> None:
        with self._lock:
            there = {each.name for each in self._generations}
            verified = {name: found for name, found in self._verified.items() if name in there}
            value = {
                "failed": self._failed or None,
                "verified": verified,
                "last_at": self._last_at,
                "node": self._made_by,
            }
        self._preferences.set(_PREFERENCE, value)

    def _recall(self) -> None:
        """Read what was kept of the last run."""
        found = self._preferences.get(_PREFERENCE) or {}
        with self._lock:
            self._last_at, self._made_by = found.get("last_at"), found.get("node", "")
            self._failed = dict(found.get("failed") or {})
            self._verified = dict(found.get("verified") or {})

    def _refresh(self, *, anew: bool = False) -> None:
        """Read what is there, if something came or went."""
        assert self._path is not None  # noqa: S101 - the thread runs only then
        try:
            with Destination(self._path) as destination:
                names = destination.generations()
                if not anew and names == [each.name for each in reversed(self._generations)]:
                    return
                heads = read_heads(destination, names)
        except NotFoundError:
            with self._lock:
                self._generations = ()
            return
        own = self._signer.fingerprint if heads else ""
        last_at = max((head.made_at for head in heads if head.key == own), default=None)
        with self._lock:
            self._generations = tuple(
                generation_of(head, self._verified) for head in sorted(heads, key=lambda head: -head.made_at)
            )
            known = self._last_at
            # Of several nodes one may reach what another one does not.
            found_newer = bool(self._node) and last_at is not None and last_at > (known or 0.0)
            if not self._node or found_newer:
                self._last_at = last_at
            if found_newer:
                self._made_by = ""
            if self._failed and last_at is not None and last_at > self._failed["at"]:
                self._failed = {}  # a command has made one since
        if found_newer:
            self._save()


def with_log(what: str, call: Callable[[], object]) -> None:
    """Call something whose failure is logged and changes nothing else."""
    try:
        call()
    except MillpondError as error:
        log.warning("backups", what=what, reason=str(error))


def _under_way(node: str) -> ConflictError:
    return ConflictError(
        _("A backup is being made or verified already, at the node {node}.").format(node=node)
        if node
        else _("A backup is being made or verified already."),
        _("Wait until it has finished."),
    )
