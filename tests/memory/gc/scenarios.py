"""Scenarios for child processes: settings, trials, actions."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from services.core.actor import SERVICE, Actor, Role
from services.core.database import Database
from services.core.errors import BadInputError, ForbiddenError
from services.core.preferences import Preferences
from services.memory.clock import Clock
from services.memory.gc.explain import current_rules, read_gate_counts
from services.memory.gc.types import GCSettings, GCState
from services.memory.monitor import MemoryMonitor
from tests.memory.gc.child import Parts, RecordingEventSink, containers, old_garbage
from tests.servers import eventually

ADMIN = Actor("Ada", Role.ADMIN)
GUEST = Actor("guest", Role.USER)
OTHER = GCSettings((300, 5, 5))


def own_gc() -> list[object]:
    """Return the state of the interpreter's collector."""
    return [*gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()]


def defaults() -> dict[str, Any]:
    return {"found": gc.get_threshold(), "explained": current_rules().defaults}


def counters_to_full() -> dict[str, Any]:
    """Allocate until Python makes a full collection by itself, with the gate open all the time."""
    gc.freeze()
    gc.collect()
    before = gc.get_stats()[2]["collections"]
    kept: list[list[object]] = []
    while gc.get_stats()[2]["collections"] == before:
        kept.append([])
    return {"allocated": len(kept), "explained": current_rules().allocations_to_full(gc.get_threshold())}


def gate_counts() -> dict[str, Any]:
    """Have many objects grow old, and then a full collection."""
    gc.collect()
    first, objects = read_gate_counts(), len(gc.get_objects())
    nodes = containers(50_000)
    gc.collect(1)
    second = read_gate_counts()
    gc.collect()
    return {"objects": objects, "first": first, "second": second, "third": read_gate_counts(), "nodes": len(nodes)}


def actions() -> dict[str, Any]:
    """Collect, freeze and unfreeze with garbage that is hidden meanwhile."""
    parts = Parts()
    collector = parts.collector
    old_garbage(20_000)
    gc.disable()  # by its counts of allocations Python might find the garbage first
    young = collector.collect(ADMIN, 0)
    full = collector.collect(ADMIN)
    kept = containers(30_000)
    froze = collector.freeze(ADMIN)
    frozen = collector.state()
    hidden = len(gc.get_objects())
    kept.append(kept)
    del kept
    blind = collector.collect(ADMIN)
    shown = collector.unfreeze(ADMIN)
    return {
        "young": young.found,
        "full": [full.found, full.uncollectable, full.seconds, len(full.owners_before), len(full.owners_after)],
        "frozen": [frozen.frozen, frozen.tracked, hidden, froze.detail],
        "blind": blind.found,
        "shown": [shown.found, shown.detail, collector.state().frozen],
        "asked": [pause.asked for pause in parts.pauses.recent() if pause.generation == 2],
        "events": parts.sink.actions,
    }


def close_puts_back() -> dict[str, Any]:
    """Change everything that can be changed, and close."""
    before = own_gc()
    parts = Parts()
    built = own_gc()
    parts.collector.change(ADMIN, GCSettings((300, 5, 5), automatic=False))
    parts.collector.freeze(ADMIN)
    changed = own_gc()
    parts.collector.close()
    parts.collector.close()
    return {"before": before, "built": built, "changed": changed, "after": own_gc()}


def refusals() -> dict[str, Any]:
    """Let a user without rights try everything."""
    parts = Parts()
    before, refused = own_gc(), 0
    attempts: list[Callable[[], object]] = [
        lambda: parts.collector.change(GUEST, OTHER),
        lambda: parts.collector.change(GUEST, OTHER, 60.0),
        lambda: parts.collector.keep(GUEST),
        lambda: parts.collector.revert(GUEST),
        lambda: parts.collector.freeze(GUEST),
        lambda: parts.collector.unfreeze(GUEST),
        lambda: parts.collector.collect(GUEST),
    ]
    for attempt in attempts:
        try:
            attempt()
        except ForbiddenError:
            refused += 1
    return {"refused": refused, "before": before, "after": own_gc(), "events": parts.sink.actions}


def bad_input() -> dict[str, Any]:
    """Give what cannot be used."""
    parts = Parts()
    before, outcomes = own_gc(), []
    attempts: list[Callable[[], object]] = [
        lambda: parts.collector.change(ADMIN, GCSettings((-1, 10, 10))),
        lambda: parts.collector.change(ADMIN, GCSettings((1, 10, 10))),
        lambda: parts.collector.change(ADMIN, GCSettings((10**12, 10, 10))),
        lambda: parts.collector.change(ADMIN, GCSettings((700, -1, 10))),
        lambda: parts.collector.change(ADMIN, GCSettings((700, 10, 10**9))),
        lambda: parts.collector.change(ADMIN, GCSettings((cast("int", 700.5), 10, 10))),
        lambda: parts.collector.change(ADMIN, GCSettings((True, 10, 10))),
        lambda: parts.collector.change(ADMIN, OTHER, -5.0),
        lambda: parts.collector.change(ADMIN, OTHER, float("nan")),
        lambda: parts.collector.change(ADMIN, OTHER, 1e9),
        lambda: parts.collector.collect(ADMIN, 7),
        lambda: parts.collector.collect(ADMIN, -1),
    ]
    for attempt in attempts:
        try:
            attempt()
            outcomes.append("taken")
        except BadInputError as error:
            outcomes.append("refused" if error.hint else "no hint")
    return {"outcomes": outcomes, "before": before, "after": own_gc(), "events": parts.sink.actions}


def trial_runs_out(folder: str) -> dict[str, Any]:
    """Try something for half a minute of a fast clock, with the real monitor."""
    clock, sink = Clock(100.0), RecordingEventSink()
    monitor = MemoryMonitor(Path(folder), clock, sink)
    monitor.start()
    before = own_gc()
    monitor.collector.change(ADMIN, OTHER, 30.0)
    during = own_gc()
    eventually(lambda: monitor.collector.trial is None, what="the end of the trial")
    after, last = own_gc(), monitor.collector.last_trial
    monitor.close()
    assert last is not None
    return {"before": before, "during": during, "after": after, "verdict": last.verdict, "events": sink.actions}


def _collections(count: int, size: int) -> None:
    """Have about `count` young collections that each examine `size` live objects."""
    for _ in range(count):
        kept = containers(size)
        del kept


def trial_gets_worse() -> dict[str, Any]:
    """Try a threshold that makes each collection examine 200 times as much."""
    parts = Parts()
    gc.freeze()  # what was imported would blur what is compared
    _collections(60, 1000)
    before = own_gc()
    parts.collector.change(ADMIN, GCSettings((200_000, 10, 10)), 3600.0)
    parts.collector.check()
    early = parts.collector.trial
    _collections(33, 200_100)
    parts.collector.check()
    last = parts.collector.last_trial
    assert early is not None
    return {
        "before": before,
        "after": own_gc(),
        "early": early.verdict,
        "verdict": last.verdict if last else "",
        "p95": [last.before_p95, last.now_p95] if last else [],
        "events": parts.sink.actions,
    }


def trial_stays() -> dict[str, Any]:
    """Try the same again, with full collections on demand in between: they are not the settings' doing."""
    parts = Parts()
    gc.freeze()
    _collections(60, 1000)
    parts.collector.change(ADMIN, GCSettings((701, 10, 10)), 3600.0)
    kept = containers(200_000)
    for _ in range(5):
        parts.collector.collect_unrecorded(2)
    _collections(60, 1000)
    parts.collector.check()
    trial = parts.collector.trial
    return {"running": trial is not None, "verdict": trial.verdict if trial else "", "kept": len(kept)}


def trial_is_replaced() -> dict[str, Any]:
    """Try one thing, then another, then go back; then keep something in the midst of a trial."""
    parts = Parts()
    collector = parts.collector
    before = own_gc()
    collector.change(ADMIN, OTHER, 600.0)
    second = collector.change(ADMIN, GCSettings((5000, 10, 10)), 600.0)
    collector.revert(SERVICE)
    reverted = own_gc()
    collector.change(ADMIN, OTHER, 600.0)
    collector.change(ADMIN, GCSettings((900, 10, 10)))
    assert second is not None
    return {
        "before": before,
        "goes_back_to": list(second.before.thresholds),
        "reverted": reverted,
        "kept": own_gc(),
        "trial": collector.trial is not None,
    }


def _preferences(folder: str) -> tuple[Database, Preferences]:
    database = Database(f"sqlite:///{folder}/millpond.db")
    database.create_tables()
    return database, Preferences(database)


def first_life(folder: str) -> dict[str, Any]:
    """Keep one thing, try another, and die in the midst of it."""
    _database, preferences = _preferences(folder)
    parts = Parts(preferences)
    parts.collector.change(ADMIN, GCSettings((900, 9, 9)), 600.0)
    parts.collector.keep(ADMIN)
    parts.collector.change(ADMIN, GCSettings((5000, 50, 50), policy=False), 600.0)
    return {"gc": own_gc(), "kept": _kept_values(parts.collector.state())}


def second_life(folder: str) -> dict[str, Any]:
    """Start again, as the service does."""
    database, preferences = _preferences(folder)
    sink = RecordingEventSink()
    monitor = MemoryMonitor(Path(folder) / "memory", Clock(), sink, preferences=preferences)
    built = own_gc()
    monitor.start()
    started, state = own_gc(), monitor.collector.state()
    monitor.close()
    closed = own_gc()
    database.close()
    return {"built": built, "started": started, "closed": closed, "kept": _kept_values(state), "events": sink.actions}


def spoilt_preferences(folder: str) -> dict[str, Any]:
    """Start with something stored that nobody could have set."""
    database, preferences = _preferences(folder)
    outcomes = []
    for value in ({"thresholds": [-5, 10, 10]}, {"thresholds": "700"}, {"other": 1}, {"thresholds": [1, 2]}):
        preferences.set("collector", value)
        parts = Parts(preferences)
        parts.collector.start()
        outcomes.append(own_gc()[:4])
    database.close()
    return {"outcomes": outcomes}


def _kept_values(state: GCState) -> list[object]:
    return [*state.kept.thresholds, state.kept.policy] if state.kept else []


def many_at_once() -> dict[str, Any]:
    """Change, keep, revert, collect and read from many threads while trials run out."""
    parts = Parts(speed=1000.0)
    errors: list[str] = []
    until = time.monotonic() + 1.0

    def act(number: int) -> None:
        while time.monotonic() < until:
            try:
                parts.collector.change(ADMIN, GCSettings((300 + number, 5, 5)), 5.0)
                parts.collector.check()
                parts.collector.collect_unrecorded(0)
                parts.collector.state()
                parts.collector.revert(ADMIN)
            except Exception as error:  # noqa: BLE001 - whatever it is, the test wants to see it
                if type(error).__name__ != "ConflictError":
                    errors.append(repr(error))

    threads = [threading.Thread(target=act, args=(number,)) for number in range(6)]
    before = own_gc()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if parts.collector.trial is not None:
        parts.collector.revert(ADMIN)
    return {"errors": errors[:5], "before": before, "after": own_gc()}
