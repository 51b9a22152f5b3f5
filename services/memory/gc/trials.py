"""Changes of the garbage collector's settings: on trial or permanent, saved, and compared by their pauses."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import structlog

from services.core.actor import SERVICE, Actor, Permission
from services.core.auditing import Action, Target, TargetKind
from services.core.errors import ConflictError, ForbiddenError, MillpondError
from services.core.events import EventKind, EventSink
from services.core.i18n import _, listed
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
from services.memory.sampling.gc_pauses import RECORDED_PAUSES, Pause, PauseRecorder, percentile_95

log = structlog.get_logger(__name__)

PREFERENCE_KEY = "collector"
# With fewer collections on either side there is no verdict: the p95 of 30 is the second largest.
MIN_COLLECTIONS = 30
# Pauses are worse when their p95 is longer by both this factor and this many seconds,
WORSE_FACTOR, WORSE_SECONDS = 1.5, 0.002
# and at least so many pauses are over that line: one slow full collection proves nothing.
MIN_WORSE_PAUSES = 3
# The pauses of ten minutes before the trial are compared with, or of as long as the trial itself.
BASELINE_SECONDS = 600.0


class Trials:
    """Changes settings, on trial or permanently. Thread-safe. The methods are documented in `GCControl`."""

    def __init__(
        self, clock: Clock, pauses: PauseRecorder, guard: ActionGuard, saved: SavedSettings, interpreter: InterpreterGC
    ) -> None:
        self.saved = saved
        self.trial: Trial | None = None
        self.last: Trial | None = None
        self._clock = clock
        self._pauses = pauses
        self._guard = guard
        self._interpreter = interpreter
        self._policy = True
        # Reentrant: a collection inside the lock may run a finalizer that reads the settings.
        self._lock = threading.RLock()
        self._closed = False

    @property
    def settings(self) -> GCSettings:
        """The settings in use, read from the interpreter."""
        return GCSettings(current_thresholds(), gc.isenabled(), self._policy)

    def start(self) -> None:
        """Apply the saved settings, if any."""
        with self._lock:
            kept = self.saved.settings
            if kept is None or self._closed:
                return
            self._apply(kept)
        text = _("saved garbage collector settings applied: {settings}").format(settings=describe_settings(kept))
        self._guard.emit(SERVICE, EventKind.SETTINGS, text)

    def change(self, actor: Actor, settings: GCSettings, trial_seconds: float | None) -> Trial | None:
        """Change the settings, on trial or permanently."""
        with self._guard.authorize(actor, _("Change the garbage collector"), EventKind.SETTINGS), self._lock:
            validate_settings(settings)
            if trial_seconds is None:
                self.saved.save(settings)
                self._end(_("ended: other settings were saved"))
                template = _("garbage collector settings changed and saved: {settings}")
            else:
                validate_trial_seconds(trial_seconds)
                self.trial = self._begin(actor, settings, trial_seconds)
                template = _("garbage collector settings on trial for {seconds:g} s: {settings}")
            self._apply(settings)
            trial = self.trial
        text = template.format(settings=describe_settings(settings), seconds=trial_seconds)
        self._guard.emit(actor, EventKind.SETTINGS, text)
        self._guard.record(actor, Action.COLLECTOR_CHANGED, text)
        return trial

    def keep(self, actor: Actor) -> None:
        """Save the settings on trial."""
        with self._guard.authorize(actor, _("Keep the settings on trial"), EventKind.SETTINGS), self._lock:
            trial = self._require_trial()
            self.saved.save(trial.tried)
            self._end(_("kept by {actor}").format(actor=actor.name))
        text = _("trial kept: {settings}").format(settings=describe_settings(trial.tried))
        self._guard.emit(actor, EventKind.SETTINGS, text)
        self._guard.record(actor, Action.COLLECTOR_CHANGED, text)

    def revert(self, actor: Actor) -> None:
        """Revert to the settings from before the trial."""
        with self._guard.authorize(actor, _("End the trial"), EventKind.SETTINGS), self._lock:
            self._revert(actor, _("ended by {actor}").format(actor=actor.name))
        self._guard.record(actor, Action.COLLECTOR_CHANGED, _("trial ended"))

    def check(self) -> None:
        """End the trial if its time is over, or if pauses got worse."""
        with self._lock:
            trial = self.trial
            if trial is None or self._closed:
                return
            now = self._clock.time()
            trial, worse = compare_pauses(trial, self._pauses.recent(), now)
            self.trial = trial
            if worse:
                self._revert(SERVICE, trial.verdict)
            elif now >= trial.until:
                text = _("time is over and the trial was not kept; {verdict}").format(verdict=trial.verdict)
                self._revert(SERVICE, text)

    def close(self) -> None:
        """End the trial and restore the original settings; safe to call twice."""
        with self._lock:
            self._closed = True
            if self.trial is not None:
                self._end(_("ended with the service"))
                text = _("garbage collector trial ended with the service; the saved settings apply after a restart")
                self._guard.emit(SERVICE, EventKind.SETTINGS, text)
            self._interpreter.restore()

    def _apply(self, settings: GCSettings) -> None:
        self._interpreter.apply(settings)
        self._policy = settings.policy

    def _begin(self, actor: Actor, settings: GCSettings, seconds: float) -> Trial:
        now, running = self._clock.time(), self.trial
        if running is None:
            before = self.settings
            earlier = summarize_pauses(self._pauses.recent(), now - max(seconds, BASELINE_SECONDS), now)
        else:
            before, earlier = running.before, running.before_pauses
            self._end(_("ended: replaced by a trial of other settings"))
        return Trial(
            began=now,
            until=now + seconds,
            actor=actor.name,
            tried=settings,
            before=before,
            before_p95=earlier.p95,
            verdict=_("just started"),
            before_pauses=earlier,
        )

    def _require_trial(self) -> Trial:
        if self.trial is None:
            raise ConflictError(
                _("No change is on trial; nothing was changed."), _("It may have ended by itself a moment ago.")
            )
        return self.trial

    def _end(self, verdict: str) -> None:
        if self.trial is not None:
            self.last = replace(self.trial, verdict=verdict, until=self._clock.time())
            self.trial = None

    def _revert(self, actor: Actor, verdict: str) -> None:
        trial = self._require_trial()
        self._apply(trial.before)
        self._end(verdict)
        text = _("garbage collector settings reverted to {settings}: {verdict}").format(
            settings=describe_settings(trial.before), verdict=verdict
        )
        self._guard.emit(actor, EventKind.SETTINGS, text)


class ActionGuard:
    """Authorizes administrators' actions and emits an event for each refusal and failure."""

    def __init__(self, reporter: EventSink) -> None:
        self._reporter = reporter

    @contextmanager
    def authorize(self, actor: Actor, action: str, kind: EventKind) -> Iterator[None]:
        """Run the block if `actor` is an administrator; `action` is its description."""
        try:
            actor.require(Permission.OPERATE, action)
        except ForbiddenError:
            if actor.on_refusal is None:  # else it was reported where the actor was made
                self.emit(actor, EventKind.ACCESS, _("refused: {action}").format(action=action))
            raise
        try:
            yield
        except MillpondError as error:
            self.emit(actor, kind, _("{action} failed: {reason}").format(action=action, reason=error.message))
            raise

    def record(self, actor: Actor, action: Action, detail: str) -> None:
        """Record in the audit log what somebody did to the collector."""
        self._reporter.audit(actor, action, Target(TargetKind.COLLECTOR), detail=detail)

    def emit(self, actor: Actor, kind: EventKind, text: str, **figures: float) -> None:
        """Emit an event."""
        self._reporter.action(actor.name, kind, text, **figures)


class SavedSettings:
    """The saved settings, in the preferences; without preferences they last as long as the process."""

    def __init__(self, preferences: Preferences | None) -> None:
        self._preferences = preferences
        self._settings = self._read()

    @property
    def settings(self) -> GCSettings | None:
        """The saved settings, None where there are none."""
        return self._settings

    def save(self, settings: GCSettings) -> None:
        """Replace the saved settings.

        Raises:
            StorageError: they could not be written; the old ones stay.
        """
        if self._preferences is not None:
            value = {
                "thresholds": list(settings.thresholds),
                "automatic": settings.automatic,
                "policy": settings.policy,
            }
            self._preferences.set(PREFERENCE_KEY, value)
        self._settings = settings

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
                log.warning("saved gc settings ignored", error=str(error))
                return None
            return settings
        log.warning("saved gc settings ignored", value=str(value)[:200])
        return None


def summarize_pauses(pauses: Sequence[Pause], begin: float, end: float) -> PauseSummary:
    """Summarize the automatic collections from `begin` to `end` (exclusive).

    Where the recorded pauses reach back less far, the share is that of the time they cover.
    """
    if pauses and len(pauses) >= RECORDED_PAUSES:  # there may have been earlier ones
        begin = max(begin, pauses[0].time)
    within = [pause.seconds for pause in pauses if begin <= pause.time < end and not pause.asked]
    share = sum(within) / (end - begin) if end > begin else 0.0
    return PauseSummary(len(within), percentile_95(within) if len(within) >= MIN_COLLECTIONS else None, share)


def compare_pauses(trial: Trial, recent: Sequence[Pause], now: float) -> tuple[Trial, bool]:
    """Return the trial with its pauses up to `now`, and whether they are clearly worse than before."""
    pauses = summarize_pauses(recent, trial.began, now)
    before, during = trial.before_p95, pauses.p95
    worse = False
    if before is None or during is None:
        verdict = _("too few collections to compare: {before} before, {now} in the trial; {enough} are needed").format(
            before=trial.before_pauses.collections, now=pauses.collections, enough=MIN_COLLECTIONS
        )
    else:
        line = max(before * WORSE_FACTOR, before + WORSE_SECONDS)
        over = sum(pause.seconds > line for pause in recent if pause.time >= trial.began and not pause.asked)
        worse = during > line and over >= MIN_WORSE_PAUSES
        text = _("pauses got worse: p95 {now:.2f} ms, {before:.2f} ms before")
        if not worse:
            text = _("pauses are not clearly worse: p95 {now:.2f} ms, {before:.2f} ms before")
        verdict = text.format(now=1000 * during, before=1000 * before)
    return replace(trial, now_p95=during, verdict=verdict), worse


def describe_settings(settings: GCSettings) -> str:
    """Return a description of settings in one line."""
    thresholds = ", ".join(str(each) for each in settings.thresholds)
    parts = [_("thresholds {thresholds}").format(thresholds=thresholds)]
    if not settings.automatic:
        parts.append(_("switched off"))
    elif settings.thresholds[0] == 0:
        parts.append(_("off, because threshold 0 is 0"))
    else:
        parts.append(_("switched on"))
    parts.append(_("collect when idle on") if settings.policy else _("collect when idle off"))
    return listed(parts)
