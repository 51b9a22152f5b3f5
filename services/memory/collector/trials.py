"""Whether a trial's pauses are worse than those before it: a comparison of p95, with enough of them on both sides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from services.memory.collector.types import Pauses, Trial
from services.memory.sampling.pauses import Pause
from services.texts import _

# Fewer collections than this on a side and nothing is said: the p95 of 30 is the second largest.
ENOUGH = 30
# Pauses are worse when their p95 is both this many times and this much (in seconds) longer.
TIMES, LONGER = 1.5, 0.002
# And when at least so many of them are over that line: one slow full collection proves nothing.
SEEN = 3
# So many pauses are remembered (PauseRecorder); with so many there may have been earlier ones.
REMEMBERED = 1000
# What is compared with: the last ten minutes before the trial, or as long as the trial itself.
BEFORE_SECONDS = 600.0


def summary(pauses: Sequence[Pause], begin: float, end: float) -> Pauses:
    """Sum up the collections from `begin` to `end` that nobody asked for; `end` exclusive.

    What is remembered may reach back less far: then the share is that of the time it covers.
    """
    if pauses and len(pauses) >= REMEMBERED:
        begin = max(begin, pauses[0].time)
    within = [pause.seconds for pause in pauses if begin <= pause.time < end and not pause.asked]
    share = sum(within) / (end - begin) if end > begin else 0.0
    return Pauses(len(within), percentile_95(within) if len(within) >= ENOUGH else None, share)


def percentile_95(values: Sequence[float]) -> float:
    """Return the 95th percentile by nearest rank."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def compared(trial: Trial, recent: Sequence[Pause], now: float) -> tuple[Trial, bool]:
    """Return the trial with its pauses up to now, and whether they are clearly worse than before."""
    pauses = summary(recent, trial.began, now)
    before, during = trial.before_p95, pauses.p95
    worse = False
    if before is None or during is None:
        verdict = _("too few collections to say: {before} before, {now} in the trial; {enough} are needed").format(
            before=trial.before_pauses.collections, now=pauses.collections, enough=ENOUGH
        )
    else:
        line = max(before * TIMES, before + LONGER)
        over = sum(pause.seconds > line for pause in recent if pause.time >= trial.began and not pause.asked)
        worse = during > line and over >= SEEN
        told = _("pauses got worse: p95 {now:.2f} ms, {before:.2f} ms before")
        if not worse:
            told = _("pauses are not clearly worse: p95 {now:.2f} ms, {before:.2f} ms before")
        verdict = told.format(now=1000 * during, before=1000 * before)
    return replace(trial, now_p95=during, now_pauses=pauses, verdict=verdict), worse
