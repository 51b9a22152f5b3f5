"""Wrong passwords and tokens are slowed down: by address, by account; nobody is locked out."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from services.core.networks import parsed_address

FREE_FAILURES = 5  # typing errors cost nothing
FIRST_SECONDS = 0.5  # after the first failure beyond those; doubled with each further one
LONGEST_SECONDS = 10.0
FORGET_SECONDS = 900.0  # without a failure
MOST_KEYS = 10_000  # about 2 MB
_LOCAL = "local"
_IPV6_NETWORK = 64  # what one customer gets: all addresses of it count as one


@dataclass(slots=True)
class _Failures:
    count: int
    last: float


class SignInThrottle:
    """Counts failures by key and says how long the next answer is to be held back. Thread-safe, bounded, never sleeps.

    A wrong token or password is answered after the delay; who is right is answered at once, or after the same delay
    where that must not show. Attempts that take long (hashing a password) are registered by `failed` before they are
    judged and taken back by `succeeded`: so those that run at the same time count, too.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        *,
        free: int = FREE_FAILURES,
        first_seconds: float = FIRST_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
        forget_seconds: float = FORGET_SECONDS,
        most: int = MOST_KEYS,
    ) -> None:
        """`monotonic` returns seconds; the first `free` failures of a key cost nothing."""
        self._monotonic = monotonic
        self._free = free
        self._first = first_seconds
        self._longest = longest_seconds
        self._forget = forget_seconds
        self._most = most
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, _Failures] = OrderedDict()  # the longest quiet first

    def __len__(self) -> int:
        return len(self._failures)

    def failed(self, key: str) -> float:
        """Register a failure; return for how many seconds its answer is to be held back."""
        now = self._monotonic()
        with self._lock:
            known = self._failures.get(key)
            if known is None or now - known.last >= self._forget:
                known = self._failures[key] = _Failures(0, now)
            known.count, known.last = known.count + 1, now
            self._failures.move_to_end(key)
            while len(self._failures) > self._most:
                self._failures.popitem(last=False)
            return delay_after(known.count, self._free, first=self._first, longest=self._longest)

    def delay(self, key: str) -> float:
        """Return for how many seconds the answer to the next failure would be held back."""
        with self._lock:
            known = self._failures.get(key)
            forgotten = known is None or self._monotonic() - known.last >= self._forget
            count = 1 if known is None or forgotten else known.count + 1
            return delay_after(count, self._free, first=self._first, longest=self._longest)

    def succeeded(self, key: str) -> None:
        """Forget the failures of a key."""
        with self._lock:
            self._failures.pop(key, None)


def delay_after(failures: int, free: int, *, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> float:
    """Return for how many seconds the answer after so many failures is held back; the first `free` cost nothing."""
    beyond = failures - free
    if beyond <= 0:
        return 0.0
    return min(longest, first * 2.0 ** min(beyond - 1, 30))


def address_key(address: str) -> str:
    """Return the key of a client's address: loopback is one, an IPv6 address counts as its network."""
    found = parsed_address(address)
    if found is None:
        return address[:100] or _LOCAL
    if found.is_loopback:
        return _LOCAL
    if found.version == 6:
        return str(ipaddress.ip_network((found, _IPV6_NETWORK), strict=False))
    return str(found)
