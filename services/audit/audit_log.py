"""The audit log: takes records from any thread, chains them, signs the head, erases names, removes what is old.

A record made within a transaction of the database is committed with it, which costs no further fsync; any other is on
disk when `record` returns, together with those that came meanwhile. What the disk refuses waits in RAM and is in the
application's log; if too much waits, the number of lost records is recorded.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog

from services.audit import store
from services.audit.chain import GENESIS, AuditHead, AuditRecord, HeadKind, head_bytes, head_hash, name_hash
from services.audit.record_ranges import written
from services.audit.repeats import Repeats
from services.audit.signing import LastHead, SigningKey
from services.core.actor import SERVICE, Actor
from services.core.auditing import NOTHING, Action, AuditOutcome, Target, TargetKind, Way, current_origin
from services.core.database import Database
from services.core.errors import MillpondError
from services.core.i18n import _, in_english, plural

log = structlog.get_logger(__name__)

SIGN_SECONDS = 60.0
MAX_WAITING = 1000  # records that the disk refused
_MICROSECONDS = 1_000_000
_DAY = 24 * 3600 * _MICROSECONDS
# What the service does by itself and is recorded: data are gone after it.
_OF_THE_SERVICE = frozenset(
    {
        Action.DOCUMENT_DELETED,
        Action.COLLECTION_DELETED,
        Action.CONVERSATION_DELETED,
        Action.QUOTES_ERASED,
        Action.PERSON_DELETED,
    }
)
# Nodes that share the key write one copy of the last head beside it.
_SIGNING = "audit"
_MAX_NAME, _MAX_DETAIL, _MAX_SHORT = 500, 1000, 200


class AuditLog:
    """Appends to the audit log of one database. Thread-safe.

    Where the chain ends is read within each transaction, so several nodes append to one chain.
    """

    def __init__(
        self,
        database: Database,
        key: Path,
        now: Callable[[], float],
        *,
        mask: Callable[[str], str] = str,
        stranger: Callable[[], Actor] = lambda: SERVICE,
    ) -> None:
        """Write to `database`, sign with the key in the file `key`.

        Args:
            database: with the tables of `store`.
            key: where the private key is, or is made.
            now: seconds since 1970, UTC.
            mask: hides personal data and secrets in a text.
            stranger: who acts when nobody has said who.
        """
        self._database = database
        self._now = now
        self._mask = mask
        self._stranger = stranger
        self._key = SigningKey(key)
        self._last_head = LastHead(key)
        self._waiting: deque[AuditRecord] = deque()
        self._lost = 0
        self._failing = False
        # Reentrant: the garbage collector may end something that records in the middle of another record.
        self._writing = threading.RLock()
        self._signing = threading.Lock()
        self._repeats = Repeats()
        self.store = store.AuditStore(database)

    # Recording

    def record(
        self,
        actor: Actor | None,
        action: Action,
        target: Target = NOTHING,
        outcome: AuditOutcome = AuditOutcome.DONE,
        detail: str = "",
    ) -> None:
        """Record that `actor` (None: whoever called) did something; see `services.core.auditing.AuditSink`."""
        who = self._who(actor)
        if who is SERVICE and action not in _OF_THE_SERVICE:
            return  # its budget, its timers: an event
        record = self._made(who, action, target, outcome, detail)
        if outcome is AuditOutcome.REFUSED and not self._repeats.is_new(record, self._now()):
            return  # a flood of them must not fill the disk: their number follows
        if outcome is AuditOutcome.DONE and self._database.at_commit(partial(_append, records=[record])):
            return
        self._waiting.append(record)
        # A refusal in the middle of a transaction undoes it, and is recorded nevertheless.
        if self._database.at_end(partial(self._write, record)):
            return
        self._write(record)

    def _write(self, record: AuditRecord) -> None:
        """Write what waits; the application's log has a record that cannot be written now."""
        if not self.flush():
            log.error(
                "audit record waits",
                action=record.action,
                actor=record.actor,
                target=f"{record.target_kind} {record.target_id}".strip(),
                outcome=record.outcome,
                time=record.time / _MICROSECONDS,
            )

    def flush(self) -> bool:
        """Write what waits; return whether that was possible. If not it is tried again."""
        with self._writing:
            for further in self._repeats.ended(self._now()):
                self._waiting.append(further)
            while len(self._waiting) > MAX_WAITING:
                self._waiting.popleft()
                self._lost += 1
            batch = list(self._waiting)
            count = len(batch)
            if not batch and not self._lost:
                return True
            if self._lost:
                batch.append(self._lost_record())
            try:
                with store.writing(self._database) as connection:
                    _append(connection, records=batch)
            except MillpondError as error:
                if not self._failing:
                    reason = str(error.__cause__ or error)
                    log.error("audit log not written", waiting=count, reason=reason)  # noqa: TRY400 - expected
                self._failing = True
                return False
            for _each in range(count):  # others may have come meanwhile
                self._waiting.popleft()
            self._lost = 0
            self._failing = False
            return True

    def _who(self, actor: Actor | None) -> Actor:
        origin = current_origin()
        nobody = SERVICE if origin.way is Way.SERVICE else self._stranger()
        return actor or origin.actor or nobody

    def _made(self, who: Actor, action: Action, target: Target, outcome: AuditOutcome, detail: str) -> AuditRecord:
        origin = current_origin()
        name = _text(self._mask(in_english(target.name)), _MAX_NAME)
        salt = secrets.token_hex(16) if name else None
        return AuditRecord(
            seq=0,
            time=int(self._now() * _MICROSECONDS),
            actor=_text(who.name, _MAX_SHORT),
            person="" if who.person_id is None else str(who.person_id),
            role=who.role.value,
            way=Way.SERVICE.value if who is SERVICE else origin.way.value,
            token=_text(origin.token, _MAX_SHORT),
            address=_text(origin.address, 64),
            action=action.value,
            target_kind=target.kind.value,
            target_id=_text(str(target.id), _MAX_SHORT),
            target_name=name or None,
            salt=salt,
            name_hash=name_hash(salt, name) if salt else "",
            outcome=outcome.value,
            detail=_text(self._mask(in_english(detail)), _MAX_DETAIL),
            request_id=_text(origin.request_id, 64),
        )

    def _lost_record(self) -> AuditRecord:
        text = plural("{count} record could not be written", "{count} records could not be written", self._lost)
        target = Target(TargetKind.AUDIT, self._lost)
        return self._made(SERVICE, Action.RECORDS_LOST, target, AuditOutcome.FAILED, text)

    # Signing

    def sign(self) -> AuditHead | None:
        """Sign the head of the chain if there are records since the last time; return what was signed.

        Raises:
            MillpondError: the key cannot be used, or the database refuses; the records stay.
        """
        self.flush()
        with self._signing:
            with self._database.read() as connection:
                position, last = store.last_position(connection), store.last_head(connection)
            if not position.seq or (last is not None and last.seq >= position.seq):
                return None
            self._key.prepare()
            with self._database.exclusively(_SIGNING):
                with store.writing(self._database) as connection:
                    position, last = store.last_position(connection), store.last_head(connection)
                    if last is not None and last.seq >= position.seq:
                        return None  # another node has signed them meanwhile
                    head = self._signed(last, HeadKind.HEAD, position)
                    store.add_head(connection, head)
                self._write_last_head(head)
        # Whoever keeps the log elsewhere has a witness there.
        log.info("audit head signed", number=head.number, record=head.seq, hash=head.hash, key=head.key)
        return head

    def sign_in_time(self) -> None:
        """Sign as `sign` does; a failure is logged and tried again at the next call."""
        try:
            self.sign()
        except MillpondError as error:
            log.error("audit log not signed", reason=str(error))  # noqa: TRY400 - expected, no traceback

    def _signed(
        self,
        last: AuditHead | None,
        kind: HeadKind,
        position: store.Position,
        *,
        first: int = 0,
        heads_removed: int = 0,
    ) -> AuditHead:
        head = AuditHead(
            number=1 if last is None else last.number + 1,
            kind=kind.value,
            time=int(self._now() * _MICROSECONDS),
            seq=position.seq,
            hash=position.hash,
            first=first,
            heads_removed=heads_removed,
            previous=GENESIS if last is None else head_hash(last),
            key=self._key.fingerprint,
        )
        return replace(head, signature=self._key.sign(head_bytes(head)))

    def _write_last_head(self, head: AuditHead) -> None:
        try:
            self._last_head.write(head)
        except OSError as error:
            log.warning(
                "the last head of the audit log was not copied", path=str(self._last_head.path), cause=str(error)
            )

    # What leaves the log

    def erase_names(self, kind: TargetKind, ids: Collection[object]) -> int:
        """Erase the names of what was deleted, by its ids, from all records; return from how many.

        The chain has salted hashes of names and still holds; a record of it says which were erased.

        Raises:
            StorageError: the database could not be written.
        """
        if not ids:
            return 0
        texts = sorted(str(each) for each in ids)
        with self._database.read() as connection:
            numbers = store.named(connection, kind.value, texts)
        if not numbers:
            return 0
        with store.writing(self._database) as connection:
            numbers = store.named(connection, kind.value, texts)  # another node may have erased them meanwhile
            if numbers:
                store.erase_names(connection, numbers)
                _append(connection, records=self._names_erased(numbers))
        return len(numbers)

    def _names_erased(self, numbers: Sequence[int]) -> list[AuditRecord]:
        text = plural("{count} name of what was deleted", "{count} names of what was deleted", len(numbers))
        return [
            self._made(SERVICE, Action.NAMES_ERASED, Target(TargetKind.AUDIT, ranges), AuditOutcome.DONE, text)
            for ranges in written(numbers, _MAX_SHORT)
        ]

    def erase_names_of_missing(self, kind: TargetKind, existing: Callable[[Collection[int]], Collection[int]]) -> int:
        """Erase, as `erase_names`, names of what is no longer there; `existing` returns which of some ids are."""
        with self._database.read() as connection:
            ids = {int(each) for each in store.named_ids(connection, kind.value) if each.isdecimal()}
        return self.erase_names(kind, ids - set(existing(ids)) if ids else ())

    def remove_old(self, days: int) -> int:
        """Remove records older than `days`, up to a signed head; return how many. The removal is signed and recorded.

        Raises:
            MillpondError: the key cannot be used, or the database refuses; nothing was removed.
        """
        limit = int(self._now() * _MICROSECONDS) - days * _DAY
        with self._signing:
            with self._database.read() as connection:
                if store.removable(connection, limit) is None:
                    return 0
            self._key.prepare()
            with self._database.exclusively(_SIGNING):
                with store.writing(self._database) as connection:
                    found = store.removable(connection, limit)
                    if found is None:
                        return 0  # another node has removed them meanwhile
                    anchor, first = found
                    head = self._signed(
                        store.last_head(connection),
                        HeadKind.REMOVAL,
                        store.Position(anchor.seq, anchor.hash),
                        first=first,
                        heads_removed=anchor.number,
                    )
                    store.add_head(connection, head)
                    store.remove_until(connection, anchor)
                    text = _("records {first} to {last}, older than {days} days").format(
                        first=first, last=anchor.seq, days=days
                    )
                    target = Target(TargetKind.AUDIT, f"{first}-{anchor.seq}")
                    _append(
                        connection,
                        records=[self._made(SERVICE, Action.RECORDS_REMOVED, target, AuditOutcome.DONE, text)],
                    )
                self._write_last_head(head)
        log.info("old audit records removed", first=first, last=anchor.seq)
        return head.count

    def close(self) -> None:
        """Write what waits, and sign."""
        self._repeats.end_all()
        self.flush()
        self.sign_in_time()

    # What is shown

    def state(self) -> AuditState:
        """Return how far the log is recorded and signed."""
        stored = self.store.state()
        head = stored.head
        return AuditState(
            records=stored.records,
            last=stored.position.seq,
            signed=head.seq if head is not None else 0,
            signed_at=head.time / _MICROSECONDS if head is not None else None,
            waiting=len(self._waiting),
        )


@dataclass(frozen=True, slots=True)
class AuditState:
    """How many records there are, the number of the last one, and of the last that a signature covers.

    `signed_at` in seconds since 1970; `waiting` records could not be written yet.
    """

    records: int
    last: int
    signed: int
    signed_at: float | None
    waiting: int


def _append(connection: object, *, records: Sequence[AuditRecord]) -> None:
    store.append(connection, records)  # type: ignore[arg-type]  # only store modules name SQLAlchemy's types


def _text(text: str, most: int) -> str:
    """Return a text as databases store it, and not too long."""
    kept = text.replace("\0", "").encode("utf-8", "replace").decode()
    return kept if len(kept) <= most else f"{kept[: most - 1]}…"
