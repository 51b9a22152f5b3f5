"""Runs the faults of the drill on a pond one after the other, while clients work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from tests.drill.clients import Clients
from tests.drill.faults import Fault
from tests.drill.history import History, Outcome, now
from tests.pond.whole import Pond
from tests.servers import eventually

QUIET_SECONDS = 6.0
LEAST_DOCUMENTS = 15


@dataclass(frozen=True)
class Noticed:
    """What clients noticed of a fault, which began at `at` seconds of the drill, and what of it is over the target."""

    fault: str
    at: float
    lasted: float
    outcome: Outcome
    missed: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return it for the report's file of figures."""
        return asdict(self)


def run(pond: Pond, clients: Clients, faults: Sequence[Fault], say: Callable[[str], object]) -> list[Noticed]:
    """Do each fault, with quiet before and after it; return what was noticed."""
    history = clients.history
    began = now()
    found: list[Noticed] = []
    eventually(lambda: len(history.living()) >= LEAST_DOCUMENTS, what="documents")
    for fault in faults:
        rest(QUIET_SECONDS)
        say(fault.name)
        since = now()
        fault.begin(pond)
        rest(fault.seconds)
        fault.end(pond)
        mended = now()
        eventually(lambda: set(pond.states().values()) == {"ready"}, seconds=60.0, what="nodes that are ready")
        rest(QUIET_SECONDS)
        found.append(noticed(fault, history, began, since, mended))
    return found


def noticed(fault: Fault, history: History, began: float, since: float, mended: float) -> Noticed:
    """Hold what clients noticed from a fault's begin on against its target."""
    outcome = history.outcome(since, now())
    missed = []
    if outcome.soon and not fault.soon:
        missed.append(f"{outcome.soon} requests failed that began in the first 2 s")
    if outcome.later and not fault.later:
        missed.append(f"{outcome.later} requests failed that began later")
    if outcome.gap > fault.gap:
        missed.append(f"a client had no answer for {outcome.gap:.1f} s, {fault.gap:g} s at most")
    return Noticed(fault.name, since - began, mended - since, outcome, tuple(missed))


def rest(seconds: float) -> None:
    """Let the clients work for a while: what a fault does takes time."""
    threading.Event().wait(seconds)
