"""Runs the faults of the drill on a pond one after the other, while clients work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from services.core.database import Database
from services.core.errors import TakenOverError
from services.nodes.types import NodeState
from tests.drill.clients import Clients
from tests.drill.faults import Fault
from tests.drill.history import History, now
from tests.drill.stage import FAULTY, Stage
from tests.front.nodes import Start
from tests.front.outcomes import Outcome
from tests.servers import eventually

QUIET_SECONDS = 6.0
LEAST_DOCUMENTS = 15
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Noticed:
    """What clients noticed of a fault, which began at `at` seconds of the drill, and what of it is over the target.

    `taken_over`: after how many seconds the node was, None where it was not to be.
    """

    fault: str
    target: str
    at: float
    lasted: float
    outcome: Outcome
    taken_over: float | None
    missed: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return it for the report's file of figures."""
        return asdict(self)


def run(stage: Stage, clients: Clients, faults: Sequence[Fault], say: Callable[[str], object]) -> list[Noticed]:
    """Do each fault that can be made here, with quiet before and after it; return what was noticed."""
    history = clients.history
    began = now()
    found: list[Noticed] = []
    eventually(lambda: len(history.living()) >= LEAST_DOCUMENTS, seconds=120.0, what="documents")
    for fault in faults:
        if lacking := fault.lacking(stage):
            say(f"{fault.name}: left out, {lacking}")
            continue
        fault.prepare(stage)
        _settle(stage)
        rest(QUIET_SECONDS)
        say(fault.name)
        before = stage.pond.listed()[FAULTY]
        since = now()
        fault.begin(stage)
        taken = _await_take_over(stage, fault, since)
        rest(fault.seconds - (now() - since if taken else 0.0))
        fault.end(stage)
        mended = now()
        _settle(stage)
        rest(QUIET_SECONDS)
        refused = not fault.taken_over or _is_refused(stage, before.number, before.epoch)
        found.append(noticed(fault, history, began, since, mended, taken, refused=refused))
        say(f"  {found[-1].outcome}" + (f"; missed: {'; '.join(found[-1].missed)}" if found[-1].missed else ""))
        fault.restore(stage)
        stage.pond.nodes.starts[FAULTY] = Start()
    _settle(stage)
    return found


def noticed(
    fault: Fault,
    history: History,
    began: float,
    since: float,
    mended: float,
    taken: float | None = None,
    *,
    refused: bool = True,
) -> Noticed:
    """Hold what clients noticed from a fault's begin on against its target."""
    outcome = history.outcome(since, now())
    missed = []
    if outcome.in_flight and not fault.soon:
        missed.append(f"{outcome.in_flight} requests failed that were in progress")
    if outcome.soon and not fault.soon:
        missed.append(f"{outcome.soon} requests failed that began in the first 2 s")
    if outcome.later and not fault.later:
        missed.append(f"{outcome.later} requests failed that began later")
    if fault.refuses is not None and (others := outcome.refused.keys() - fault.refuses):
        missed.append(f"told to come again although nothing of it was away: {', '.join(sorted(others))}")
    if fault.gap is not None and outcome.gap > fault.gap:
        missed.append(f"a client had no answer for {outcome.gap:.1f} s, {fault.gap:g} s at most")
    if fault.taken_over and (taken is None or taken > fault.taken_over):
        missed.append("not taken over" if taken is None else f"taken over after {taken:.1f} s")
    if not refused:
        missed.append("the node could have written with its old epoch")
    return Noticed(fault.name, fault.target, since - began, mended - since, outcome, taken, tuple(missed))


def rest(seconds: float) -> None:
    """Let the clients work for a while: what a fault does takes time."""
    threading.Event().wait(max(0.0, seconds))


def _settle(stage: Stage) -> None:
    """Wait until all nodes are ready, and the front knows it."""
    eventually(lambda: set(stage.pond.states().values()) == {"ready"}, seconds=120.0, what="nodes that are ready")
    eventually(stage.pond.in_front, seconds=60.0, what="a front that knows all nodes")


def _await_take_over(stage: Stage, fault: Fault, since: float) -> float | None:
    """Return after how many seconds the faulty node was taken over, None where it was not, or is not to be."""
    while fault.taken_over and now() < since + fault.seconds:
        if stage.pond.states().get(FAULTY) == NodeState.TAKEN_OVER:
            return now() - since
        rest(_LOOK_SECONDS)
    return None


def _is_refused(stage: Stage, number: int, epoch: int) -> bool:
    """Return whether a write is refused that a node begins with an old epoch."""
    database = Database(stage.pond.url)
    try:
        database.join(number, epoch)
        try:
            with database.write():
                return False
        except TakenOverError:
            return True
    finally:
        database.close()
