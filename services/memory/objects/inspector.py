"""Looks at the living objects without keeping them alive and without stopping the process."""

from __future__ import annotations

from typing import Any

from services.memory.clock import Clock
from services.memory.forked import run_forked
from services.memory.objects import census
from services.memory.objects.graph import Ways
from services.memory.objects.heap import Heap
from services.memory.objects.native import native_sizes
from services.memory.objects.threads import running_threads
from services.memory.objects.types import Census, ContainerCount, TypeCount

LOOK_SECONDS = 60.0


class Inspector:
    """Takes censuses and finds out what holds an object."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()

    def census(self) -> Census:
        """Count all objects by type and name the biggest containers; about 1.7 s of CPU per million objects.

        Raises:
            MillpondError: the process could not be copied, or the look took too long.
        """
        threads = running_threads()
        moment = self._clock.time()

        def look() -> dict[str, Any]:
            heap = Heap()
            native = native_sizes(heap)
            return {
                "types": census.count(heap, native),
                "containers": census.containers(heap, Ways(heap, threads)),
                "objects": len(heap),
                "tracked": heap.tracked,
                "bytes": int(heap.sizes.sum() - native.sum()),
                "native": int(native.sum()),
                "large": census.large_bytes(heap, native),
            }

        found = run_forked(look, seconds=LOOK_SECONDS)
        value = found.value
        return Census(
            moment,
            {name: TypeCount(*figures) for name, figures in value["types"].items()},
            tuple(ContainerCount(*container) for container in value["containers"]),
            objects=value["objects"],
            bytes=value["bytes"],
            large_bytes=value["large"],
            paused=found.paused,
            took=found.took,
            native_bytes=value["native"],
            tracked=value["tracked"],
        )
