"""Scenarios of the collection policy for child processes: idle, load, off, large work; with real garbage."""

from __future__ import annotations

import gc
import threading
import time
from typing import Any

from services.core.actor import Actor, Role
from services.memory.gc.policy import MAX_PAUSE_SHARE, CollectionPolicy
from services.memory.gc.types import GCSettings
from tests.memory.gc.child import Node, Parts, containers, old_garbage
from tests.servers import eventually

SPEED = 10.0
ADMIN = Actor("Ada", Role.ADMIN)


class World:
    """A policy with real parts, and requests that are only numbers. Its clock runs 10 times as fast."""

    def __init__(self) -> None:
        gc.set_threshold(5_000_000, 10, 10)  # Python itself must not come in between
        gc.collect()
        self.parts = Parts(speed=SPEED)
        self.busy = self.done = 0
        self.policy = CollectionPolicy(
            self.parts.clock,
            lambda: self.busy,
            self.parts.sink,
            self.parts.collector,
            done=lambda: self.done,
        )
        self.policy.check()

    def check(self, seconds: float) -> None:
        """Check for some seconds of its clock."""
        clock, pause = self.parts.clock, threading.Event()
        until = clock.time() + seconds
        while clock.time() < until:
            self.policy.check()
            pause.wait(0.005)

    def collected(self) -> bool:
        """Check once; return whether it has collected by now."""
        self.policy.check()
        return self.policy.last is not None

    def report(self) -> dict[str, Any]:
        last, state = self.policy.last, self.policy.state()
        return {
            "reason": last.reason.value if last else "",
            "generation": last.generation if last else -1,
            "found": last.found if last else 0,
            "description": last.description if last else "",
            "runs": sum(state.runs.values()),
            "active": state.active,
            "state": state.description,
            "events": self.parts.sink.actions,
        }


def quiet() -> dict[str, Any]:
    """Leave garbage and ask for nothing."""
    world = World()
    old_garbage(20_000)  # two blocks each: more than an idle moment needs, less than any load does
    eventually(world.collected, what="a collection when idle")
    first = world.report()
    world.check(8.0)
    return {"first": first, "later": world.report()}


def long_quiet() -> dict[str, Any]:
    """Have a full collection examine what is in use, and let it become garbage with the last request."""
    world = World()
    nodes = [Node() for _ in range(30_000)]
    gc.collect()
    world.done = 1
    world.policy.check()
    del nodes
    eventually(world.collected, what="a collection after a long quiet")
    first = world.report()
    world.check(40.0)
    return {"first": first, "later": world.report()}


def little() -> dict[str, Any]:
    """Leave hardly any garbage."""
    world = World()
    old_garbage(2000)
    world.check(8.0)
    return world.report()


def load() -> dict[str, Any]:
    """Leave some garbage under load, then much of it."""
    world = World()
    world.busy = 1
    old_garbage(15_000)
    world.check(5.0)
    some = world.report()
    old_garbage(150_000)
    eventually(world.collected, what="a collection under load")
    return {"some": some, "much": world.report()}


def heavy_load() -> dict[str, Any]:
    """Leave much garbage again and again."""
    world = World()
    world.busy = 1
    began = time.monotonic()
    while time.monotonic() - began < 0.6:
        old_garbage(160_000)
        world.policy.check()
    seconds = time.monotonic() - began
    state = world.policy.state()
    assert state.last is not None
    return {
        "runs": sum(state.runs.values()),
        "bound": MAX_PAUSE_SHARE * seconds,
        "earlier": state.seconds - state.last.seconds,
    }


def requests_in_between() -> dict[str, Any]:
    """Ask for something again and again, always done when the policy checks."""
    world = World()
    old_garbage(15_000 + 10_000)
    until = time.monotonic() + 0.8
    while time.monotonic() < until:
        world.done += 1
        world.policy.check()
    return world.report()


def switched_off() -> dict[str, Any]:
    """Leave much garbage after a person has switched off what would collect it."""
    outcomes = {}
    for name, settings in (
        ("collector", GCSettings((700, 10, 10), automatic=False)),
        ("threshold", GCSettings((0, 10, 10))),
        ("policy", GCSettings((700, 10, 10), policy=False)),
    ):
        world = World()
        world.parts.collector.change(ADMIN, settings, 1000.0)
        nodes = [Node() for _ in range(200_000)]
        del nodes
        world.policy.report_large_work("something", at_once=True, certain=True)
        world.check(5.0)
        outcomes[name] = world.report()
        world.parts.collector.close()
    return outcomes


def big_work() -> dict[str, Any]:
    """Report that large work has ended: with time for a collection, during other work, and with nothing to gain."""
    world = World()
    world.policy.report_large_work("nothing much", at_once=True)
    nothing = world.report()
    world.policy.report_large_work("unloading", at_once=True, certain=True)
    certain = world.report()
    world.busy = 1
    old_garbage(15_000)
    world.policy._not_before = 0.0  # the cost of the last one is not what this is about
    world.policy.report_large_work("ingestion")
    world.policy.check()
    waiting = world.report()
    eventually(lambda: world.collected() and world.report()["runs"] == 2, what="a collection in the midst of work")
    return {"nothing": nothing, "certain": certain, "waiting": waiting, "done": world.report()}


def somebody_else() -> dict[str, Any]:
    """Have somebody else collect what was left."""
    world = World()
    kept = containers(100_000)
    gc.collect()
    world.check(8.0)
    return world.report() | {"kept": len(kept)}


def everything() -> dict[str, Any]:
    """Run all scenarios, each with a policy of its own."""
    scenarios = (
        quiet,
        long_quiet,
        little,
        load,
        heavy_load,
        requests_in_between,
        switched_off,
        big_work,
        somebody_else,
        in_vain,
    )
    return {scenario.__name__: scenario() for scenario in scenarios}


def in_vain() -> dict[str, Any]:
    """Let memory in use grow under load without any garbage."""
    world = World()
    world.busy = 1
    kept: list[object] = []
    needed: list[int] = []
    for _ in range(4):
        kept.append(containers(250_000))
        world.policy._not_before = 0.0  # the cost of the last one is not what this is about
        world.policy.check()
        needed.append(world.policy.state().needed_blocks)
    return {"needed": needed, "runs": sum(world.policy.state().runs.values())}
