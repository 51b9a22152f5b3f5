from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import pytest

from services.core.cache import ByteCache, Caches, cache_key, normalised_text
from services.core.memory_report import Owner
from services.core.settings import Settings
from tests.servers import eventually


class Watch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def cache(budget: int = 100_000, **options: object) -> ByteCache:
    return ByteCache("test", "Test", budget, 60.0, **options)  # type: ignore[arg-type] # keywords as they come


def test_what_was_put_is_found() -> None:
    """A hit returns the bytes, a miss None, and both are counted."""
    kept = cache()
    kept.put("a", b"value")
    assert (kept.get("a"), kept.get("b")) == (b"value", None)
    stats = kept.stats()
    assert (stats.hits, stats.misses, stats.entries) == (1, 1, 1)
    assert stats.hit_rate == 0.5
    assert cache().stats().hit_rate is None


def test_the_budget_is_never_passed() -> None:
    """Whatever is put in, the sum of keys and values stays below it; those not used for longest go first."""
    kept = cache(budget=20_000)
    for number in range(200):
        kept.put(f"key-{number}", bytes(number * 7))
        if number > 3:
            kept.get("key-1")
        assert kept.stats().bytes <= 20_000
    assert kept.get("key-1") is not None
    assert kept.get("key-2") is None
    assert kept.stats().evicted > 100


def test_bytes_are_counted_as_python_has_them() -> None:
    """The figure covers keys and values as Python holds them, goes to zero when all is gone, and tells large ones."""
    kept = cache()
    pairs = [(f"key-{number}", bytes(100 * number)) for number in range(20)]
    for key, value in pairs:
        kept.put(key, value)
        kept.put(key, value)
    least = sum(sys.getsizeof(key) + sys.getsizeof(value) for key, value in pairs)
    assert least < kept.stats().bytes < least + 20 * 400
    held = kept.memory_report()
    assert (held.owner, held.bytes) == (Owner.OWN_CACHES, kept.stats().bytes)
    assert 0 < held.large < held.bytes
    before = kept.stats().bytes
    assert kept.clear() == before
    assert (kept.stats().bytes, kept.memory_report().large, kept.stats().entries) == (0, 0, 0)


def test_a_value_beyond_the_budget_is_not_kept() -> None:
    """It must not push out all others."""
    kept = cache(budget=5000)
    kept.put("small", b"x")
    kept.put("big", bytes(10_000))
    assert kept.get("small") == b"x"
    assert kept.get("big") is None


def test_entries_grow_old() -> None:
    """After its seconds an entry is gone."""
    watch = Watch()
    kept = cache(now=watch)
    kept.put("a", b"x")
    watch.seconds = 59.0
    assert kept.get("a") == b"x"
    watch.seconds = 61.0
    assert kept.get("a") is None
    assert kept.stats().bytes == 0


def test_shrinking_keeps_what_was_used_last() -> None:
    """The memory budget shrinks it; what is left fits and is the newest."""
    kept = cache()
    for number in range(50):
        kept.put(str(number), bytes(500))
    freed = kept.shrink(10_000)
    assert freed > 0
    assert kept.stats().bytes <= 10_000
    assert kept.get("49") is not None
    assert kept.get("0") is None


def test_one_makes_it_for_all_who_wait() -> None:
    """Sixteen threads miss at once: one computes, the others get its value."""
    kept = cache()
    made = []
    go, enter = threading.Event(), threading.Barrier(16)

    def make() -> bytes:
        made.append(1)
        assert go.wait(10)
        return b"once"

    found: list[bytes] = []

    def ask() -> None:
        enter.wait(10)
        found.append(kept.get_or_compute("a", make))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    eventually(lambda: made, seconds=10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert (len(made), found) == (1, [b"once"] * 16)
    assert kept.stats().misses == 1
    assert kept.stats().hits == 15


def test_when_the_first_fails_the_next_tries() -> None:
    """A failure is its own maker's: those who waited do not get it."""
    kept = cache()
    go, entered = threading.Event(), threading.Event()
    outcomes: list[object] = []

    def fail() -> bytes:
        entered.set()
        assert go.wait(10)
        raise ValueError("no")

    def first() -> None:
        try:
            kept.get_or_compute("a", fail)
        except ValueError as error:
            outcomes.append(error)

    threads = [
        threading.Thread(target=first),
        threading.Thread(target=lambda: outcomes.append(kept.get_or_compute("a", lambda: b"yes"))),
    ]
    threads[0].start()
    assert entered.wait(10)
    threads[1].start()
    go.set()
    for thread in threads:
        thread.join(10)
    assert {type(outcome) for outcome in outcomes} == {ValueError, bytes}
    assert kept.get("a") == b"yes"


def test_a_budget_of_nothing_is_off() -> None:
    """Nothing is kept or counted."""
    kept = cache(budget=0)
    kept.put("a", b"x")
    assert kept.get("a") is None
    assert kept.get_or_compute("a", lambda: b"y") == b"y"
    assert kept.get_or_compute("a", lambda: b"z") == b"z"
    assert (kept.stats().misses, kept.stats().entries) == (0, 0)


def test_a_finalizer_in_the_midst_of_an_operation_changes_nothing() -> None:
    """The garbage collector may run one at any moment, in the thread that holds the lock; the books must stay right."""
    found: list[object] = []

    def now() -> float:
        if kept is not None:
            found.append((kept.get("b"), kept.shrink(0), kept.stats().entries))
            kept.put("c", b"z")
            kept.remove("b")
        return 0.0

    kept: ByteCache | None = None
    made = kept = cache(now=now)
    made.put("b", b"y")
    assert found == [(None, 0, 0)]
    kept = None
    assert made.get("b") == b"y"
    assert made.get("c") is None
    assert made.clear() > 0
    assert (made.stats().bytes, made.memory_report().large) == (0, 0)


def test_many_threads_keep_the_books_right() -> None:
    """Under load the sum of bytes is that of the entries, and within the budget."""
    kept = cache(budget=50_000)
    until = time.monotonic() + 0.5

    def work(seed: int) -> None:
        number = seed
        while time.monotonic() < until:
            number = (number * 1103515245 + 12345) % 2**31
            key = f"k{number % 300}"
            value = kept.get_or_compute(key, lambda number=number: bytes(number % 900))
            assert isinstance(value, bytes)
            if number % 97 == 0:
                kept.shrink(10_000)
            if number % 31 == 0:
                kept.remove(key)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert 0 <= kept.stats().bytes <= 50_000
    kept.clear()
    assert (kept.stats().bytes, kept.memory_report().large) == (0, 0)
    assert not kept._pending


def test_the_registry_shares_its_budget(tmp_path: object) -> None:
    """Together the caches of answers and searches take what the setting allows; 0 switches off."""
    caches = Caches(Settings(data_dir=tmp_path, answer_cache_mb=4, embedding_cache_mb=0))
    assert sum(stats.budget for stats in caches.stats()) == 4 * 1024 * 1024
    assert len(caches.memory_reports()) == 2
    for number in range(100):
        caches.answers.put(str(number), bytes(1000))
        caches.searches.put(str(number), bytes(3000))
    caches.shrink(100_000)
    assert 50_000 < sum(stats.bytes for stats in caches.stats()) <= 100_000
    assert caches.clear() > 0
    assert sum(stats.bytes for stats in caches.stats()) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("How  long?\n", "How long?", True), ("caf\u00e9", "cafe\u0301", True), ("How long?", "how long?", False)],
)
def test_questions_that_are_the_same(one: str, other: str, same: bool) -> None:
    """Blanks and composition do not matter, letters do; a key is short whatever was asked."""
    assert (normalised_text(one) == normalised_text(other)) is same
    assert (cache_key(normalised_text(one)) == cache_key(normalised_text(other))) is same
    assert len(cache_key("x" * 100_000)) == 48


def test_keys_tell_their_parts_apart() -> None:
    """What belongs to one part cannot look like another's."""
    parts: list[Callable[[], str]] = [
        lambda: cache_key("a", "b"),
        lambda: cache_key("ab"),
        lambda: cache_key("a", ["b"]),
        lambda: cache_key("a", None),
        lambda: cache_key('a","b'),
    ]
    assert len({make() for make in parts}) == len(parts)
