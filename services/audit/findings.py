"""What a verification of the audit log can find, in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from services.core.i18n import _, plural

MAX_PROBLEMS = 50  # that are told one by one


class AuditFinding(StrEnum):
    """Kinds of what can be wrong."""

    CHANGED = "changed"
    REMOVED = "removed"
    INSERTED = "inserted"
    REORDERED = "reordered"
    CUT_OFF = "cut_off"
    NAME_CHANGED = "name_changed"
    HEAD_CHANGED = "head_changed"
    HEAD_REMOVED = "head_removed"
    KEY_REPLACED = "key_replaced"


@dataclass(frozen=True, slots=True)
class AuditProblem:
    """Something that is wrong: the record at which it shows (0: none), and what it is, in words."""

    kind: AuditFinding
    seq: int
    message: str


@dataclass(slots=True)
class AuditProblems:
    """The first problems, and how many more there are."""

    found: list[AuditProblem] = field(default_factory=list)
    more: int = 0

    @property
    def full(self) -> bool:
        """Whether further ones are only counted."""
        return len(self.found) >= MAX_PROBLEMS

    def add(self, kind: AuditFinding, seq: int, message: str) -> None:
        """Add one."""
        if self.full:
            self.more += 1
        else:
            self.found.append(AuditProblem(kind, seq, message))

    def add_missing(self, first: int, last: int) -> None:
        """Add that records are missing."""
        text = plural(
            "Record {first} is missing: it was removed.",
            "Records {first} to {last} are missing: they were removed.",
            last - first + 1,
            first=str(first),
            last=str(last),
        )
        self.add(AuditFinding.REMOVED, first, text)

    def add_nameless(self, first: int, last: int) -> None:
        """Add that names of targets are missing."""
        text = plural(
            "In record {first} the name of the target was removed, and no record says so.",
            "In records {first} to {last} the names of targets were removed, and no record says so.",
            last - first + 1,
            first=str(first),
            last=str(last),
        )
        self.add(AuditFinding.NAME_CHANGED, first, text)

    def add_record(self, kind: AuditFinding, seq: int, other: int = 0) -> None:
        """Add what was done to a record; `other` is the number that it had."""
        texts = {
            AuditFinding.CHANGED: _(
                "Record {number} does not fit its hash and the record before it: one of the two was changed."
            ),
            AuditFinding.INSERTED: _("Record {number} was inserted: those after it fit without it."),
            AuditFinding.REORDERED: _(
                "Record {number} is not the one that was recorded there, but number {other}: they were reordered."
            ),
            AuditFinding.REMOVED: _(
                "Before record {number} one is missing: it was removed, and those after it were given other numbers."
            ),
            AuditFinding.NAME_CHANGED: _("In record {number} the name of the target was changed."),
        }
        self.add(kind, seq, texts[kind].format(number=seq, other=other))
