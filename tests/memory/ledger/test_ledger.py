from __future__ import annotations

import gc
import json
import mmap
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.app.container import Services
from services.app.startup import Application
from services.core.memory_report import MemoryReport, Owner, Region
from services.core.settings import Settings
from services.memory.clock import Clock
from services.memory.ledger import address_space, allocators, foreign
from services.memory.ledger import ledger as module
from services.memory.ledger.allocators import PymallocReader
from services.memory.ledger.ledger import MOST_CREDIT_SECONDS, PACE_SECONDS, Ledger, LedgerBuilder
from services.memory.ledger.smaps import Residency, SmapsReader
from services.memory.objects.types import Census
from services.memory.types import Series, owner_column
from tests.servers import ROOT, environment


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with Application(Settings(data_dir=tmp_path_factory.mktemp("ledger"))) as services:
        yield services


def held(size: int, owner: Owner = Owner.OWN_CACHES, region: Region = Region.NATIVE) -> MemoryReport:
    return MemoryReport("part", "", size, 1, owner=owner, region=region)


def check(ledger: Ledger) -> None:
    """Every byte has one owner."""
    assert sum(ledger.owners.values()) == ledger.rss
    assert all(size >= 0 for owner, size in ledger.owners.items() if owner is not Owner.UNNAMED)
    assert set(ledger.owners) == set(Owner)


def test_a_ready_runtime_has_nearly_no_unnamed_memory(services: Services) -> None:
    """With the real model loaded, more than 5 % without a name would leave the page's question open."""
    ledger = services.memory.ledger.build()
    check(ledger)
    assert ledger.unnamed <= 0.05 * ledger.rss
    assert ledger.overclaimed <= 0.01 * ledger.rss
    weights = services.embedder.memory_report()
    assert weights.bytes > 10_000_000
    assert ledger.owners[Owner.MODELS] >= 0.95 * weights.bytes
    assert ledger.owners[Owner.WATCHING] >= 1_500_000  # the ring of the history
    assert ledger.owners[Owner.LIBRARIES] > 50_000_000
    assert ledger.owners[Owner.PYTHON] > 20_000_000
    assert ledger.owners[Owner.DATABASE] > 100_000


def test_the_ledger_becomes_columns_of_the_samples(services: Services) -> None:
    """Charts and the detector read owners from the history; a column that is missing would break both."""
    ledger = services.memory.ledger.build()
    columns = services.memory.ledger.columns()
    assert columns[owner_column(Owner.MODELS)] == ledger.owners[Owner.MODELS]
    assert columns[Series.PYTHON_USED] > 10_000_000
    assert 0 < columns[Series.USS] <= columns[Series.PSS] <= ledger.rss * 1.01
    assert columns[Series.SWAP] >= 0


def test_a_holder_that_fails_hides_no_other() -> None:
    """One part with a defect must not take the names of all others with it, nor end the ledger."""
    builder = LedgerBuilder(Clock())

    def fails() -> list[MemoryReport]:
        raise RuntimeError("defect")

    builder.add_memory_reporter(fails)
    builder.add_memory_reporter(lambda: [held(1000)])
    ledger = builder.build()
    check(ledger)
    assert ledger.owners[Owner.OWN_CACHES] == 1000


@pytest.mark.parametrize("region", list(Region))
def test_claims_beyond_what_there_is_are_scaled_and_said(region: Region) -> None:
    """A part that reports too much must not make other owners negative or RSS larger, and it must not go unnoticed."""
    builder = LedgerBuilder(Clock())
    builder.add_memory_reporter(lambda: [held(10**12, region=region), held(10**6, Owner.MODELS, region)])
    ledger = builder.build()
    check(ledger)
    if region is Region.ELSEWHERE:
        assert ledger.owners[Owner.OWN_CACHES] == ledger.owners[Owner.MODELS] == ledger.overclaimed == 0
    else:
        assert ledger.overclaimed > 10**11


def test_a_range_that_two_parts_report_counts_once() -> None:
    """A buffer that is shared must not be taken out of the allocator's memory twice."""
    import numpy as np

    data = np.ones(20_000_000, np.uint8)
    place = (data.ctypes.data, data.nbytes)
    builder = LedgerBuilder(Clock())
    before = builder.build()
    for owner in (Owner.MODELS, Owner.UPLOADS):
        report = MemoryReport("shared", "", data.nbytes, 1, owner=owner, region=Region.NATIVE, ranges=(place,))
        builder.add_memory_reporter(lambda report=report: [report])
    ledger = builder.build()
    check(ledger)
    assert ledger.owners[Owner.MODELS] + ledger.owners[Owner.UPLOADS] == pytest.approx(data.nbytes, rel=0.02)
    # Taken out twice it would be 40 MB; what else the process does meanwhile is less than the margin.
    assert before.owners[Owner.NATIVE] - ledger.owners[Owner.NATIVE] == pytest.approx(data.nbytes, abs=6_000_000)


def test_addresses_that_are_gone_harm_nobody() -> None:
    """A part may free its memory while it is looked at: the ledger then reads nothing, and does not crash."""
    ranges = ((8, 10**9), (2**46, 10**9), (2**63, 4096))
    builder = LedgerBuilder(Clock())
    builder.add_memory_reporter(lambda: [MemoryReport("gone", "", 0, 1, region=Region.NATIVE, ranges=ranges)])
    check(builder.build())


def test_a_census_tells_large_objects_from_native_memory() -> None:
    """Without one the ledger says that it cannot tell; with one it does, and what is freed later is no longer there."""
    gc.collect()  # garbage of other tests, collected in the middle, would be missing from the difference
    builder = LedgerBuilder(Clock())
    builder.add_memory_reporter(lambda: [MemoryReport("text", "", 3_000_000, 1, owner=Owner.SESSIONS, large=3_000_000)])
    before = builder.build()
    assert before.unknown
    census: list[Census] = []
    builder.set_census_source(lambda: census[-1] if census else None)
    before = builder.build()
    assert before.unknown
    census.append(Census(1.0, {}, (), 0, 9_000_000, 5_000_000, 0.0, 0.0))
    after = builder.build()
    check(after)
    assert not after.unknown
    # What a session reports of the same five million is not counted again.
    assert after.owners[Owner.PYTHON] - before.owners[Owner.PYTHON] == pytest.approx(2_000_000, abs=500_000)


def test_the_pace_follows_rss_within_its_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger every 30 s; earlier when RSS has changed by 2 %, so that owners fit it: one from before everything was
    loaded was 59 % off. Many in a row take no more than half a second, after that no more than their share of a core;
    those after changes by more than 5 % take as much again.
    """
    clock = Clock()
    now = 1000.0
    monkeypatch.setattr(clock, "time", lambda: now)
    builder = LedgerBuilder(clock)
    assert builder.due()
    rss = builder.build().rss
    monkeypatch.setattr(module, "rss_bytes", lambda: rss)
    builder._costs.append(0.03)
    now += 29
    assert not builder.due()
    now += 2
    assert builder.due()
    now -= 30
    for share, fits in ((1.019, True), (1.03, False), (0.97, False)):
        monkeypatch.setattr(module, "rss_bytes", lambda share=share: int(share * rss))
        assert builder.due() is not fits
    spent = 0.0
    for share, most in ((1.03, MOST_CREDIT_SECONDS), (1.06, 2 * MOST_CREDIT_SECONDS)):
        while builder.outdated(int(share * rss)):
            built = builder.build()
            rss, spent = built.rss, spent + built.took
            assert spent < most + 0.5 * MOST_CREDIT_SECONDS
        assert spent > most - 0.5 * MOST_CREDIT_SECONDS
    now += 1
    assert not builder.outdated(2 * rss)
    now += 60
    assert builder.outdated(2 * rss)
    newest = builder.build().rss
    monkeypatch.setattr(module, "rss_bytes", lambda: newest)
    builder._costs.extend([0.2] * 5)
    now += PACE_SECONDS + 1
    assert not builder.due()  # one that takes 0.2 s is made less often


def test_without_proc_only_reports_have_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On macOS nothing tells what RSS consists of: the rest stays unnamed, and the ledger says why."""
    builder = LedgerBuilder(Clock())
    monkeypatch.setattr(builder, "_smaps", SmapsReader(tmp_path / "smaps"))
    builder.add_memory_reporter(lambda: [held(4_000_000, Owner.MODELS)])
    ledger = builder.build()
    check(ledger)
    assert ledger.owners[Owner.MODELS] == 4_000_000
    assert ledger.unnamed == ledger.rss - 4_000_000
    assert any("what parts report" in words for words in ledger.unknown)


def test_without_glibc_free_memory_counts_as_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """musl has no figures of its allocator, no stacks by thread and no process_vm_readv in some sandboxes."""
    import numpy as np

    # Shared, so that the kernel does not join it to a neighbour with another share.
    data = np.frombuffer(mmap.mmap(-1, 50_000_000), np.uint8)
    data[:] = 1
    monkeypatch.setattr(allocators, "malloc_heap", lambda: None)
    monkeypatch.setattr(address_space, "thread_stack", lambda _thread: None)
    monkeypatch.setattr(Residency, "words", lambda *_: None)
    builder = LedgerBuilder(Clock())
    report = MemoryReport(
        "m", "", data.nbytes, 1, owner=Owner.MODELS, region=Region.NATIVE, ranges=((data.ctypes.data, data.nbytes),)
    )
    builder.add_memory_reporter(lambda: [report])
    ledger = builder.build()
    check(ledger)
    assert ledger.owners[Owner.MODELS] == data.nbytes
    assert ledger.owners[Owner.NATIVE_FREE] <= 5_000_000  # what Arrow keeps
    assert ledger.owners[Owner.UNNAMED] == 0
    assert any("C library" in words for words in ledger.unknown)


def test_without_figures_from_python_nothing_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python whose allocator describes itself in other words: its memory is named, its free part is not told."""
    monkeypatch.setattr(PymallocReader, "read", lambda _self: None)
    ledger = LedgerBuilder(Clock()).build()
    check(ledger)
    assert ledger.owners[Owner.PYTHON] > 5_000_000
    assert ledger.owners[Owner.PYTHON_FREE] == 0
    assert any("This Python" in words for words in ledger.unknown)


def test_without_pagemap_ranges_have_the_share_of_their_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel does not tell single pages, a tensor gets its part of what is resident around it."""
    import numpy as np

    data = np.ones(50_000_000, np.uint8)
    monkeypatch.setattr(Residency, "__enter__", lambda self: self)
    monkeypatch.setattr(Residency, "pages", lambda *_: None)
    builder = LedgerBuilder(Clock())
    place = ((data.ctypes.data, data.nbytes),)
    report = MemoryReport("m", "", data.nbytes, 1, owner=Owner.MODELS, region=Region.NATIVE, ranges=place)
    builder.add_memory_reporter(lambda: [report])
    ledger = builder.build()
    check(ledger)
    assert ledger.owners[Owner.MODELS] == pytest.approx(data.nbytes, rel=0.05)


def test_nothing_is_imported_to_ask_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger must not load Arrow, torch or SQLite to find that they hold nothing."""
    for name in ("pyarrow", "torch", "_sqlite3"):
        monkeypatch.delitem(foreign.sys.modules, name, raising=False)
    assert list(foreign.library_reports([])) == []


def test_a_library_that_is_loaded_late_is_named() -> None:
    """The first chat model that is connected brings libraries: without a name nobody could explain the step in RSS."""
    code = """
import json
from services.memory.clock import Clock
from services.memory.ledger.ledger import LedgerBuilder
builder = LedgerBuilder(Clock())
builder.build()
before = builder.build()
import services.chat.models.openai_server
after = builder.build()
grown = {owner: after.owners[owner] - before.owners[owner] for owner in after.owners}
print(json.dumps({"rss": after.rss - before.rss, **grown}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    grown = json.loads(done.stdout.splitlines()[-1])
    assert grown["rss"] > 10_000_000
    assert abs(grown[Owner.UNNAMED]) <= 0.05 * grown["rss"], grown
    assert grown[Owner.LIBRARIES] + grown[Owner.PYTHON] + grown[Owner.NATIVE] >= 0.7 * grown["rss"], grown
