"""The memory of another node as it tells it over its API; words are in the language of whoever reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from services.core.errors import ConflictError, ForbiddenError, NotFoundError, UnavailableError
from services.core.events import EventKind
from services.core.i18n import _
from services.core.memory_report import MemoryReport, Owner
from services.memory.leaks.types import Suspect, SuspectKind, VerdictState
from services.memory.ledger.ledger import Ledger
from services.memory.types import Floats, Sample, Window
from services.memory.watching_cost import WatchingActivity, WatchingCost
from services.operations.event_log import Event

if TYPE_CHECKING:
    from services.core.actor import Actor
    from services.nodes.pond_nodes import Nodes

Found = TypeVar("Found")
_OK = 300
_REFUSED = {403: ForbiddenError, 404: NotFoundError, 409: ConflictError}


@dataclass(frozen=True, slots=True)
class NodeVerdict:
    """A node's verdict on its memory; `steps` say how RSS went until then."""

    state: VerdictState
    time: float
    headline: str
    evidence: tuple[str, ...]
    steps: tuple[str, ...]
    suspects: tuple[Suspect, ...]


@dataclass(frozen=True, slots=True)
class NodeMemory:
    """What a node tells of its memory at one moment; bytes, and seconds since the epoch by its own clock."""

    time: float
    rss: int
    limit: int | None
    sample: Sample
    ledger: Ledger | None
    watching: WatchingCost
    verdict: NodeVerdict


class OtherNode:
    """Asks another node for an actor. All methods raise UnavailableError where it cannot be reached or understood,
    and what it refuses as ForbiddenError, NotFoundError or ConflictError.
    """

    def __init__(self, nodes: Nodes, actor: Actor, number: int) -> None:
        self._nodes = nodes
        self._actor = actor
        self._number = number

    def memory(self) -> NodeMemory:
        """Return verdict, figures and ledger."""
        told = self._ask("GET", "/api/memory")
        return _understood(lambda: _memory(told))

    def history(self, start: float, end: float, columns: Sequence[str], points: int) -> Window:
        """Return a range of the history."""
        wanted = {"start": start, "end": end, "columns": ",".join(columns), "points": points, "extremes": "true"}
        told = self._ask("GET", f"/api/memory/history?{urlencode(wanted)}")
        return _understood(lambda: _window(told))

    def events(self, start: float, end: float, limit: int) -> list[Event]:
        """Return the newest events of a range, oldest first; not those of a kind that only its version knows."""
        told = self._ask("GET", f"/api/memory/events?{urlencode({'start': start, 'end': end, 'limit': limit})}")
        return _understood(lambda: [_event(each) for each in told["events"] if each["kind"] in set(EventKind)])

    def restart(self, reason: str) -> None:
        """Have it restart as planned."""
        import json

        self._ask("POST", "/api/restart", json.dumps({"reason": reason}).encode())

    def drain(self) -> None:
        """Have it drained."""
        self._ask("POST", f"/api/nodes/{self._number}/drain")

    def resume(self) -> None:
        """Have it be ready again."""
        self._ask("DELETE", f"/api/nodes/{self._number}/drain")

    def _ask(self, method: str, target: str, body: bytes = b"") -> dict[str, Any]:
        answer = self._nodes.ask(self._actor, self._number, method, target, body=body)
        told = answer.json()
        if answer.status >= _OK:
            kind = _REFUSED.get(answer.status, UnavailableError)
            raise kind(str(told.get("detail", answer.status)), str(told.get("hint", "")))
        return told


def _understood(read: Callable[[], Found]) -> Found:
    """Return what `read` does.

    Raises:
        UnavailableError: something is missing or different.
    """
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnavailableError(
            _("What the node answers is not understood here: it has another version ({reason}).").format(
                reason=str(error)[:100]
            ),
            _("Use its own pages."),
        ) from error


def _memory(told: dict[str, Any]) -> NodeMemory:
    verdict, watching = told["verdict"], told["watching"]
    course = verdict["course"] or {}
    steps = [*course.get("earlier_excursions", ()), *course.get("steps", ()), *course.get("excursions", ())]
    steps += [course["current"]] if course.get("current") else []
    peak = watching["peak_activity"]
    return NodeMemory(
        time=told["time"],
        rss=told["rss_bytes"],
        limit=told["limit_bytes"],
        sample=Sample(told["time"], told["latest"]),
        ledger=_ledger(told),
        watching=WatchingCost(
            watching["window_seconds"],
            watching["cpu_cores"],
            {WatchingActivity(name): cores for name, cores in watching["cpu_by_activity"].items()},
            watching["peak_cpu_cores"],
            None if peak is None else WatchingActivity(peak),
            watching["peak_age_seconds"],
        ),
        verdict=NodeVerdict(
            VerdictState(verdict["state"]),
            verdict["time"],
            verdict["headline"],
            tuple(verdict["evidence"]),
            tuple(step["words"] for step in steps),
            tuple(
                Suspect(SuspectKind(each["kind"]), each["name"], each["detail"], each["slope"])
                for each in verdict["suspects"]
            ),
        ),
    )


def _ledger(told: dict[str, Any]) -> Ledger | None:
    if told["ledger_time"] is None:
        return None
    owners: Counter[Owner] = Counter()
    for each in told["owners"]:
        owners[_owner(each["name"])] += each["bytes"]
    held = tuple(
        MemoryReport(
            each["name"],
            each["detail"],
            each["bytes"],
            each["loads"],
            attributes=each["attributes"],
            owner=_owner(each["owner"]),
        )
        for each in told["held"]
    )
    return Ledger(
        told["ledger_time"],
        told["ledger_rss_bytes"],
        owners,
        held,
        tuple(told["unknown"]),
        told["ledger_seconds"] or 0.0,
    )


def _owner(name: str) -> Owner:
    """Return an owner; one that only the node's version knows has no name here."""
    return Owner(name) if name in set(Owner) else Owner.UNNAMED


def _window(told: dict[str, Any]) -> Window:
    import numpy as np

    def columns(values: dict[str, list[float | None]]) -> dict[str, Floats]:
        return {name: np.array(each, dtype=np.float64) for name, each in values.items()}  # None becomes NaN

    return Window(
        np.array(told["times"], dtype=np.float64),
        told["step_seconds"],
        columns(told["columns"]),
        columns(told["minima"]),
        columns(told["maxima"]),
        np.array(told["runs"], dtype=np.int64),
    )


def _event(told: dict[str, Any]) -> Event:
    return Event(told["time"], EventKind(told["kind"]), told["detail"], told["figures"], told["actor"], told["id"])
