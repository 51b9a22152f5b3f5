from __future__ import annotations

from pathlib import Path

from services.core.events import NullEventSink
from services.core.machine import MEGABYTE
from services.memory.clock import Clock
from services.memory.limit import MemoryLimit
from services.memory.monitor import MemoryMonitor
from tests.memory.objects import planted

KIND = "tests.memory.objects.planted.InModule"
OWN = "services.memory.objects.types.TypeCount"


def test_the_watching_itself_is_left_out_and_counted_in_one_line(tmp_path: Path) -> None:
    """A census counted the last census: the tool led its own tables."""
    monitor = MemoryMonitor(
        tmp_path, Clock(), NullEventSink(), limit=MemoryLimit(1000 * MEGABYTE, 1.0), preferences=None
    )
    inspector = monitor.objects
    kept = [planted.InModule(number) for number in range(50)]
    try:
        first = inspector.take_snapshot()
        second = inspector.take_snapshot()  # counts the census before
        taken = inspector.snapshot(second.name)
        assert taken.types[OWN].count > 100
        assert taken.types[OWN].watching_count == taken.types[OWN].count
        assert OWN not in taken.shown_types()
        assert OWN in taken.shown_types(watching=True)
        assert taken.shown_types()[KIND].count == len(kept)
        assert not any(found.name.startswith("services.memory.") for found in taken.shown_containers())
        assert taken.watching_objects == sum(found.watching_count for found in taken.types.values())
        assert taken.watching_bytes == sum(found.watching_bytes for found in taken.types.values())
        assert 2000 < taken.watching_objects < taken.objects / 3
        assert OWN not in {change.type for change in inspector.compare(first.name, second.name)}
        assert OWN in {change.type for change in inspector.compare(first.name, second.name, watching=True)}
        assert inspector.instances(OWN, limit=1).total == 0
        assert inspector.instances(OWN, limit=1, watching=True).total > 100
    finally:
        inspector.close()
