"""Attempts to sign in that are slowed down after failures, so that guessing takes long and nobody locks others out.

Failures are counted three ways, each with its own allowance (`SignInThrottle`):

- by account and address together: somebody who guesses from one place;
- by address: somebody who tries many accounts from one place;
- by account: many places that guess one password.

Who is held by one of these gets `BusyError` until its time is over, at most ten seconds, without a hash being computed.
Places and devices from where that person has signed in before are only held by their own failures, and an address
without failures is not held by what others did to the account: the right password gets through.

Of several nodes each counts the failures that it has seen: whoever asks all of them in turn has so many times as many.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from services.core.errors import BusyError
from services.core.i18n import plural
from services.core.throttle import SignInThrottle, address_key

_MANY = 30  # free failures of an address, or an account, in a quarter of an hour
_MOST_KNOWN = 20_000  # places that are remembered as good, about 3 MB
_MOST_HELD = 20_000


class SlowedDownError(BusyError):
    """Somebody failed often; the next attempt is possible in `seconds`."""

    def __init__(self, seconds: float) -> None:
        whole = max(1, round(seconds))
        super().__init__(
            plural(
                "There were many wrong attempts; the next one is possible in {count} second.",
                "There were many wrong attempts; the next one is possible in {count} seconds.",
                whole,
            ),
        )
        self.seconds = seconds


class Attempts:
    """Says whether an attempt may be made now, and learns how it ended. Thread-safe, bounded, never sleeps."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._pairs = SignInThrottle(monotonic)
        self._addresses = SignInThrottle(monotonic, free=_MANY)
        self._accounts = SignInThrottle(monotonic, free=_MANY)
        self._held: OrderedDict[str, float] = OrderedDict()  # until when, by key
        self._known: OrderedDict[tuple[int, str], None] = OrderedDict()  # (person, place) of earlier sign-ins

    def require_turn(self, account: str, address: str, *, person_id: int | None, device: str = "") -> None:
        """Return if an attempt may be made now.

        Args:
            account: the name as it counts, of a person or of nobody.
            address: the client's.
            person_id: whose name it is, None for nobody's.
            device: the proof that this device has signed in before as that person, "" without.

        Raises:
            SlowedDownError: not yet.
        """
        place = address_key(address)
        keys = [_pair(account, device or place)]
        if not self.knows(person_id, address, device):
            keys.append(_by_address(place))
            if self._addresses.has_failures(place):
                keys.append(_by_account(account))
        now = self._monotonic()
        with self._lock:
            seconds = max(self._held.get(key, now) for key in keys) - now
        if seconds > 0:
            raise SlowedDownError(seconds)

    def knows(self, person_id: int | None, address: str, device: str = "") -> bool:
        """Return whether that person has signed in from this address or device before."""
        if person_id is None:
            return False
        return bool(device) or (person_id, address_key(address)) in self._known

    def has_failed(self, address: str) -> bool:
        """Return whether there were failures from an address of late."""
        return self._addresses.has_failures(address_key(address))

    def failed(self, account: str, address: str, *, device: str = "") -> None:
        """Register a failure."""
        place = address_key(address)
        pair = _pair(account, device or place)
        holds = {
            pair: self._pairs.failed(pair),
            _by_address(place): self._addresses.failed(place),
            _by_account(account): self._accounts.failed(account),
        }
        now = self._monotonic()
        with self._lock:
            for key, seconds in holds.items():
                if seconds > 0:
                    self._held[key] = now + seconds
                    self._held.move_to_end(key)
            while len(self._held) > _MOST_HELD:
                self._held.popitem(last=False)

    def succeeded(self, account: str, address: str, *, person_id: int, device: str = "") -> None:
        """Forget the failures of that person from there, and remember the place as theirs."""
        self._pairs.succeeded(_pair(account, device or address_key(address)))
        self.remember(person_id, address)

    def remember(self, person_id: int, address: str) -> None:
        """Remember that a person has signed in from an address."""
        place = address_key(address)
        with self._lock:
            self._known[person_id, place] = None
            self._known.move_to_end((person_id, place))
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)

    def failed_token(self, address: str) -> float:
        """Register a wrong API token; return for how many seconds further wrong ones are answered with BusyError."""
        return self._addresses.failed(f"token {address_key(address)}")


def _pair(account: str, place: str) -> str:
    return f"pair\0{account}\0{place}"


def _by_address(place: str) -> str:
    return f"address\0{place}"


def _by_account(account: str) -> str:
    return f"account\0{account}"
