"""Attempts to sign in that are slowed down after failures, so that guessing takes long and nobody locks others out.

Failures are counted three ways, each with its own allowance:

- by account and address together: somebody who guesses from one place;
- by address: somebody who tries many accounts from one place;
- by account: many places that guess one password.

Who is held by one of these gets `BusyError` until its time is over, at most ten seconds, without a hash being computed.
Places and devices from where that person has signed in before are only held by their own failures, and an address
without failures is not held by what others did to the account: the right password gets through.

Several nodes count together (`SharedFailures`): whoever asks all of them in turn has no more tries than with one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from services.core.errors import BusyError
from services.core.i18n import plural
from services.core.throttle import FREE_FAILURES, SignInThrottle, address_key, delay_after
from services.identity.failures import Failures

_MANY = 30  # free failures of an address, or an account, in a quarter of an hour
_MOST_KNOWN = 20_000  # places that are remembered as good, about 3 MB


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


@dataclass(frozen=True, slots=True)
class AllowedAttempt:
    """An attempt that may be made now.

    Attributes:
        keys: what a failure counts for; the first one is the person's own from there.
        has_failed: whether there were failures under that one.
        favoured: nothing speaks against whoever attempts it: the address has not failed, or is known.
    """

    keys: tuple[str, ...]
    has_failed: bool
    favoured: bool


class Attempts:
    """Says whether an attempt may be made now, and learns how it ended. Thread-safe, bounded, never sleeps.

    Args:
        monotonic: returns seconds.
        failures: where they are counted.
        places_of: returns the addresses of a person's sessions.
    """

    def __init__(
        self, monotonic: Callable[[], float], failures: Failures, places_of: Callable[[int], Iterable[str]]
    ) -> None:
        self._lock = threading.Lock()
        self._tokens = SignInThrottle(monotonic, free=_MANY)
        self._failures = failures
        self._places_of = places_of
        self._known: OrderedDict[tuple[int, str], None] = OrderedDict()  # (person, place) of earlier sign-ins

    def require_turn(self, account: str, address: str, *, person_id: int | None, device: str = "") -> AllowedAttempt:
        """Return an attempt that may be made now.

        Args:
            account: the name as it counts, of a person or of nobody.
            address: the client's.
            person_id: whose name it is, None for nobody's.
            device: the proof that this device has signed in before as that person, "" without.

        Raises:
            SlowedDownError: not yet.
            UnavailableError: the database that nodes share does not answer.
        """
        place = address_key(address)
        pair, by_address, by_account = _pair(account, device or place), f"address\0{place}", f"account\0{account}"
        found = self._failures.read((pair, by_address, by_account))
        free = {pair: FREE_FAILURES}
        favoured = by_address not in found or self._knows(person_id, place, device)
        if not favoured:
            free |= {by_address: _MANY, by_account: _MANY}
        held = [delay_after(found[key].count, most) - found[key].age for key, most in free.items() if key in found]
        if (seconds := max(held, default=0.0)) > 0:
            raise SlowedDownError(seconds)
        return AllowedAttempt((pair, by_address, by_account), pair in found, favoured)

    def failed(self, turn: AllowedAttempt) -> None:
        """Register that it failed; raises UnavailableError where the database that nodes share does not answer."""
        self._failures.add(turn.keys)

    def succeeded(self, turn: AllowedAttempt) -> None:
        """Forget the failures of that person from there."""
        if turn.has_failed:
            self._failures.forget(turn.keys[0])

    def remember(self, person_id: int, address: str) -> None:
        """Remember that a person has signed in from an address."""
        self._remember(person_id, address_key(address))

    def failed_token(self, address: str) -> float:
        """Register a wrong API token; return for how many seconds further wrong ones are answered with BusyError.

        This process counts them alone: a token is too long to be guessed, at one node or at many.
        """
        return self._tokens.failed(address_key(address))

    def _knows(self, person_id: int | None, place: str, device: str) -> bool:
        """Return whether that person has signed in from this place or device before, at whichever node.

        The same is asked for a name of nobody: how long it takes does not tell whether there is such a person.
        """
        number = person_id or 0
        if device or (number, place) in self._known:
            return True
        if place not in {address_key(each) for each in self._places_of(number)}:
            return False
        self._remember(number, place)
        return True

    def _remember(self, person_id: int, place: str) -> None:
        with self._lock:
            self._known[person_id, place] = None
            self._known.move_to_end((person_id, place))
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)


def _pair(account: str, place: str) -> str:
    return f"pair\0{account}\0{place}"
