"""Explains the garbage collector of this Python: thresholds, the gate of generation 2, freezing.

The rules by version are from `Modules/gcmodule.c` of 3.11 and 3.12, `Python/gc.c` of 3.13 and 3.14
(`gc_should_collect`), `Include/internal/pycore_runtime_init.h` for the defaults, and "What's new in Python 3.15" for
what 3.14.5 reverted.

The two counts of the gate have no Python function. `struct _gc_runtime_state` holds, one after another, pointers to
`gc.garbage` and `gc.callbacks`, `long_lived_total` and `long_lived_pending`: the place is found by searching the mapped
memory of the interpreter state for the two known pointers. Where they are not found side by side, there are no counts.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import sysconfig
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

import structlog

from services.core.i18n import _, gap, joined, plural
from services.memory.gc.types import GCState

log = structlog.get_logger(__name__)

_WORD = ctypes.sizeof(ctypes.c_ssize_t)
_SEARCHED_WORDS = 4096  # the collector's state is in the first 8 KB of the interpreter's
# Versions whose layout was checked; in others the two words after the pointers may have another meaning.
_KNOWN_LAYOUTS = ((3, 11), (3, 12), (3, 13))
Thresholds = tuple[int, int, int]
_INCREMENTAL = ((3, 14, 0), (3, 14, 4))
_HIGHER_DEFAULT = (3, 13, 0)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A heading and a few sentences."""

    title: str
    text: str


def explain(state: GCState, rules: Rules | None = None) -> tuple[Explanation, ...]:
    """Return what to know before changing settings, with the figures of `state`."""
    rules = rules or current_rules()
    parts = [
        Explanation(
            _("Thresholds in Python {version}").format(version=_format_version(rules)), _explain_thresholds(rules)
        ),
        Explanation(_("When a full collection runs"), explain_full_collections(state, rules)),
        Explanation(_("Lowering threshold 2 here"), explain_threshold2(state, rules)),
        Explanation(
            _("Off"),
            _(
                "Switched off, or with a threshold 0 of 0, Python collects nothing by itself: garbage cycles stay "
                "until a requested collection. Most objects do not need it; they are freed with their last "
                "reference."
            ),
        ),
        Explanation(_("Freeze"), explain_freezing(state)),
    ]
    return tuple(parts)


def _format_version(rules: Rules) -> str:
    return ".".join(str(part) for part in rules.version)


def _explain_thresholds(rules: Rules) -> str:
    defaults = _("Python's defaults are {values}.").format(values=_join_values(rules.defaults))
    if rules.scheme is Scheme.INCREMENTAL:
        return (
            defaults
            + " "
            + _(
                "Python 3.14.0 to 3.14.4 collect in increments: after more than threshold 0 net allocations "
                "the young objects and a part of the old ones are examined; the higher threshold 1, the "
                "smaller that part; threshold 2 is ignored. Python 3.14.5 returned to generations, because "
                "memory use had grown."
            )
        )
    if rules.scheme is Scheme.FREE_THREADED:
        return (
            defaults
            + " "
            + _(
                "This free-threaded build has full collections only, after more than threshold 0 net "
                "allocations and more than a quarter of the objects that survived the last one; with a threshold 1 "
                "of 0 that quarter is not required. Threshold 2 is not used."
            )
        )
    return (
        defaults
        + " "
        + _(
            "Generation 0 is collected after more than threshold 0 net allocations (containers allocated less "
            "those freed); generation 1 in its place after more than threshold 1 runs of generation 0, and "
            "generation 2, a full collection, after more than threshold 2 runs of generation 1. Survivors move "
            "up a generation."
        )
    )


def explain_full_collections(state: GCState, rules: Rules | None = None) -> str:
    """Explain when the next automatic full collection runs: by the counters, and by the gate."""
    rules = rules or current_rules()
    if state.settings.off:
        return _("Never by itself: the collector is off.")
    if rules.scheme is Scheme.INCREMENTAL:
        return _(
            "Never by itself: the old objects are examined part by part. A requested collection examines all at once."
        )
    if rules.scheme is Scheme.FREE_THREADED:
        return _("Every collection is a full one in this build.")
    least = rules.allocations_to_full(state.settings.thresholds)
    counted = _(
        "The counters request it after {least} net allocations at the earliest. Whatever the thresholds, it is "
        "delayed until the objects that survived generation 1 since the last full collection are a quarter of "
        "those that survived it (the gate; in CPython: long_lived_pending, long_lived_total)."
    ).format(least=_format_count(least or 0))
    if state.long_lived is None or state.pending is None:
        return counted + gap() + _("This Python does not expose the two numbers.")
    need = -(-state.long_lived // 4)
    now = _("Now there are {pending} of the {need} needed (objects that had survived: {total}): the gate is closed.")
    if state.pending >= need:
        now = _(
            "Now there are {pending}, {need} are needed (objects that had survived: {total}): only the counters decide."
        )
    text = now.format(
        pending=_format_count(state.pending), need=_format_count(need), total=_format_count(state.long_lived)
    )
    return joined((counted, text))


def explain_threshold2(state: GCState, rules: Rules | None = None) -> str:
    """Explain the effect of a lower threshold 2, from the rules and the present counts."""
    rules = rules or current_rules()
    if rules.scheme is not Scheme.GENERATIONS:
        return _("No effect: threshold 2 is not used in this Python.")
    if state.settings.off:
        return _("No effect while the collector is off.")
    least = rules.allocations_to_full(state.settings.thresholds) or 0
    lesson = _(
        "Each full collection sets the gate by the objects that survive it: an early one, during much work, raises "
        "the bar for the next, so that there may be fewer of them in the end."
    )
    if state.long_lived is None:
        effect = _("It has no effect where the gate waits longer than the counters.")
    elif state.long_lived // 4 >= least:
        effect = _(
            "Most likely no effect: the gate waits for {need} survivors, and the counters request a collection after "
            "{least} net allocations, which cannot leave as many. The gate decides here, not threshold 2."
        ).format(need=_format_count(state.long_lived // 4), least=_format_count(least))
    else:
        effect = _(
            "Full collections may come earlier where {need} objects (a quarter of those that survived the last "
            "one) survive within fewer than {least} net allocations; otherwise the gate decides."
        ).format(need=_format_count(state.long_lived // 4), least=_format_count(least))
    return joined((effect, lesson))


def explain_freezing(state: GCState) -> str:
    """Explain freezing, and how many objects are frozen."""
    text = _(
        "Freezing excludes all present objects from collection: collections become short, but garbage cycles "
        "among these objects stay, and gc.get_objects() does not return them, so counts of objects leave them out."
    )
    if not state.frozen:
        return text + gap() + _("Nothing is frozen.")
    return text + gap() + plural("{count} object is frozen now.", "{count} objects are frozen now.", state.frozen)


def _join_values(values: Thresholds) -> str:
    return ", ".join(str(value) for value in values)


def _format_count(value: int) -> str:
    return f"{value:,}"


def read_gate_counts() -> tuple[int, int] | None:
    """Return (`long_lived_total`, `long_lived_pending`): the objects that survived the last full collection, and those
    that reached generation 2 since (freed ones still count); None where there is no gate or it is not found."""
    address = _gate_address()
    if address is None:
        return None
    total, pending = (ctypes.c_ssize_t * 2).from_address(address)
    return int(total), int(pending)


@cache
def _gate_address() -> int | None:
    rules = current_rules()
    if not rules.gated or rules.version[:2] not in _KNOWN_LAYOUTS:
        return None
    get = ctypes.pythonapi.PyInterpreterState_Get
    get.restype = ctypes.c_void_p
    base = get()
    size = _readable_bytes_from(base)
    wanted = (id(gc.garbage), id(gc.callbacks))
    words = (ctypes.c_ssize_t * min(_SEARCHED_WORDS, size // _WORD)).from_address(base)
    found = list(words)
    for place in range(len(found) - 3):
        if (found[place], found[place + 1]) == wanted:
            return int(base) + (place + 2) * _WORD
    log.info("gc gate counts not found", python=rules.version)
    return None


def _readable_bytes_from(address: int) -> int:
    """Return the number of readable bytes from `address` on."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        begin, _dash, end = line.split(" ", 1)[0].partition("-")
        if int(begin, 16) <= address < int(end, 16) and " r" in line:
            return int(end, 16) - address
    return 0


class Scheme(StrEnum):
    """The algorithm of the collector."""

    GENERATIONS = "generations"
    INCREMENTAL = "incremental"
    FREE_THREADED = "free_threaded"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one Python version: its algorithm and default thresholds."""

    version: tuple[int, int, int]
    scheme: Scheme
    defaults: Thresholds

    @property
    def gated(self) -> bool:
        """Whether a full collection also waits until the pending objects are a quarter of the long-lived ones."""
        return self.scheme is Scheme.GENERATIONS

    def allocations_to_full(self, thresholds: Thresholds) -> int | None:
        """Return the net allocations of containers until the counters request a full collection; None where they never
        do, or where there are no generations.

        A generation is collected when its counter is *above* its threshold, which is checked at an allocation:
        threshold1 + 1 runs of generation 0 and then one of generation 1 make a round; threshold2 + 1 rounds and one
        more check make a full collection.
        """
        if self.scheme is not Scheme.GENERATIONS or thresholds[0] == 0:
            return None
        first, second, third = thresholds
        return (first + 1) * ((second + 2) * (third + 1) + 1)


def rules_for(version: tuple[int, int, int], *, free_threaded: bool = False) -> Rules:
    """Return the rules of CPython `version`."""
    if free_threaded:
        return Rules(version, Scheme.FREE_THREADED, (2000, 10, 10))
    if _INCREMENTAL[0] <= version <= _INCREMENTAL[1]:
        return Rules(version, Scheme.INCREMENTAL, (2000, 10, 0))
    return Rules(version, Scheme.GENERATIONS, (2000 if version >= _HIGHER_DEFAULT else 700, 10, 10))


def current_rules() -> Rules:
    """Return the rules of this Python."""
    return rules_for(sys.version_info[:3], free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")))
