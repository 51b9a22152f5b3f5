"""The settings in use, what is kept of them, and the change that is being tried."""

from __future__ import annotations

import gc
import threading
from dataclasses import replace

from services.access import SERVICE, Actor
from services.errors import ConflictError
from services.memory.clock import Clock
from services.memory.collector import trials
from services.memory.collector.acting import Acting
from services.memory.collector.checking import check_settings, check_trial
from services.memory.collector.keeping import KeptSettings
from services.memory.collector.process import OwnCollector, thresholds
from services.memory.collector.types import CollectorSettings, Trial
from services.memory.collector.wording import in_words
from services.memory.sampling.pauses import PauseRecorder
from services.reporting import EventKind
from services.texts import _


class Trying:
    """Changes settings, on trial or for good. Thread-safe. `Collector` documents what its methods do."""

    def __init__(
        self, clock: Clock, pauses: PauseRecorder, acting: Acting, kept: KeptSettings, own: OwnCollector
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
    def settings(self) -> CollectorSettings:
        """What is in use now, read from Python itself."""
        return CollectorSettings(thresholds(), gc.isenabled(), self._policy)

    def start(self) -> None:
        """Use what was kept, if anything."""
        with self._lock:
            kept = self.kept.settings
            if kept is None or self._closed:
                return
            self._use(kept)
        told = _("kept settings of the collector in use: {settings}").format(settings=in_words(kept))
        self._acting.tell(SERVICE, EventKind.SETTINGS, told)

    def change(self, actor: Actor, settings: CollectorSettings, trial_seconds: float | None) -> Trial | None:
        """Use settings, for a while or from now on."""
        with self._acting.allowed(actor, _("Change the collector"), EventKind.SETTINGS), self._lock:
            check_settings(settings)
            if trial_seconds is None:
                self.kept.keep(settings)
                self._end(_("ended: other settings were kept"))
                told = _("collector set and kept: {settings}")
            else:
                check_trial(trial_seconds)
                self.trial = self._begin(actor, settings, trial_seconds)
                told = _("collector on trial for {seconds:g} s: {settings}")
            self._use(settings)
            trial = self.trial
        text = told.format(settings=in_words(settings), seconds=trial_seconds)
        self._acting.tell(actor, EventKind.SETTINGS, text)
        return trial

    def keep(self, actor: Actor) -> None:
        """Keep what is being tried."""
        with self._acting.allowed(actor, _("Keep the settings on trial"), EventKind.SETTINGS), self._lock:
            trial = self._running()
            self.kept.keep(trial.tried)
            self._end(_("kept by {actor}").format(actor=actor.name))
        told = _("trial kept: {settings}").format(settings=in_words(trial.tried))
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
            trial, worse = trials.compared(trial, self._pauses.recent(), now)
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

    def _use(self, settings: CollectorSettings) -> None:
        self._own.use(settings)
        self._policy = settings.policy

    def _begin(self, actor: Actor, settings: CollectorSettings, seconds: float) -> Trial:
        now, running = self._clock.time(), self.trial
        if running is None:
            before = self.settings
            earlier = trials.summary(self._pauses.recent(), now - max(seconds, trials.BEFORE_SECONDS), now)
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
        told = _("collector back to {settings}: {verdict}").format(settings=in_words(trial.before), verdict=verdict)
        self._acting.tell(actor, EventKind.SETTINGS, told)
