"""The ledger: the RSS of this process divided among its owners, rebuilt at a slower pace than samples are taken."""

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
from services.memory.ledger.address_space import Area, AreaClassifier
from services.memory.ledger.allocators import AllocatorReader, Allocators
from services.memory.ledger.divide import AllocatorFigures, Division, divide
from services.memory.ledger.foreign import DriverMemory, library_reports
from services.memory.ledger.mmap_blocks import Addresses, BlockFinder
from services.memory.ledger.smaps import MemoryMapping, Residency, SmapsReader, parse_smaps
from services.memory.objects.types import Census
from services.memory.process import rss_bytes
from services.memory.types import Series, owner_column

log = structlog.get_logger(__name__)

PACE_SECONDS = 30.0
# Earlier when RSS has changed by this share, as far as there is credit: CPU time is earned as a share of a core, up to
# some seconds ahead. A change by the larger share may go as far into debt: a start must not leave figures behind that
# are far off. Those at the usual pace are made further apart only where they would take more than a share, too.
CHANGED_SHARE = 0.02
FAR_SHARE = 0.05
CREDIT_SHARE = 0.002
MOST_CREDIT_SECONDS = 0.5
CORE_SHARE = 0.0035


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every byte of RSS under one owner; the values of `owners` add up to `rss`.

    `held` are the reports it was built from, `unknown` texts on what this system does not tell, `took` the processor
    time in seconds. `overclaimed` is how many bytes were reported beyond what is resident. `series` are further columns
    of a sample that come from the same reading, by name.
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


class LargeObjectEstimate:
    """How much of malloc's memory is in Python objects over 512 bytes, estimated from the last census.

    Between two censuses growth counts as native; shrinkage is shared in proportion.
    """

    def __init__(self, last_census: Callable[[], Census | None]) -> None:
        self._last_census = last_census
        self._time: float | None = None
        self._counted = 0
        self._share: float | None = None
        self._least = 0

    @property
    def known(self) -> bool:
        """Whether there has been a census."""
        return self._time is not None

    def update(self, reports: Sequence[MemoryReport]) -> None:
        """Use a new census if there is one, less the large objects that `reports` name."""
        census = self._last_census()
        if census is not None and census.time != self._time:
            self._time = census.time
            reported = sum(
                r.large + sum(length for _address, length in r.ranges) for r in reports if r.region is Region.PYTHON
            )
            self._counted = max(0, census.large_bytes - reported)
            self._share = None

    def bytes_within(self, malloc: int) -> int:
        """Return how many of `malloc` unreported bytes are in large Python objects."""
        if self._share is None:
            self._least = malloc
            self._share = min(1.0, self._counted / malloc) if malloc else 0.0
        self._least = min(self._least, malloc)
        return int(self._share * self._least)


class LedgerBuilder:
    """Builds ledgers. Parts that hold much memory register a memory reporter."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._building = threading.Lock()
        self._reporters: list[MemoryReporter] = []
        self._last: Ledger | None = None
        self._costs: deque[float] = deque(maxlen=5)
        self._credit = MOST_CREDIT_SECONDS
        self._listeners: list[Callable[[Ledger], None]] = []
        self._smaps = SmapsReader()
        self._allocators = AllocatorReader()
        self._blocks: Addresses | None = None
        self._large_objects = LargeObjectEstimate(lambda: None)
        self._driver = DriverMemory()

    def add_memory_reporter(self, reporter: MemoryReporter) -> None:
        """Ask `reporter` for each ledger; adding one twice has no effect."""
        if reporter not in self._reporters:
            self._reporters.append(reporter)

    def set_census_source(self, last_census: Callable[[], Census | None]) -> None:
        """Use the newest census to tell large Python objects from other native memory."""
        self._large_objects = LargeObjectEstimate(last_census)

    def memory_reports(self) -> list[MemoryReport]:
        """Return what all reporters report now; one that fails is left out and logged."""
        found: list[MemoryReport] = []
        for reporter in self._reporters:
            try:
                found += reporter()
            except Exception:
                # One part that fails to report must not hide the others.
                log.exception("a memory reporter failed", reporter=getattr(reporter, "__qualname__", ""))
        return found

    def add_listener(self, listener: Callable[[Ledger], None]) -> None:
        """Call `listener` with each ledger, in the thread that built it."""
        self._listeners.append(listener)

    def due(self) -> bool:
        """Whether it is time for the next ledger (10 microseconds)."""
        last = self._last
        if last is None:
            return True
        # The cheapest of the last builds: newly loaded libraries or a collection in between cost only once.
        pace = max(PACE_SECONDS, min(self._costs) / CORE_SHARE)
        return self._clock.time() - last.time >= pace or self.outdated(rss_bytes())

    def outdated(self, rss: int) -> bool:
        """Whether the newest ledger does not fit `rss` any more and there is credit for another one."""
        last = self._last
        if last is None or abs(rss - last.rss) <= CHANGED_SHARE * last.rss:
            return False
        least = -MOST_CREDIT_SECONDS if abs(rss - last.rss) > FAR_SHARE * last.rss else 0.0
        return self._credit + (self._clock.time() - last.time) * CREDIT_SHARE > least

    def build(self) -> Ledger:
        """Build a ledger now (about 20 ms of processor time for 900 mappings)."""
        with self._building:
            began = time.thread_time()
            reports = self.memory_reports()
            # Read one right after the other: what is allocated in between would be unnamed.
            text = self._smaps.read()
            allocators = self._allocators.read()
            mappings = parse_smaps(text)
            del text
            if not mappings:
                rss = rss_bytes()
                division = _divide_reports_alone(rss, reports)
            else:
                rss = sum(mapping.rss for mapping in mappings)
                reports += library_reports(mappings)
                division = self._divide(mappings, reports, allocators)
                driver = self._driver.driver_bytes(division.owners.get(Owner.UNNAMED, 0))
                division.add(Owner.GPU_HOST, driver)
                division.add(Owner.UNNAMED, -driver)
            # The owners add up to RSS by construction; this keeps it so even if a part was miscounted.
            division.add(Owner.UNNAMED, rss - sum(division.owners.values()))
            if division.overclaimed:
                log.debug("more memory was reported than is resident", bytes=division.overclaimed)
            ledger = Ledger(
                self._clock.time(),
                rss,
                {owner: division.owners.get(owner, 0) for owner in Owner},
                tuple(reports),
                tuple(self._unknown(allocators, mappings)),
                time.thread_time() - began,
                division.overclaimed,
                {**allocators.series(), **_smaps_series(mappings)},
            )
            earned = (ledger.time - self._last.time) * CREDIT_SHARE if self._last is not None else 0.0
            self._credit = min(MOST_CREDIT_SECONDS, self._credit + earned) - ledger.took
            self._costs.append(ledger.took)
            self._last = ledger
        for listener in self._listeners:
            listener(ledger)
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
        self, mappings: Sequence[MemoryMapping], reports: Sequence[MemoryReport], allocators: Allocators
    ) -> Division:
        heap = allocators.heap
        self._large_objects.update(reports)
        with Residency() as residency:
            blocks = BlockFinder(residency, heap.mapped if heap else 0, self._blocks)
            parts = AreaClassifier(mappings, residency, blocks).classify()
            self._blocks = blocks.addresses
            figures = AllocatorFigures(
                heap,
                sum(part.end - part.start for part in parts if part.area is Area.HEAP),
                blocks.found,
                allocators.pymalloc,
                self._large_objects.bytes_within,
            )
            return divide(parts, reports, figures, residency)

    def _unknown(self, allocators: Allocators, mappings: Sequence[MemoryMapping]) -> list[str]:
        texts = allocators.unknown()
        if not mappings:
            texts.append(_("This system does not describe the process's memory: only what parts report is named."))
        elif not self._large_objects.known:
            texts.append(_("Objects have not been counted yet: large Python objects count as native memory."))
        return texts


def _divide_reports_alone(rss: int, reports: Sequence[MemoryReport]) -> Division:
    """Divide RSS by the reports alone, scaled down where they exceed it."""
    division = Division()
    claims = [(r.owner, r.bytes) for r in reports if r.region is not Region.ELSEWHERE]
    division.add(Owner.UNNAMED, division.allot(rss, claims))
    return division


def _smaps_series(mappings: Sequence[MemoryMapping]) -> Mapping[str, float]:
    if not mappings:
        return {}
    return {
        Series.USS: float(sum(mapping.uss for mapping in mappings)),
        Series.PSS: float(sum(mapping.pss for mapping in mappings)),
        Series.SWAP: float(sum(mapping.swap for mapping in mappings)),
    }
