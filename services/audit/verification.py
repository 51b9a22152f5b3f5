"""Verification of the audit log: the chain, the signatures, the gaps, and in words what is wrong and where.

What it cannot find: records after the last signed head that were cut off so that nothing of them is left, which is a
minute's at most while the service runs; and what somebody did who has the private key or replaced it, unless the
verification has a public key that was kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from services.audit.chain import GENESIS, AuditHead, AuditRecord, HeadKind, head_bytes, head_hash, name_hash
from services.audit.continuity import Continuity
from services.audit.findings import AuditFinding, AuditProblem, AuditProblems
from services.audit.record_ranges import RecordRanges
from services.audit.signing import LastHead, TrustedKeys
from services.audit.store import AuditStore
from services.core.auditing import Action
from services.core.errors import DamagedError
from services.core.i18n import _

_ATTEMPTS = 3  # retention may remove records while they are read


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found.

    Attributes:
        records: how many there are, from `first` to `last` (0 in an empty log).
        signed: the last record that a valid signature covers; `signed_at` when it was made, in seconds since 1970.
        heads: how many signed statements there are.
        removed: up to which record retention has removed them, by a signed statement; 0: none was.
        problems: the first ones that were found; `more` is how many more there are.
        keys: the fingerprints of the public keys that were trusted.
    """

    records: int = 0
    first: int = 0
    last: int = 0
    signed: int = 0
    signed_at: float | None = None
    heads: int = 0
    removed: int = 0
    problems: tuple[AuditProblem, ...] = ()
    more: int = 0
    keys: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def unsigned(self) -> int:
        """How many records came after the last signature."""
        return max(0, self.last - max(self.signed, self.removed))


def verify(store: AuditStore, keys: TrustedKeys, last_head: LastHead) -> Verification:
    """Return what is wrong with the log in `store`; reads all of it, in portions, also while it is written.

    Args:
        store: what is verified.
        keys: whose signatures are accepted.
        last_head: the copy of the newest head outside of the database.
    """
    found = Verification()
    for _attempt in range(_ATTEMPTS):
        before = store.last_removal()
        found = _Verifier(store, keys, last_head, before).run()
        if found.whole or store.last_removal() == before:
            break
    return found


class _Verifier:
    def __init__(self, store: AuditStore, keys: TrustedKeys, last_head: LastHead, removal: AuditHead | None) -> None:
        self._store = store
        self._keys = keys
        self._copy = last_head
        self._problems = AuditProblems()
        # Without a valid signature it is none: what was removed is missing then.
        self._removal = removal if removal is not None and self._is_signed(removal) else None
        self._removed = self._removal.seq if self._removal is not None else 0
        self._nameless = RecordRanges()
        self._erased: list[str] = []
        self._signed: AuditHead | None = None
        self._heads = 0

    def run(self) -> Verification:
        copy = self._read_copy()
        # Heads that come from now on speak of records that may not have been read.
        newest = self._store.state().head
        known = takewhile(lambda head: newest is not None and head.number <= newest.number, self._store.heads())
        heads = (head for head in self._valid(known) if head.kind == HeadKind.HEAD and head.seq > self._removed)
        head = next(heads, None)
        count, first, last = 0, 0, self._removed
        previous = self._removal.hash if self._removal is not None else GENESIS
        for record in Continuity(self._problems, last, previous).checked(self._store.records()):
            while head is not None and head.seq < record.seq:  # its record is missing, which was said
                head = next(heads, None)
            while head is not None and head.seq == record.seq:
                self._compare(head, record)
                head = next(heads, None)
            self._check_name(record)
            first, last, count = first or record.seq, record.seq, count + 1
        while head is not None:
            self._cut_off(head, last)
            head = next(heads, None)
        self._check_copy(copy, newest, last)
        for missing in self._nameless.outside(self._erased):
            self._problems.add_nameless(*missing)
        if count and not self._heads and self._keys.fingerprints:
            self._problems.add(
                AuditFinding.HEAD_REMOVED, 0, _("There is a key, but no signed head: they were removed.")
            )
        signed = self._signed
        return Verification(
            records=count,
            first=first,
            last=last,
            signed=signed.seq if signed is not None else 0,
            signed_at=signed.time / 1e6 if signed is not None else None,
            heads=self._heads,
            removed=self._removed,
            problems=tuple(self._problems.found),
            more=self._problems.more,
            keys=tuple(self._keys.fingerprints),
        )

    # Names

    def _check_name(self, record: AuditRecord) -> None:
        if record.action == Action.NAMES_ERASED:
            self._erased.append(record.target_id)
        if record.target_name is None:
            if record.name_hash:
                self._nameless.add(record.seq)
        elif record.name_hash != name_hash(record.salt or "", record.target_name):
            self._problems.add_record(AuditFinding.NAME_CHANGED, record.seq)

    # Heads

    def _is_signed(self, head: AuditHead) -> bool:
        return self._keys.verify(head.key, head.signature, head_bytes(head))

    def _valid(self, heads: Iterator[AuditHead]) -> Iterator[AuditHead]:
        """Yield the heads with a valid signature; each is compared with the one before."""
        expected = self._removal.heads_removed + 1 if self._removal is not None else 1
        before: AuditHead | None = None
        strangers: set[str] = set()
        for head in heads:
            self._heads += 1
            if head.number < expected and before is None:
                text = _("Signed head {number} is there although retention has removed it: it was inserted.")
                self._problems.add(AuditFinding.HEAD_CHANGED, head.seq, text.format(number=head.number))
                continue
            if head.number != expected:
                text = _("Signed head {number} is missing: it was removed.")
                self._problems.add(AuditFinding.HEAD_REMOVED, head.seq, text.format(number=expected))
            elif before is not None and head.previous != head_hash(before):
                text = _("Signed head {number} does not follow the one before it: one of the two was changed.")
                self._problems.add(AuditFinding.HEAD_CHANGED, head.seq, text.format(number=head.number))
            expected, before = head.number + 1, head
            if not self._keys.knows(head.key):
                if head.key not in strangers:
                    self._replaced(head)
                strangers.add(head.key)
            elif not self._is_signed(head):
                text = _("The signature of head {number} is not valid: the head was changed.")
                self._problems.add(AuditFinding.HEAD_CHANGED, head.seq, text.format(number=head.number))
            else:
                yield head

    def _replaced(self, head: AuditHead) -> None:
        text = _(
            "From signed head {number} on another key has signed ({key}): the key was replaced, or the public key that "
            "is compared with is not the log's."
        )
        self._problems.add(AuditFinding.KEY_REPLACED, head.seq, text.format(number=head.number, key=head.key[:16]))

    def _compare(self, head: AuditHead, record: AuditRecord) -> None:
        if head.hash == record.hash:
            self._signed = head
            return
        text = _(
            "Record {number} has another hash than signed head {head} says: it, or one before it, was changed and the "
            "chain made anew."
        )
        self._problems.add(AuditFinding.CHANGED, record.seq, text.format(number=record.seq, head=head.number))

    def _cut_off(self, head: AuditHead, last: int) -> None:
        text = _("The log ends with record {last}, signed head {head} speaks of record {number}: its end was cut off.")
        message = text.format(last=last, head=head.number, number=head.seq)
        self._problems.add(AuditFinding.CUT_OFF, head.seq, message)

    # The copy of the newest head

    def _read_copy(self) -> AuditHead | None:
        try:
            return self._copy.read()
        except DamagedError as error:
            self._problems.add(AuditFinding.HEAD_CHANGED, 0, error.message)
            return None

    def _check_copy(self, copy: AuditHead | None, newest: AuditHead | None, last: int) -> None:
        path = self._copy.path
        if copy is None:
            if newest is not None and not path.exists():
                text = _("The file {path} with the newest signed head is missing.")
                self._problems.add(AuditFinding.HEAD_REMOVED, 0, text.format(path=path))
        elif not self._is_signed(copy):
            text = _("The signature in the file {path} is not valid: the file was changed, or the key was replaced.")
            self._problems.add(AuditFinding.HEAD_CHANGED, 0, text.format(path=path))
        elif newest is None or copy.number > newest.number:
            text = _(
                "Head {number} was signed for record {record} and is no longer in the database, which ends with record "
                "{last}: its end was cut off, or an older state was put back."
            )
            message = text.format(number=copy.number, record=copy.seq, last=last)
            self._problems.add(AuditFinding.CUT_OFF, copy.seq, message)
