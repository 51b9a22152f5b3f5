"""What is shown after an action is that of after it, whatever was being sampled meanwhile."""

from __future__ import annotations

from pathlib import Path

from services.core.actor import SERVICE
from services.core.events import NullEventSink
from services.memory.clock import Clock
from services.memory.monitor import MemoryMonitor


def test_a_sample_that_began_before_an_action_does_not_undo_what_it_shows(tmp_path: Path) -> None:
    """After "Show them again" the page would say for a second that all objects are hidden still."""
    monitor = MemoryMonitor(tmp_path, Clock(), NullEventSink())
    monitor._publish(monitor.sampler.sample())
    began = monitor.sampler.sample()
    monitor.collector.freeze(SERVICE)
    try:
        monitor._publish(began)
        shown = monitor.snapshot()
        assert shown is not None
        assert shown.collector.frozen > 0
    finally:
        monitor.collector.unfreeze(SERVICE)
