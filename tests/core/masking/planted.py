# ruff: noqa: E501 - tables of examples, one long line each
"""Made-up personal data, secrets and look-alikes, and texts that say where the personal data was planted."""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable
from dataclasses import dataclass, field

from services.core.masking import PersonalKind

Planted = tuple[PersonalKind, str]
PROVINCES = (
    "110105",
    "310104",
    "440305",
    "330106",
    "510107",
    "420106",
    "320505",
    "610113",
    "371302",
    "120101",
    "500103",
    "210102",
)
IBAN_FORMS = {
    "DE": "n" * 18, "FR": "n" * 10 + "c" * 11 + "nn", "GB": "aaaa" + "n" * 14, "NL": "aaaa" + "n" * 10, "ES": "n" * 20,
    "IT": "a" + "n" * 10 + "c" * 12, "CH": "n" * 5 + "c" * 12, "AT": "n" * 16, "BE": "n" * 12, "PL": "n" * 24, "SE": "n" * 20,
    "AE": "n" * 19, "SA": "nn" + "c" * 18,
}  # fmt: skip
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


@dataclass(slots=True)
class Sample:
    """A text, and the places of what was planted in it."""

    text: str = ""
    planted: list[tuple[PersonalKind, int, int]] = field(default_factory=list)

    def add(self, *parts: str | Planted) -> None:
        """Append text and planted values."""
        for part in parts:
            if isinstance(part, str):
                self.text += part
            else:
                kind, value = part
                self.planted.append((kind, len(self.text), len(self.text) + len(value)))
                self.text += value


class Values:
    """Values by seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def digits(self, count: int) -> str:
        return "".join(self.random.choices(string.digits, k=count))

    def letters(self, count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
        return "".join(self.random.choices(alphabet, k=count))

    def pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def wide(self, text: str) -> str:
        return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)

    # personal data

    def id_number(self) -> str:
        r = self.random
        body = (
            r.choice(PROVINCES)
            + f"{r.randint(1938, 2016)}{r.randint(1, 12):02d}{r.randint(1, 28):02d}"
            + self.digits(3)
        )
        check = "10X98765432"[sum(int(d) * w for d, w in zip(body, _WEIGHTS, strict=True)) % 11]
        return body + check

    def old_id_number(self) -> str:
        r = self.random
        return r.choice(PROVINCES) + f"{r.randint(30, 85)}{r.randint(1, 12):02d}{r.randint(1, 28):02d}" + self.digits(3)

    def mobile(self) -> str:
        prefixes = "130 131 133 135 136 137 138 139 150 151 152 155 158 159 166 170 173 176 177 178 180 181 182 185 186 187 188 189 191 198 199"
        return self.random.choice(prefixes.split()) + self.digits(8)

    def card(self) -> str:
        prefix, length = self.random.choice(
            [("4", 16), ("4", 16), ("51", 16), ("53", 16), ("55", 16), ("2345", 16), ("34", 15), ("37", 15), ("6222", 19), ("6217", 19), ("6225", 16),
             ("6011", 16), ("3530", 16), ("6228", 19), ("36", 14)]
        )  # fmt: skip
        return luhn(prefix + self.digits(length - len(prefix) - 1))

    def iban(self) -> str:
        country, form = self.random.choice(list(IBAN_FORMS.items()))
        body = "".join(
            {
                "n": self.digits(1),
                "a": self.letters(1, string.ascii_uppercase),
                "c": self.letters(1, string.ascii_uppercase + string.digits),
            }[c]
            for c in form
        )
        number = int("".join(str(int(c, 36)) for c in body + country + "00"))
        return f"{country}{98 - number % 97:02d}{body}"

    def passport(self) -> str:
        return self.pick(
            "E" + self.digits(8),
            "E" + self.letters(1, "ABCDEFGHJKLMNPQRSTUVWXYZ") + self.digits(7),
            "G" + self.digits(8),
        )

    def jwt(self) -> str:
        parts = [
            f'{{"alg":"HS256","typ":"JWT","k":"{self.letters(6)}"}}',
            f'{{"sub":"{self.digits(8)}","iat":1700000000}}',
        ]
        return ".".join([*(base64.urlsafe_b64encode(p.encode()).decode().rstrip("=") for p in parts), self.letters(43)])

    def token(self) -> str:
        make: list[Callable[[], str]] = [
            lambda: "sk-" + self.letters(48),
            lambda: "sk-proj-" + self.letters(40),
            lambda: "ghp_" + self.letters(36),
            lambda: "AKIA" + self.letters(16, string.ascii_uppercase + string.digits),
            self.jwt,
            lambda: f"xoxb-{self.digits(12)}-{self.letters(24)}",
            lambda: "whsec_" + base64.b64encode(self.random.randbytes(24)).decode(),
            lambda: "mp_" + self.letters(43),
            lambda: "glpat-" + self.letters(20),
        ]
        return self.random.choice(make)()

    def password(self) -> str:
        r = self.random
        return (
            self.letters(r.randint(4, 8), string.ascii_letters)
            + self.pick("", "!", "@", "#", "_")
            + self.digits(r.randint(2, 4))
            + self.pick("", "!", "x")
        )

    def private_key(self, line: str = "\n") -> str:
        body = [self.letters(64) for _line in range(self.random.randint(3, 12))]
        what = self.pick("RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY")
        return line.join([f"-----BEGIN {what}-----", *body, f"-----END {what}-----"])

    # look-alikes

    def wrong_id_number(self) -> str:
        number = self.id_number()
        last = self.random.choice([c for c in "0123456789X" if c != number[-1]])
        return number[:-1] + last

    def wrong_card(self) -> str:
        number = self.card()
        last = self.random.choice([c for c in "0123456789" if c != number[-1]])
        return number[:-1] + last


def luhn(body: str) -> str:
    """Return `body` with its check digit."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return body + str(-total % 10)
