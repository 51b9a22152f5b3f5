from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from services.core.events import NullEventSink
from services.core.memory_report import Owner
from services.memory.clock import Clock
from services.memory.monitor import MemoryMonitor
from services.memory.watching_cost import WINDOW_SECONDS, CostMeter, WatchingActivity
from tests.servers import eventually


class Moments:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.5

    def __call__(self) -> float:
        return self.now


def test_the_cost_is_a_mean_over_ten_minutes_and_does_not_jump() -> None:
    """A share of the last second alone is 0.06 % or 5.9 % by chance: whoever reads it twice believes neither."""
    moments = Moments()
    meter = CostMeter(moments)
    shown = []
    for second in range(3 * WINDOW_SECONDS):
        meter.add(WatchingActivity.SAMPLES, 0.0006)
        if second % 30 == 0:
            meter.add(WatchingActivity.LEDGER, 0.06)
        moments.now += 1
        shown.append(meter.cost())
    settled = [cost.cores for cost in shown[WINDOW_SECONDS:]]
    assert min(settled) == pytest.approx(0.0026, rel=0.05)
    assert max(settled) <= 1.05 * min(settled)
    last = shown[-1]
    assert last.window_seconds == WINDOW_SECONDS
    assert sum(last.by_activity.values()) == pytest.approx(last.cores)
    assert last.by_activity[WatchingActivity.LEDGER] == pytest.approx(0.002, rel=0.05)
    assert (last.peak_cores, last.peak_activity) == (pytest.approx(0.0606), WatchingActivity.LEDGER)


def test_what_is_older_than_the_window_no_longer_counts() -> None:
    """A window that keeps what it does not cover overstates the cost for good."""
    moments = Moments()
    meter = CostMeter(moments)
    meter.add(WatchingActivity.CENSUS, 3.0)
    moments.now += 60
    young = meter.cost()
    assert young.window_seconds == pytest.approx(60.0)
    assert young.cores == pytest.approx(0.05)
    assert young.peak_age_seconds == 60
    for passed in (WINDOW_SECONDS - 61, 2, 10 * WINDOW_SECONDS):
        moments.now += passed
        meter.add(WatchingActivity.SAMPLES, 0.0)
    assert meter.cost().cores == pytest.approx(0.0, abs=1e-12)
    assert meter.cost().peak_activity is None


def test_a_census_of_nine_seconds_takes_one_core_for_nine_seconds() -> None:
    """ "926 % of a core in one second" is what nobody on two cores believes."""
    moments = Moments()
    meter = CostMeter(moments)
    moments.now += 20
    meter.add(WatchingActivity.CENSUS, 9.25)
    moments.now += 1
    meter.add(WatchingActivity.SAMPLES, 0.5)
    cost = meter.cost()
    assert (cost.peak_cores, cost.peak_activity, cost.peak_age_seconds) == (1.0, WatchingActivity.CENSUS, 1)
    assert cost.by_activity[WatchingActivity.CENSUS] == pytest.approx(9.25 / 21)


def test_only_threads_that_watch_are_counted() -> None:
    """CPU time of work, or of a collection that the policy makes, is no price of watching."""
    meter = CostMeter()

    def work(*, counted: bool) -> None:
        began = time.thread_time()
        while time.thread_time() - began < 0.2:
            pass
        if counted:
            meter.add_thread(WatchingActivity.SAMPLES)
            meter.add_thread(WatchingActivity.SAMPLES)

    for counted in (True, False):
        thread = threading.Thread(target=work, kwargs={"counted": counted})
        thread.start()
        thread.join()
    cost = meter.cost()
    assert cost.cores * cost.window_seconds == pytest.approx(0.2, abs=0.05)


def test_the_monitor_counts_what_it_does_and_what_it_holds(tmp_path: Path) -> None:
    """Samples and ledgers are in the cost, acting tasks are not; the ledger has the bytes of the watching by name."""
    monitor = MemoryMonitor(tmp_path, Clock(20), NullEventSink())

    def act() -> None:
        began = time.thread_time()
        while time.thread_time() - began < 0.1:
            pass

    monitor.add_task(act, 5.0, monitoring=False)
    monitor.start()

    def spent() -> set[WatchingActivity]:
        shown = monitor.snapshot()
        return {activity for activity, cores in shown.watching.by_activity.items() if cores} if shown else set()

    eventually(lambda: spent() >= {WatchingActivity.SAMPLES, WatchingActivity.LEDGER}, what="samples and a ledger")
    monitor.close()
    shown = monitor.snapshot()
    assert shown is not None
    assert shown.watching.by_activity[WatchingActivity.OTHER] * shown.watching.window_seconds < 0.05
    ledger = monitor.ledger.build()
    assert ledger.owners[Owner.WATCHING] >= 1_500_000  # the ring of the history alone
    names = {report.name for report in ledger.held if report.owner is Owner.WATCHING}
    assert len(names) == 2
