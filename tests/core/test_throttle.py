from __future__ import annotations

import pytest

from services.core.throttle import SignInThrottle, address_key


class SetClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_delay_grows_and_ends() -> None:
    """Guessing would cost nothing, or one bad day would slow somebody down for good."""
    clock = SetClock()
    throttle = SignInThrottle(clock, free=2, first_seconds=1.0, longest_seconds=5.0, forget_seconds=60.0)
    assert [throttle.failed("a") for _try in range(6)] == [0.0, 0.0, 1.0, 2.0, 4.0, 5.0]
    assert throttle.delay("a") == 5.0
    assert throttle.delay("b") == 0.0
    clock.now += 59.0
    assert throttle.failed("a") == 5.0
    clock.now += 60.0
    assert throttle.delay("a") == 0.0
    assert throttle.failed("a") == 0.0


def test_success_forgets_the_failures() -> None:
    """Who has found the right password would go on waiting."""
    throttle = SignInThrottle(SetClock(), free=0)
    assert throttle.failed("a") > 0
    throttle.succeeded("a")
    throttle.succeeded("never seen")
    assert throttle.delay("a") == throttle.delay("b") > 0  # with nothing free, the first failure costs already
    assert len(throttle) == 0


def test_attempts_at_the_same_time_count() -> None:
    """A hundred guesses at once would all be judged before the first had failed."""
    throttle = SignInThrottle(SetClock(), free=3, longest_seconds=8.0)
    waits = [throttle.failed("account") for _attempt in range(100)]  # before they are judged
    assert waits.count(0.0) == 3
    assert waits.count(8.0) > 90


def test_what_is_remembered_is_bounded() -> None:
    """Guesses from ever new addresses would fill the memory; the last ones count all the same."""
    throttle = SignInThrottle(SetClock(), free=1, most=50)
    for number in range(500):
        throttle.failed(f"address {number}")
    assert len(throttle) == 50
    assert throttle.delay("address 499") > 0
    assert throttle.delay("address 0") == 0.0


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", "local"),
        ("127.9.9.9", "local"),
        ("::1", "local"),
        ("local", "local"),
        ("", "local"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::7", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("no address" * 50, ("no address" * 50)[:100]),
    ],
)
def test_addresses_of_one_client_are_one(address: str, key: str) -> None:
    """Whoever has a network of IPv6 has more addresses than there are guesses."""
    assert address_key(address) == key
