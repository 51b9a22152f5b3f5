from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from services.core.actor import SERVICE, Actor, Role
from services.core.errors import BusyError, ForbiddenError, NotFoundError, UnavailableError
from services.core.events import EventKind
from services.core.memory_report import Owner
from services.memory import reclaimers as module
from services.memory.clock import Clock
from services.memory.ledger.ledger import Ledger
from services.memory.reclaimers import RecentEffects, Reclaimer, Reclaimers
from tests.events import RecordingEventSink

USER = Actor("visitor", Role.USER)


class Heap:
    """Accounts of a made-up cache of 40 MB that can be emptied."""

    def __init__(self) -> None:
        self.cached = 40_000_000
        self.ledgers = 0

    def build(self) -> Ledger:
        self.ledgers += 1
        return Ledger(0.0, self.cached, {Owner.OWN_CACHES: self.cached}, (), ())

    def release(self) -> str:
        self.cached = 0
        return "emptied"


@pytest.fixture
def heap() -> Heap:
    return Heap()


@pytest.fixture
def sink() -> RecordingEventSink:
    return RecordingEventSink()


@pytest.fixture
def effects() -> RecentEffects:
    return RecentEffects()


@pytest.fixture
def reclaimers(heap: Heap, sink: RecordingEventSink, effects: RecentEffects) -> Reclaimers:
    found = Reclaimers(Clock(), heap, sink, effects)
    found.add(Reclaimer("cache", "The cache", "Slow for a while.", lambda: heap.cached, heap.release))
    return found


def also(found: Reclaimers, release: Callable[[], str], estimate: Callable[[], int | None] = lambda: None) -> None:
    found.add(Reclaimer("other", "Another", "Nothing.", estimate, release))


def test_what_it_would_free_and_what_it_freed(
    reclaimers: Reclaimers, heap: Heap, sink: RecordingEventSink, effects: RecentEffects
) -> None:
    """Before the click it must be said what it would free, after it what became of each owner, and who did it."""
    offer = reclaimers.available()[0]
    assert (offer.name, offer.label, offer.bytes) == ("cache", "The cache", 40_000_000)
    effect = reclaimers.release(SERVICE, "cache")
    assert (effect.owners_before[Owner.OWN_CACHES], effect.owners_after[Owner.OWN_CACHES]) == (40_000_000, 0)
    assert (effect.actor, effect.detail, heap.ledgers) == ("millpond", "emptied", 2)
    assert effects.latest() == (effect,)
    assert [(actor, kind, detail) for actor, kind, detail, _figures in sink.events] == [
        ("millpond", EventKind.RELEASE, "The cache: emptied")
    ]
    assert reclaimers.available()[0].bytes == 0


def test_who_may_only_look_releases_nothing(reclaimers: Reclaimers, heap: Heap) -> None:
    """The check must be here, not in the page's buttons; unknown names reveal nothing to those who may not act."""
    for name in ("cache", "nothing"):
        with pytest.raises(ForbiddenError):
            reclaimers.release(USER, name)
    assert (heap.cached, heap.ledgers) == (40_000_000, 0)


def test_what_is_not_there_is_not_offered(reclaimers: Reclaimers) -> None:
    """A GPU's cache would be offered, and fail, on a machine without one."""
    reclaimers.add(Reclaimer("gpu", "GPU", "", lambda: 1, lambda: "", lambda: False))
    assert reclaimers.names == ("cache",)
    for name in ("gpu", "nothing"):
        with pytest.raises(NotFoundError, match="cache"):
            reclaimers.release(SERVICE, name)


def test_an_estimate_that_fails_is_unknown(reclaimers: Reclaimers) -> None:
    """One failing estimate would take the whole list away."""

    def broken() -> int:
        raise ZeroDivisionError

    also(reclaimers, lambda: "", broken)
    assert [offer.bytes for offer in reclaimers.available()] == [40_000_000, None]


def test_a_failure_is_reported_and_blocks_nothing(
    reclaimers: Reclaimers, sink: RecordingEventSink, effects: RecentEffects
) -> None:
    """A release that fails would leave no trace, or keep everybody from releasing anything from then on."""

    def fail() -> str:
        raise UnavailableError("It is in use.", "Wait.")

    also(reclaimers, fail)
    with pytest.raises(UnavailableError):
        reclaimers.release(SERVICE, "other")
    assert [detail for _actor, _kind, detail, _figures in sink.events] == ["Another: failed: It is in use."]
    assert effects.latest() == ()
    reclaimers.release(SERVICE, "cache")


def test_one_at_a_time(reclaimers: Reclaimers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at once would each be credited with what both have freed; and nobody waits for ever."""
    monkeypatch.setattr(module, "LOCK_TIMEOUT_SECONDS", 0.05)
    begun, end = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        end.wait(30)
        return ""

    also(reclaimers, slow)
    thread = threading.Thread(target=reclaimers.release, args=(SERVICE, "other"))
    thread.start()
    assert begun.wait(30)
    with pytest.raises(BusyError, match="Something else"):
        reclaimers.release(SERVICE, "cache")
    end.set()
    thread.join()
    reclaimers.release(SERVICE, "cache")


def test_effects_are_bounded(reclaimers: Reclaimers, effects: RecentEffects) -> None:
    """A budget that acts for months would keep every effect."""
    made = [reclaimers.release(SERVICE, "cache") for _number in range(25)]
    assert effects.latest() == tuple(reversed(made[-20:]))
