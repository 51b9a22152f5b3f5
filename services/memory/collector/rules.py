"""How the collector of a Python version works: its defaults, its generations, the gate of the oldest one.

Sources: `Modules/gcmodule.c` of 3.11 and 3.12, `Python/gc.c` of 3.13 and 3.14 (`gc_should_collect`),
`Include/internal/pycore_runtime_init.h` for the defaults, "What's new in Python 3.15" for what 3.14.5 took back.
"""

from __future__ import annotations

import sys
import sysconfig
from dataclasses import dataclass
from enum import StrEnum

Thresholds = tuple[int, int, int]

_INCREMENTAL = ((3, 14, 0), (3, 14, 4))
_HIGHER_DEFAULT = (3, 13, 0)


class Scheme(StrEnum):
    """How collections are organised."""

    GENERATIONS = "generations"
    INCREMENTAL = "incremental"
    FREE_THREADED = "free_threaded"


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for one Python version. `gated`: full collections also wait for enough long-lived objects."""

    version: tuple[int, int, int]
    scheme: Scheme
    defaults: Thresholds

    @property
    def gated(self) -> bool:
        """Whether a full collection also waits until the objects that got old are a quarter of the old ones."""
        return self.scheme is Scheme.GENERATIONS

    def allocations_to_full(self, thresholds: Thresholds) -> int | None:
        """Return the net allocations of containers until the counters ask for a full collection; None where they never
        do, or where there are no generations to count.

        A generation is collected when its counter is *above* its threshold, and an allocation makes it look: threshold1
        + 1 runs of generation 0 and then one of generation 1 make a round, threshold2 + 1 rounds and one more look a
        full collection.
        """
        if self.scheme is not Scheme.GENERATIONS or thresholds[0] == 0:
            return None
        first, second, third = thresholds
        return (first + 1) * ((second + 2) * (third + 1) + 1)


def rules_of(version: tuple[int, int, int], *, free_threaded: bool = False) -> Rules:
    """Return what holds for CPython `version`."""
    if free_threaded:
        return Rules(version, Scheme.FREE_THREADED, (2000, 10, 10))
    if _INCREMENTAL[0] <= version <= _INCREMENTAL[1]:
        return Rules(version, Scheme.INCREMENTAL, (2000, 10, 0))
    return Rules(version, Scheme.GENERATIONS, (2000 if version >= _HIGHER_DEFAULT else 700, 10, 10))


def own_rules() -> Rules:
    """Return what holds for the Python that runs this."""
    return rules_of(sys.version_info[:3], free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")))
