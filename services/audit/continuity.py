"""Whether each record of the audit log follows the one before it, and if not, what was done to it.

Where a hash is not the one that it should be, the records around it tell what happened: those after one that was
inserted fit without it, one that stands at a wrong place fits another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain, islice

from services.audit.chain import AuditRecord, record_hash
from services.audit.findings import AuditFinding, AuditProblems

_WINDOW = 200  # records before and after, among which the right place of one is sought


class Continuity:
    """Goes through the records in the order of their numbers and adds to `problems` what is wrong with their chain."""

    def __init__(self, problems: AuditProblems, after: int, previous: str) -> None:
        """Begin with the record after number `after`, which had the hash `previous`."""
        self._problems = problems
        self._after = after
        self._start = self._previous = previous
        self._shift = 0  # how much greater the numbers are than they were, after an insertion
        self._past: deque[AuditRecord] = deque(maxlen=_WINDOW)
        self._ahead: deque[AuditRecord] = deque()
        self._disturbed = False  # the record before was said to be wrong
        self._exchanged = 0  # the number of a record that was said to stand at the place of the one before it

    def checked(self, records: Iterator[AuditRecord]) -> Iterator[AuditRecord]:
        """Yield `records`, each once it has been checked."""
        self._ahead.extend(islice(records, _WINDOW))
        expected = self._after + 1
        while self._ahead:
            record = self._ahead.popleft()
            if (following := next(records, None)) is not None:
                self._ahead.append(following)
            if record.seq <= self._after:  # retention has removed it, and somebody put it back
                self._problems.add_record(AuditFinding.INSERTED, record.seq)
                continue
            if record.seq > expected:
                self._problems.add_missing(expected, record.seq - 1)
                self._previous = record.hash  # what stood before it is not known
                self._disturbed = False
            elif self._fits(record, self._previous):
                self._previous = record.hash
                self._disturbed = False
            elif record.seq != self._exchanged:
                self._explain(record)
            expected = record.seq + 1
            self._past.append(record)
            yield record

    def _fits(self, record: AuditRecord, previous: str, shift: int = 0) -> bool:
        return record_hash(record, previous, seq=record.seq - self._shift - shift) == record.hash

    def _explain(self, record: AuditRecord) -> None:
        """Say what was done to a record that does not follow the one before, and where the chain goes on."""
        if self._problems.full:
            self._problems.more += 1
            self._previous = record.hash
            return
        following = self._ahead[0] if self._ahead else None
        disturbed, self._disturbed = self._disturbed, True
        if following is not None and self._fits(following, self._previous, 1):
            if self._fits(record, following.hash, -1):
                self._problems.add_record(AuditFinding.REORDERED, record.seq, following.seq)
                self._exchanged, self._previous = following.seq, record.hash
                return
            self._problems.add_record(AuditFinding.INSERTED, record.seq)
            self._shift += 1
            self._disturbed = False
            return  # those after it follow the one before it
        if self._past and self._fits(record, self._past[-2].hash if len(self._past) > 1 else self._start, 1):
            # The one before it was given a hash that fits.
            self._problems.add_record(AuditFinding.INSERTED, record.seq - 1)
            self._shift += 1
            self._previous, self._disturbed = record.hash, False
            return
        if following is not None and self._fits(following, record.hash, -1):
            self._problems.add_record(AuditFinding.REMOVED, record.seq)
            self._shift -= 1
            self._disturbed = False
        elif (number := self._right_number(record)) and number != record.seq:
            self._problems.add_record(AuditFinding.REORDERED, record.seq, number)
        elif not (number and disturbed):
            # Itself it is as it was, only the one before it is not, which was said.
            self._problems.add_record(AuditFinding.CHANGED, record.seq)
        self._previous = record.hash

    def _right_number(self, record: AuditRecord) -> int:
        """Return the number under which a record follows another one nearby; 0: none."""
        for near in chain(self._past, self._ahead):
            for number in (record.seq, near.seq + 1, near.seq):
                if record_hash(record, near.hash, seq=number) == record.hash:
                    return number
        return 0
