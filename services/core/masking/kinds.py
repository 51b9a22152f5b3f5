"""What masking finds: kinds of personal data and secrets, and where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PersonalKind(StrEnum):
    """Kinds of what is masked; the value is the word that is written in its place."""

    SECRET = "secret"  # noqa: S105 - the word that stands for one
    EMAIL = "email"
    IBAN = "IBAN"
    ID_NUMBER = "ID"
    CARD = "card"
    PHONE = "phone"
    PASSPORT = "passport"


@dataclass(frozen=True, slots=True)
class PersonalFinding:
    """Personal data or a secret at `start` to `end` of a text; `shown` are its last characters that may stay."""

    kind: PersonalKind
    start: int
    end: int
    shown: str = ""
