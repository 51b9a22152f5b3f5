"""What the collector's settings do in this Python, in words: thresholds, the gate of generation 2, freezing."""

from __future__ import annotations

from dataclasses import dataclass

from services.memory.collector.rules import Rules, Scheme, Thresholds, own_rules
from services.memory.collector.types import CollectorState
from services.texts import _


@dataclass(frozen=True, slots=True)
class Explanation:
    """A heading and a few sentences."""

    title: str
    text: str


def explain(state: CollectorState, rules: Rules | None = None) -> tuple[Explanation, ...]:
    """Return what a person should know before changing something, with the figures of `state` filled in."""
    rules = rules or own_rules()
    parts = [
        Explanation(_("Thresholds in Python {version}").format(version=_version(rules)), _thresholds(rules)),
        Explanation(_("When a full collection comes"), when_full(state, rules)),
        Explanation(_("Lowering threshold 2 here"), lowering_threshold2(state, rules)),
        Explanation(
            _("Off"),
            _(
                "Switched off, or with a threshold 0 of 0, Python collects nothing by itself: cycles stay "
                "until somebody collects. Most objects do not need it, they go as soon as nobody refers to "
                "them."
            ),
        ),
        Explanation(_("Freeze"), freezing(state)),
    ]
    return tuple(parts)


def _version(rules: Rules) -> str:
    return ".".join(str(part) for part in rules.version)


def _thresholds(rules: Rules) -> str:
    defaults = _("Python's own are {values}.").format(values=_listed(rules.defaults))
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


def when_full(state: CollectorState, rules: Rules | None = None) -> str:
    """Say when the next full collection comes by itself: by the counters, and by the gate."""
    rules = rules or own_rules()
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
    ).format(least=_number(least or 0))
    if state.long_lived is None or state.pending is None:
        return counted + " " + _("This Python does not tell the two numbers.")
    need = -(-state.long_lived // 4)
    now = _("Now these are {pending} of the {need} that are needed ({total} objects were left): the gate is closed.")
    if state.pending >= need:
        now = _("Now these are {pending}, {need} are enough ({total} objects were left): only the counters decide.")
    told = now.format(pending=_number(state.pending), need=_number(need), total=_number(state.long_lived))
    return f"{counted} {told}"


def lowering_threshold2(state: CollectorState, rules: Rules | None = None) -> str:
    """Say what a lower threshold 2 would do here: from the rules and the present counts, nothing is simulated."""
    rules = rules or own_rules()
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
        gate = _("Where the gate waits longer than the counters, it changes nothing.")
    elif state.long_lived // 4 >= least:
        gate = _(
            "Nothing, most likely: the gate waits for {need} survivors, and the counters ask already after "
            "{least} net allocations, which cannot have left as many. The gate decides here, not threshold 2."
        ).format(need=_number(state.long_lived // 4), least=_number(least))
    else:
        gate = _(
            "Full collections may come earlier, as long as {need} objects (a quarter of those that the last "
            "one left) survive in less than {least} net allocations; otherwise the gate decides."
        ).format(need=_number(state.long_lived // 4), least=_number(least))
    return f"{gate} {lesson}"


def freezing(state: CollectorState) -> str:
    """Say what freezing does, and what it hides now."""
    told = _(
        "Freezing moves all present objects where the collector does not look: collections become short, but "
        "cycles among them stay, and gc.get_objects() does not show them: histograms that count by it go blind "
        "for them."
    )
    if not state.frozen:
        return told + " " + _("Nothing is frozen.")
    return told + " " + _("{count} objects are frozen now.").format(count=_number(state.frozen))


def _listed(values: Thresholds) -> str:
    return ", ".join(str(value) for value in values)


def _number(value: int) -> str:
    return f"{value:,}"
