"""What the collector's settings do in this Python, in words: thresholds, the gate of generation 2, freezing.

The two counts of generation 2's gate, read where CPython keeps them: there is no function that tells them.

`struct _gc_runtime_state` holds, one after another, pointers to `gc.garbage` and `gc.callbacks`, `long_lived_total`
and `long_lived_pending`. The two pointers are known, so the place is found by looking for them; only memory that is
mapped is looked at. Where they are not found side by side, nothing is told.

How the collector of a Python version works: its defaults, its generations, the gate of the oldest one.

Sources: `Modules/gcmodule.c` of 3.11 and 3.12, `Python/gc.c` of 3.13 and 3.14 (`gc_should_collect`),
`Include/internal/pycore_runtime_init.h` for the defaults, "What's new in Python 3.15" for what 3.14.5 took back.
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

from services.core.i18n import _
from services.memory.gc.types import GCState

log = structlog.get_logger(__name__)

_WORD = ctypes.sizeof(ctypes.c_ssize_t)
_SEARCHED_WORDS = 4096  # the collector's state lies in the first 8 KB of the interpreter's
# Where the layout was looked at; elsewhere the two words behind the pointers may mean something else.
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
    """Return what a person should know before changing something, with the figures of `state` filled in."""
    rules = rules or current_rules()
    parts = [
        Explanation(
            _("Thresholds in Python {version}").format(version=_format_version(rules)), _explain_thresholds(rules)
        ),
        Explanation(_("When a full collection comes"), explain_full_collections(state, rules)),
        Explanation(_("Lowering threshold 2 here"), explain_threshold2(state, rules)),
        Explanation(
            _("Off"),
            _(
                "Switched off, or with a threshold 0 of 0, Python collects nothing by itself: cycles stay "
                "until somebody collects. Most objects do not need it, they go as soon as nobody refers to "
                "them."
            ),
        ),
        Explanation(_("Freeze"), explain_freezing(state)),
    ]
    return tuple(parts)


def _format_version(rules: Rules) -> str:
    return ".".join(str(part) for part in rules.version)


def _explain_thresholds(rules: Rules) -> str:
    defaults = _("Python's own are {values}.").format(values=_join_values(rules.defaults))
    if rules.scheme is Scheme.INCREMENTAL:
        return (
            defaults
            + " "
            + _(
                "Python 3.14.0 to 3.14.4 collect in increments: after more than threshold 0 net allocations "
                "the young objects and a part of the old ones are looked at; the higher threshold 1, the "
                "smaller that part; threshold 2 is ignored. Python 3.14.5 went back to generations, because "
                "memory grew with this."
            )
        )
    if rules.scheme is Scheme.FREE_THREADED:
        return (
            defaults
            + " "
            + _(
                "This build without a global lock has full collections only, after more than threshold 0 net "
                "allocations and more than a quarter of the objects that the last one left; with a threshold 1 "
                "of 0 that quarter does not count. Threshold 2 plays no part."
            )
        )
    return (
        defaults
        + " "
        + _(
            "Generation 0 is collected when there were more than threshold 0 allocations of containers, less "
            "those that were freed; in place of it generation 1 after more than threshold 1 runs of generation "
            "0, and generation 2, a full collection, after more than threshold 2 runs of generation 1. What "
            "survives moves up a generation."
        )
    )


def explain_full_collections(state: GCState, rules: Rules | None = None) -> str:
    """Say when the next full collection comes by itself: by the counters, and by the gate."""
    rules = rules or current_rules()
    if state.settings.off:
        return _("Never by itself: the collector is off.")
    if rules.scheme is Scheme.INCREMENTAL:
        return _(
            "Never by itself: the old objects are looked at part by part. Asked for, it looks at everything at once."
        )
    if rules.scheme is Scheme.FREE_THREADED:
        return _("Every collection is a full one here.")
    least = rules.allocations_to_full(state.settings.thresholds)
    counted = _(
        "The counters ask for it after {least} net allocations at the earliest. Whatever the thresholds are, "
        "it is put off until the objects that survived generation 1 since the last full collection are a "
        "quarter of those that it left (in CPython: long_lived_pending, long_lived_total)."
    ).format(least=_format_count(least or 0))
    if state.long_lived is None or state.pending is None:
        return counted + " " + _("This Python does not tell the two numbers.")
    need = -(-state.long_lived // 4)
    now = _("Now these are {pending} of the {need} that are needed ({total} objects were left): the gate is closed.")
    if state.pending >= need:
        now = _("Now these are {pending}, {need} are enough ({total} objects were left): only the counters decide.")
    told = now.format(
        pending=_format_count(state.pending), need=_format_count(need), total=_format_count(state.long_lived)
    )
    return f"{counted} {told}"


def explain_threshold2(state: GCState, rules: Rules | None = None) -> str:
    """Say what a lower threshold 2 would do here: from the rules and the present counts, nothing is simulated."""
    rules = rules or current_rules()
    if rules.scheme is not Scheme.GENERATIONS:
        return _("Nothing: threshold 2 is not used in this Python.")
    if state.settings.off:
        return _("Nothing, as long as the collector is off.")
    least = rules.allocations_to_full(state.settings.thresholds) or 0
    lesson = _(
        "Each full collection takes what lives at that moment as the new measure: one that comes early, in the "
        "midst of much work, raises the bar for the next, so that there can be fewer of them in the end."
    )
    if state.long_lived is None:
        effect = _("Where the gate waits longer than the counters, it changes nothing.")
    elif state.long_lived // 4 >= least:
        effect = _(
            "Nothing, most likely: the gate waits for {need} survivors, and the counters ask already after "
            "{least} net allocations, which cannot have left as many. The gate decides here, not threshold 2."
        ).format(need=_format_count(state.long_lived // 4), least=_format_count(least))
    else:
        effect = _(
            "Full collections may come earlier, as long as {need} objects (a quarter of those that the last "
            "one left) survive in less than {least} net allocations; otherwise the gate decides."
        ).format(need=_format_count(state.long_lived // 4), least=_format_count(least))
    return f"{effect} {lesson}"


def explain_freezing(state: GCState) -> str:
    """Say what freezing does, and what it hides now."""
    told = _(
        "Freezing moves all present objects where the collector does not look: collections become short, but "
        "cycles among them stay, and gc.get_objects() does not show them: histograms that count by it go blind "
        "for them."
    )
    if not state.frozen:
        return told + " " + _("Nothing is frozen.")
    return told + " " + _("{count} objects are frozen now.").format(count=_format_count(state.frozen))


def _join_values(values: Thresholds) -> str:
    return ", ".join(str(value) for value in values)


def _format_count(value: int) -> str:
    return f"{value:,}"


def read_gate_counts() -> tuple[int, int] | None:
    """Return (`long_lived_total`, `long_lived_pending`): objects that the last full collection left, and those that
    grew old since (they count on after their end); None where this Python has no gate or its counts are not found."""
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
    log.info("the collector's gate is not where it was; its counts are not shown", python=rules.version)
    return None


def _readable_bytes_from(address: int) -> int:
    """Return how many bytes from `address` on can be read."""
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


def rules_for(version: tuple[int, int, int], *, free_threaded: bool = False) -> Rules:
    """Return what holds for CPython `version`."""
    if free_threaded:
        return Rules(version, Scheme.FREE_THREADED, (2000, 10, 10))
    if _INCREMENTAL[0] <= version <= _INCREMENTAL[1]:
        return Rules(version, Scheme.INCREMENTAL, (2000, 10, 0))
    return Rules(version, Scheme.GENERATIONS, (2000 if version >= _HIGHER_DEFAULT else 700, 10, 10))


def current_rules() -> Rules:
    """Return what holds for the Python that runs this."""
    return rules_for(sys.version_info[:3], free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")))
