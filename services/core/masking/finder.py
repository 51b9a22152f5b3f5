"""Where personal data and secrets stand in a text."""

from __future__ import annotations

import re
from collections.abc import Iterable

from services.core.masking.assignments import find_assignments
from services.core.masking.credentials import find_credentials
from services.core.masking.emails import find_emails
from services.core.masking.folding import folded, lowered
from services.core.masking.kinds import PersonalFinding, PersonalKind
from services.core.masking.numbers import find_numbers
from services.core.masking.papers import find_papers

_SHORTEST = 6  # characters of what is found
_SHORT = 300  # characters: most values of a log line are shorter, and nothing in them is anything
# What every finding has at least one of: an @ or its substitutes, an assignment, seven digits, a long word.
_ANYTHING = re.compile(
    r"[@%:=＠：＝]|\\|[0-9０-９٠-٩۰-۹](?:.{0,3}[0-9０-９٠-٩۰-۹]){5}|[A-Za-z0-9_\-]{12}"
    r"|at[\])]|64;| (?:is|was) |[Bb]earer|[码碼令钥鑰]",
    re.DOTALL,
)
_RANK = {kind: rank for rank, kind in enumerate(PersonalKind)}


def find(text: str) -> list[PersonalFinding]:
    """Return what is personal or secret in `text`, in its order and without overlaps.

    The time is proportional to the length of the text, whatever it says.
    """
    if len(text) < _SHORTEST:
        return []
    if len(text) < _SHORT and not _ANYTHING.search(text):
        return []
    plain = folded(text)
    lower = lowered(plain)
    found = [
        *find_credentials(plain),
        *find_assignments(plain, lower),
        *find_emails(plain),
        *find_numbers(plain, lower),
    ]
    found += find_papers(plain, lower)
    return _joined(found) if len(found) > 1 else found


def _joined(findings: Iterable[PersonalFinding]) -> list[PersonalFinding]:
    """Return findings in order; those that overlap become one, named after the weightier kind."""
    joined: list[PersonalFinding] = []
    for finding in sorted(findings, key=lambda each: (each.start, -each.end)):
        last = joined[-1] if joined else None
        if last is None or finding.start >= last.end:
            joined.append(finding)
            continue
        kind = min(last.kind, finding.kind, key=_RANK.__getitem__)
        outer = last if last.end >= finding.end else finding
        shown = outer.shown if outer.kind is kind else ""
        joined[-1] = PersonalFinding(kind, last.start, max(last.end, finding.end), shown)
    return joined
