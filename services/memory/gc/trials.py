"""The settings in use, what is kept of them, and the change that is being tried.

What every action has in common: may they, did it work, and who is told.

The settings that a restart comes up with, in the database.

Whether a trial's pauses are worse than those before it: a comparison of p95, with enough of them on both sides.

Settings of the collector in words, for events and pages.
"""

from __future__ import annotations

import gc
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import structlog

from services.core.access import SERVICE, Actor
from services.core.errors import ConflictError, ForbiddenError, MillpondError
from services.core.events import EventKind, EventSink
from services.core.i18n import _
from services.core.preferences import Preferences
from services.memory.clock import Clock
from services.memory.gc.interpreter import (
    InterpreterGC,
    current_thresholds,
    parse_thresholds,
    validate_settings,
    validate_trial_seconds,
)
from services.memory.gc.types import GCSettings, PauseSummary, Trial
from services.memory.sampling.gc_pauses import Pause, PauseRecorder

log = structlog.get_logger(__name__)

PREFERENCE_KEY = "collector"
# Fewer collections than this on a side and nothing is said: the p95 of 30 is the second largest.
MIN_COLLECTIONS = 30
# Pauses are worse when their p95 is both this many times and this much (in seconds) longer.
WORSE_FACTOR, WORSE_SECONDS = 1.5, 0.002
# And when at least so many of them are over that line: one slow full collection proves nothing.
MIN_WORSE_PAUSES = 3
# So many pauses are remembered (PauseRecorder); with so many there may have been earlier ones.
RECORDED_PAUSES = 1000
# What is compared with: the last ten minutes before the trial, or as long as the trial itself.
BASELINE_SECONDS = 600.0


class Trials:
    """Changes settings, on trial or for good. Thread-safe. `GCControl` documents what its methods do."""

    def __init__(
        self, clock: Clock, pauses: PauseRecorder, acting: ActionGuard, kept: SavedSettings, own: InterpreterGC
    ) -> None:
        self.kept = kept
        self.trial: Trial | None = None
        self.last: Trial | None = None
        self._clock = clock
        self._pauses = pauses
        self._acting = acting
        self._own = own
        self._policy = True
        # Reentrant: the collector may end an object, in the midst of this, whose end asks for the settings.
        self._lock = threading.RLock()
        self._closed = False

    @property
    def settings(self) -> GCSettings:
        """What is in use now, read from Python itself."""
        return GCSettings(current_thresholds(), gc.isenabled(), self._policy)

    def start(self) -> None:
        """Use what was kept, if anything."""
        with self._lock:
            kept = self.kept.settings
            if kept is None or self._closed:
                return
            self._use(kept)
        told = _("kept settings of the collector in use: {settings}").format(settings=describe_settings(kept))
        self._acting.tell(SERVICE, EventKind.SETTINGS, told)

    def change(self, actor: Actor, settings: GCSettings, trial_seconds: float | None) -> Trial | None:
        """Use settings, for a while or from now on."""
        with self._acting.allowed(actor, _("Change the collector"), EventKind.SETTINGS), self._lock:
            validate_settings(settings)
            if trial_seconds is None:
                self.kept.keep(settings)
                self._end(_("ended: other settings were kept"))
                told = _("collector set and kept: {settings}")
            else:
                validate_trial_seconds(trial_seconds)
                self.trial = self._begin(actor, settings, trial_seconds)
                told = _("collector on trial for {seconds:g} s: {settings}")
            self._use(settings)
            trial = self.trial
        text = told.format(settings=describe_settings(settings), seconds=trial_seconds)
        self._acting.tell(actor, EventKind.SETTINGS, text)
        return trial

    def keep(self, actor: Actor) -> None:
        """Keep what is being tried."""
        with self._acting.allowed(actor, _("Keep the settings on trial"), EventKind.SETTINGS), self._lock:
            trial = self._running()
            self.kept.keep(trial.tried)
            self._end(_("kept by {actor}").format(actor=actor.name))
        told = _("trial kept: {settings}").format(settings=describe_settings(trial.tried))
        self._acting.tell(actor, EventKind.SETTINGS, told)

    def revert(self, actor: Actor) -> None:
        """Go back to what was before the trial."""
        with self._acting.allowed(actor, _("End the trial"), EventKind.SETTINGS), self._lock:
            self._go_back(actor, _("ended by {actor}").format(actor=actor.name))

    def check(self) -> None:
        """End the trial if it is over, or if pauses got worse."""
        with self._lock:
            trial = self.trial
            if trial is None or self._closed:
                return
            now = self._clock.time()
            trial, worse = compare_pauses(trial, self._pauses.recent(), now)
            self.trial = trial
            if worse:
                self._go_back(SERVICE, trial.verdict)
            elif now >= trial.until:
                told = _("time is over and nobody kept it; {verdict}").format(verdict=trial.verdict)
                self._go_back(SERVICE, told)

    def close(self) -> None:
        """End the trial and put everything back as it was found; safe to call twice."""
        with self._lock:
            self._closed = True
            if self.trial is not None:
                self._end(_("ended with the service"))
                told = _("collector's trial ended with the service; a restart comes up with what was kept")
                self._acting.tell(SERVICE, EventKind.SETTINGS, told)
            self._own.restore()

    def _use(self, settings: GCSettings) -> None:
        self._own.use(settings)
        self._policy = settings.policy

    def _begin(self, actor: Actor, settings: GCSettings, seconds: float) -> Trial:
        now, running = self._clock.time(), self.trial
        if running is None:
            before = self.settings
            earlier = summarize_pauses(self._pauses.recent(), now - max(seconds, BASELINE_SECONDS), now)
        else:
            before, earlier = running.before, running.before_pauses
            self._end(_("ended: other settings are tried in its place"))
        return Trial(
            began=now,
            until=now + seconds,
            actor=actor.name,
            tried=settings,
            before=before,
            before_p95=earlier.p95,
            verdict=_("just begun"),
            before_pauses=earlier,
        )

    def _running(self) -> Trial:
        if self.trial is None:
            raise ConflictError(
                _("No change is on trial; nothing was changed."), _("It may have ended by itself a moment ago.")
            )
        return self.trial

    def _end(self, verdict: str) -> None:
        if self.trial is not None:
            self.last = replace(self.trial, verdict=verdict, until=self._clock.time())
            self.trial = None

    def _go_back(self, actor: Actor, verdict: str) -> None:
        trial = self._running()
        self._use(trial.before)
        self._end(verdict)
        told = _("collector back to {settings}: {verdict}").format(
            settings=describe_settings(trial.before), verdict=verdict
        )
        self._acting.tell(actor, EventKind.SETTINGS, told)


class ActionGuard:
    """Lets administrators act, and puts what became of it on the time line: refusals and failures too."""

    def __init__(self, reporter: EventSink) -> None:
        self._reporter = reporter

    @contextmanager
    def allowed(self, actor: Actor, action: str, kind: EventKind) -> Iterator[None]:
        """Do what is inside if `actor` may; `action` says in words what it is."""
        try:
            actor.require_admin(action)
        except ForbiddenError:
            if actor.refused is None:  # else whoever made the actor has been told
                self.tell(actor, EventKind.ACCESS, _("refused: {action}").format(action=action))
            raise
        try:
            yield
        except MillpondError as error:
            self.tell(actor, kind, _("{action} failed: {reason}").format(action=action, reason=error.message))
            raise

    def tell(self, actor: Actor, kind: EventKind, text: str, **figures: float) -> None:
        """Leave an event."""
        self._reporter.action(actor.name, kind, text, **figures)


class SavedSettings:
    """Reads and writes them; without preferences they last as long as the process."""

    def __init__(self, preferences: Preferences | None) -> None:
        self._preferences = preferences
        self._kept = self._read()

    @property
    def settings(self) -> GCSettings | None:
        """What is kept, None while nothing is."""
        return self._kept

    def keep(self, settings: GCSettings) -> None:
        """Keep settings in place of what was kept.

        Raises:
            StorageError: they could not be written; the old ones are kept.
        """
        if self._preferences is not None:
            value = {
                "thresholds": list(settings.thresholds),
                "automatic": settings.automatic,
                "policy": settings.policy,
            }
            self._preferences.set(PREFERENCE_KEY, value)
        self._kept = settings

    def _read(self) -> GCSettings | None:
        if self._preferences is None:
            return None
        value = self._preferences.get(PREFERENCE_KEY)
        if value is None:
            return None
        thresholds = parse_thresholds(value.get("thresholds"))
        if thresholds is not None:
            settings = GCSettings(thresholds, value.get("automatic") is not False, value.get("policy") is not False)
            try:
                validate_settings(settings)
            except MillpondError as error:
                log.warning("kept settings of the collector are not used", error=str(error))
                return None
            return settings
        log.warning("kept settings of the collector are not used", value=str(value)[:200])
        return None


def summarize_pauses(pauses: Sequence[Pause], begin: float, end: float) -> PauseSummary:
    """Sum up the collections from `begin` to `end` that nobody asked for; `end` exclusive.

    What is remembered may reach back less far: then the share is that of the time it covers.
    """
    if pauses and len(pauses) >= RECORDED_PAUSES:
        begin = max(begin, pauses[0].time)
    within = [pause.seconds for pause in pauses if begin <= pause.time < end and not pause.asked]
    share = sum(within) / (end - begin) if end > begin else 0.0
    return PauseSummary(len(within), percentile_95(within) if len(within) >= MIN_COLLECTIONS else None, share)


def percentile_95(values: Sequence[float]) -> float:
    """Return the 95th percentile by nearest rank."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def compare_pauses(trial: Trial, recent: Sequence[Pause], now: float) -> tuple[Trial, bool]:
    """Return the trial with its pauses up to now, and whether they are clearly worse than before."""
    pauses = summarize_pauses(recent, trial.began, now)
    before, during = trial.before_p95, pauses.p95
    worse = False
    if before is None or during is None:
        verdict = _("too few collections to say: {before} before, {now} in the trial; {enough} are needed").format(
            before=trial.before_pauses.collections, now=pauses.collections, enough=MIN_COLLECTIONS
        )
    else:
        line = max(before * WORSE_FACTOR, before + WORSE_SECONDS)
        over = sum(pause.seconds > line for pause in recent if pause.time >= trial.began and not pause.asked)
        worse = during > line and over >= MIN_WORSE_PAUSES
        told = _("pauses got worse: p95 {now:.2f} ms, {before:.2f} ms before")
        if not worse:
            told = _("pauses are not clearly worse: p95 {now:.2f} ms, {before:.2f} ms before")
        verdict = told.format(now=1000 * during, before=1000 * before)
    return replace(trial, now_p95=during, now_pauses=pauses, verdict=verdict), worse


def describe_settings(settings: GCSettings) -> str:
    """Return settings in one line."""
    thresholds = ", ".join(str(each) for each in settings.thresholds)
    parts = [_("thresholds {thresholds}").format(thresholds=thresholds)]
    if not settings.automatic:
        parts.append(_("switched off"))
    elif settings.thresholds[0] == 0:
        parts.append(_("off, because threshold 0 is 0"))
    else:
        parts.append(_("switched on"))
    parts.append(_("own policy on") if settings.policy else _("own policy off"))
    return ", ".join(parts)
