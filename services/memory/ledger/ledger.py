"""Divides RSS among its owners, at a slower pace than the sampler.

How much of malloc's memory is Python's: objects over 512 bytes, as the last census counted them.

The ledger: RSS divided among its owners.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from services.core.i18n import _
from services.core.memory_report import MemoryReport, MemoryReporter, Owner, Region
from services.memory.clock import Clock
from services.memory.ledger.address_space import Area, Sorter
from services.memory.ledger.allocators import AllocatorReader, Allocators
from services.memory.ledger.divide import Division, Figures, divide
from services.memory.ledger.foreign import DriverMemory, foreign
from services.memory.ledger.mmap_blocks import Addresses, BlockFinder
from services.memory.ledger.smaps import Mapping as MemoryMapping
from services.memory.ledger.smaps import Residency, SmapsReader, parse
from services.memory.objects.types import Census
from services.memory.process import rss_bytes
from services.memory.types import Series, owner_column

log = structlog.get_logger(__name__)

PACE_SECONDS = 30.0
# Earlier when RSS has moved by this share; never so often that it costs more than the other share of a core.
MOVED_SHARE = 0.05
CORE_SHARE = 0.002


class LedgerBuilder:
    """Makes ledgers. Parts that hold something big register as holders."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._taking = threading.Lock()
        self._reporters: list[MemoryReporter] = []
        self._last: Ledger | None = None
        self._costs: deque[float] = deque(maxlen=5)
        self._smaps = SmapsReader()
        self._allocators = AllocatorReader()
        self._blocks: Addresses | None = None
        self._large = LargeObjects(lambda: None)
        self._driver = DriverMemory()

    def add_memory_reporter(self, holder: MemoryReporter) -> None:
        """Ask `holder` each time what it holds; twice does no harm."""
        if holder not in self._reporters:
            self._reporters.append(holder)

    def set_census(self, last: Callable[[], Census | None]) -> None:
        """Have the ledger ask `last` for the newest census: it tells large Python objects from other native memory."""
        self._large = LargeObjects(last)

    def memory_reports(self) -> list[MemoryReport]:
        """Ask all holders now; one that fails is left out and logged."""
        found: list[MemoryReport] = []
        for holder in self._reporters:
            try:
                found += holder()
            except Exception:
                # A part that cannot say what it holds must not hide what the others do.
                log.exception("a holder failed", holder=getattr(holder, "__qualname__", ""))
        return found

    def due(self) -> bool:
        """Whether it is time for the next ledger (10 microseconds)."""
        last = self._last
        if last is None:
            return True
        passed = self._clock.time() - last.time
        # Of the last looks the cheapest: libraries that are new, or a collection that happens to run, come only once.
        if passed * CORE_SHARE < min(self._costs):
            return False
        return passed >= PACE_SECONDS or abs(rss_bytes() - last.rss) > MOVED_SHARE * last.rss

    def take(self) -> Ledger:
        """Make a ledger now (about 20 ms of processor time for 900 mappings)."""
        with self._taking:
            began = time.thread_time()
            held = self.memory_reports()
            # One right after the other: what is allocated in between would have no name.
            text = self._smaps.read()
            allocators = self._allocators.read()
            mappings = parse(text)
            del text
            if not mappings:
                rss = rss_bytes()
                division = _without_maps(rss, held)
            else:
                rss = sum(mapping.rss for mapping in mappings)
                held += foreign(mappings)
                division = self._divide(mappings, held, allocators)
                driver = self._driver.of(division.owners.get(Owner.UNNAMED, 0))
                division.give(Owner.GPU_HOST, driver)
                division.give(Owner.UNNAMED, -driver)
            # By construction the owners add up to RSS; this says so even if a piece was miscounted.
            division.give(Owner.UNNAMED, rss - sum(division.owners.values()))
            if division.overclaimed:
                log.debug("more was reported than is there", bytes=division.overclaimed)
            ledger = Ledger(
                self._clock.time(),
                rss,
                {owner: division.owners.get(owner, 0) for owner in Owner},
                tuple(held),
                tuple(self._unknown(allocators, mappings)),
                time.thread_time() - began,
                division.overclaimed,
                {**allocators.series(), **_series(mappings)},
            )
            self._costs.append(ledger.took)
            self._last = ledger
            return ledger

    @property
    def last(self) -> Ledger | None:
        """The newest ledger, None before the first."""
        return self._last

    def columns(self) -> Mapping[str, float]:
        """Return the newest ledger as columns of a sample."""
        last = self._last
        if last is None:
            return {}
        return {**last.series, **{owner_column(owner): float(size) for owner, size in last.owners.items()}}

    def _divide(
        self, mappings: Sequence[MemoryMapping], held: Sequence[MemoryReport], allocators: Allocators
    ) -> Division:
        heap = allocators.heap
        self._large.look(held)
        with Residency() as residency:
            blocks = BlockFinder(residency, heap.mapped if heap else 0, self._blocks)
            found = Sorter(mappings, residency, blocks).pieces()
            self._blocks = blocks.addresses
            figures = Figures(
                heap,
                sum(piece.end - piece.start for piece in found if piece.area is Area.HEAP),
                blocks.found,
                allocators.pymalloc,
                self._large.within,
            )
            return divide(found, held, figures, residency)

    def _unknown(self, allocators: Allocators, mappings: Sequence[MemoryMapping]) -> list[str]:
        words = allocators.unknown()
        if not mappings:
            words.append(
                _("This system does not tell what lies in the process's memory: only what parts report is named.")
            )
        elif not self._large.known:
            words.append(_("Objects have not been counted yet: large Python objects count as native memory."))
        return words


def _without_maps(rss: int, held: Sequence[MemoryReport]) -> Division:
    """Believe the reports, as far as RSS has room for them."""
    division = Division()
    claims = [(r.owner, r.bytes) for r in held if r.region is not Region.ELSEWHERE]
    division.give(Owner.UNNAMED, division.share(rss, claims))
    return division


def _series(mappings: Sequence[MemoryMapping]) -> Mapping[str, float]:
    if not mappings:
        return {}
    return {
        Series.USS: float(sum(mapping.uss for mapping in mappings)),
        Series.PSS: float(sum(mapping.pss for mapping in mappings)),
        Series.SWAP: float(sum(mapping.swap for mapping in mappings)),
    }


class LargeObjects:
    """Estimates it between two censuses. What grows meanwhile counts as native; of what shrinks, objects take their
    share."""

    def __init__(self, last: Callable[[], Census | None]) -> None:
        self._last = last
        self._time: float | None = None
        self._counted = 0
        self._share: float | None = None
        self._least = 0

    @property
    def known(self) -> bool:
        """Whether there was a census."""
        return self._time is not None

    def look(self, held: Sequence[MemoryReport]) -> None:
        """Take in a new census; what is reported now was reported then, and is not counted again."""
        census = self._last()
        if census is not None and census.time != self._time:
            self._time = census.time
            reported = sum(
                r.large + sum(length for _address, length in r.ranges) for r in held if r.region is Region.PYTHON
            )
            self._counted = max(0, census.large_bytes - reported)
            self._share = None

    def within(self, malloc: int) -> int:
        """Return how many of `malloc` bytes that nobody reported are large objects."""
        if self._share is None:
            self._least = malloc
            self._share = min(1.0, self._counted / malloc) if malloc else 0.0
        self._least = min(self._least, malloc)
        return int(self._share * self._least)


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every byte of RSS under one owner; the values of `owners` add up to `rss`.

    `held` are the reports that went in, `unknown` says in words what this system cannot tell, `took` is the cost in
    seconds of processor time. `overclaimed` is how many bytes the parts reported beyond what there is where they said.
    `series` are the dear columns of a sample that fall out of the same look, by name.
    """

    time: float
    rss: int
    owners: Mapping[Owner, int]
    held: tuple[MemoryReport, ...] = ()
    unknown: tuple[str, ...] = ()
    took: float = 0.0
    overclaimed: int = 0
    series: Mapping[str, float] = field(default_factory=dict)

    @property
    def unnamed(self) -> int:
        """Bytes that no owner could be found for."""
        return self.owners.get(Owner.UNNAMED, 0)
