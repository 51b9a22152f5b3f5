"""Gathers what is needed to name suspects: censuses and, since the warm-up, threads and descriptors by group."""

from __future__ import annotations

from collections import Counter

from services.memory.leaks.censuses import Censuses
from services.memory.leaks.finding import Finding
from services.memory.leaks.probes import Probes
from services.memory.leaks.scales import HOUR
from services.memory.leaks.suspects import by_census, by_group, by_line, by_owner, ordered
from services.memory.leaks.types import LeakKind, State, Suspect, SuspectKind

_SUSPECTS = {LeakKind.THREADS: SuspectKind.THREAD, LeakKind.DESCRIPTORS: SuspectKind.DESCRIPTOR}


class Gathering:
    """Looks around in this process, at a pace that fits the suspicion."""

    def __init__(self, probes: Probes) -> None:
        self._lines = probes.lines
        self._probes = {LeakKind.THREADS: probes.threads, LeakKind.DESCRIPTORS: probes.descriptors}
        self._groups: dict[LeakKind, tuple[float, Counter[str]]] = {}
        self.censuses = Censuses(probes.census)

    def look(self, found: Finding | None, now: float) -> None:
        """Look around if it is time to."""
        self.censuses.look(now, suspicious=found is not None, urgent=found is not None and found.state is State.LEAK)
        for kind, probe in self._probes.items():
            if probe is not None and kind not in self._groups:
                self._groups[kind] = (now, probe())

    def suspects(self, found: Finding, now: float) -> tuple[Suspect, ...]:
        """Return who grows along with the finding, what explains most first."""
        slope = max(found.look.growth.slope, 1e-9)
        probe = self._probes.get(found.kind)
        if probe is not None and found.kind in self._groups:
            began, before = self._groups[found.kind]
            return ordered(by_group(probe(), before, max(now - began, 1.0) / HOUR, _SUSPECTS[found.kind]))
        lines = self._lines() if self._lines is not None else ()
        censuses = self.censuses.since(now - found.look.window)
        return ordered(by_line(lines, slope), by_census(censuses, slope, found.kind), by_owner(found.blocks, slope))
