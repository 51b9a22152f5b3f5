"""Passwords: which are accepted, and how they are stored and checked (argon2id).

Parameters: 19 MiB, 2 passes, 1 lane, which OWASP's Password Storage Cheat Sheet names first for argon2id. One hash
takes some 30 ms of one core then, in a thread of low priority, so that twenty sign-ins a second leave neighbours
their answers; 64 MiB and 3 passes, the default of the library, take six times as long.
"""

from __future__ import annotations

import base64
import os
import threading
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from services.core.errors import BadInputError, BusyError, UnavailableError
from services.core.i18n import _
from services.core.memory_report import MemoryReport, Owner, Region
from services.core.thread_priority import lower_priority
from services.identity.common_passwords import is_common
from services.identity.name_rules import encodable

if TYPE_CHECKING:
    from argon2 import PasswordHasher as Argon2

T = TypeVar("T")

SHORTEST = 12
LONGEST = 256
MOST_WAITING = 8  # for a hash; each waits in a thread
_HASH_BYTES = 32
_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class HashCost:
    """Parameters of argon2id: memory in KiB, passes over it."""

    memory_kib: int = 19 * 1024
    passes: int = 2


class PasswordHasher:
    """Hashes and verifies passwords, one at a time: the memory of one hash is all that they take. Thread-safe."""

    def __init__(self, cost: HashCost | None = None) -> None:
        self._cost = cost or HashCost()
        self._turn = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "password-hash", lower_priority)
        self._counting = threading.Lock()
        self._waiting = 0
        self._active = False
        self._hashes = 0
        # Well formed, of no password: what names that do not exist are checked against takes the same time.
        salt, digest = (base64.b64encode(os.urandom(size)).decode().rstrip("=") for size in (_SALT_BYTES, _HASH_BYTES))
        self._nobody = f"$argon2id$v=19$m={self._cost.memory_kib},t={self._cost.passes},p=1${salt}${digest}"

    def hash(self, password: str) -> str:
        """Return the hash of a password in argon2's text form, with its parameters and a random salt.

        Raises:
            BusyError: too many wait for a hash already.
            UnavailableError: there is too little memory.
        """
        from argon2.exceptions import HashingError

        with self._one_at_a_time():
            try:
                return self._aside(lambda: self._library().hash(normalized(password)))
            except HashingError as error:
                raise _too_little_memory() from error

    def verify(self, stored: str | None, password: str, *, favoured: bool = True) -> bool:
        """Return whether this is the password; with `stored` None it is not, after the same time.

        `favoured`: not one of those who have failed lately; these may use half of the places only.

        Raises:
            BusyError, UnavailableError: as for `hash`.
        """
        from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

        with self._one_at_a_time(MOST_WAITING if favoured else MOST_WAITING // 2):
            try:
                text = normalized(password)[:LONGEST]
                return self._aside(lambda: self._library().verify(stored or self._nobody, text)) and bool(stored)
            except (VerifyMismatchError, InvalidHashError):
                return False
            except VerificationError as error:
                raise _too_little_memory() from error

    def needs_rehash(self, stored: str) -> bool:
        """Return whether a hash was made with other parameters."""
        return self._library().check_needs_rehash(stored)

    @property
    def hashes(self) -> int:
        """How many were computed; the C library keeps the memory of the last one."""
        return self._hashes

    def memory_reports(self) -> list[MemoryReport]:
        """Return the memory of the hash that is being computed; none while there is none."""
        if not self._active:
            return []
        size = self._cost.memory_kib * 1024
        return [
            MemoryReport(_("Password hash"), "argon2id", size, self._hashes, owner=Owner.NATIVE, region=Region.NATIVE)
        ]

    @contextmanager
    def _one_at_a_time(self, places: int = MOST_WAITING) -> Iterator[None]:
        with self._counting:
            if self._waiting >= places:
                raise BusyError(_("Too many people are signing in at this moment."), _("Try again in a few seconds."))
            self._waiting += 1
        try:
            with self._turn:
                self._active = True
                self._hashes += 1
                try:
                    yield
                finally:
                    self._active = False
        finally:
            with self._counting:
                self._waiting -= 1

    def _aside(self, compute: Callable[[], T]) -> T:
        """Return what is computed in the thread of low priority."""
        return self._thread.submit(compute).result()

    def _library(self) -> Argon2:
        from argon2 import PasswordHasher as Argon2

        return Argon2(self._cost.passes, self._cost.memory_kib, 1, _HASH_BYTES, _SALT_BYTES)


def check_password(password: str, *names: str) -> str:
    """Return a new password as it is hashed; `names` are those of the person.

    Raises:
        BadInputError: it is too short, too long, or easily guessed.
    """
    text = unicodedata.normalize("NFKC", password)
    if len(text) < SHORTEST:
        raise BadInputError(
            _("The password is shorter than {count} characters; nothing was changed.").format(count=SHORTEST),
            _("Several words that have nothing to do with each other are long and easy to remember."),
        )
    if len(text) > LONGEST:
        raise BadInputError(
            _("The password is longer than {count} characters; nothing was changed.").format(count=LONGEST),
            _("Choose a shorter one."),
        )
    if any(unicodedata.category(each) in {"Cc", "Cs"} for each in text):
        raise BadInputError(
            _("The password has characters that cannot be typed; nothing was changed."), _("Leave them out.")
        )
    if is_common(text, *names):
        raise BadInputError(
            _("The password is one of those that are guessed first; nothing was changed."),
            _("Leave out names, dates, common words and keys that lie side by side."),
        )
    return text


def normalized(password: str) -> str:
    """Return the form in which a password is the same however a keyboard composes its characters."""
    return encodable(unicodedata.normalize("NFKC", password))


def _too_little_memory() -> UnavailableError:
    return UnavailableError(
        _("There is too little memory to check a password at present; nothing was changed."),
        _("Try again in a moment."),
    )
