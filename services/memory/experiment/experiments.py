"""One experiment at a time: child after child, its progress, its end however it ends."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from services.access import Actor
from services.errors import ConflictError, MillpondError, UnavailableError
from services.memory.clock import Clock
from services.memory.experiment.choices import DEFAULTS, checked
from services.memory.experiment.judging import judge
from services.memory.experiment.laboratory import Laboratory, Series
from services.memory.experiment.mix import counted
from services.memory.experiment.shelf import Shelf
from services.memory.experiment.types import ExperimentResult, ExperimentState, Phase, Setting
from services.memory.experiment.wording import headline
from services.reporting import EventKind, Reporter
from services.texts import _

log = structlog.get_logger(__name__)

ROUNDS = 6  # the fewest with which an exact test can be certain at 95%
OPERATIONS = 600
# What a run takes on this project's 2-core machine; replaced by what the last experiment took.
_START_SECONDS = 6.0
_OPERATION_SECONDS = 0.015


class Experiments:
    """Starts experiments and keeps their results. Thread-safe."""

    def __init__(self, folder: Path, clock: Clock, reporter: Reporter, laboratory: Laboratory) -> None:
        self._clock = clock
        self._reporter = reporter
        self._laboratory = laboratory
        self._shelf = Shelf(folder)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._state = ExperimentState()
        self._closed = False
        if results := self._shelf.results():
            last = results[0]
            self._state = ExperimentState(
                Phase.FINISHED, last.settings, runs=len(last.runs), actor=last.actor, began=last.began, result=last.id
            )

    @property
    def running(self) -> bool:
        """Whether one is being made."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def expected(self) -> int:
        """How large a run's RSS is expected to be, in bytes."""
        return self._laboratory.expected()

    def state(self) -> ExperimentState:
        """Return how the present or last experiment stands."""
        return self._state

    def results(self) -> list[ExperimentResult]:
        """Return what was found, newest first."""
        return self._shelf.results()

    def result(self, result_id: str) -> ExperimentResult:
        """Return one; NotFoundError when it is not there."""
        return self._shelf.get(result_id)

    def estimate(self, settings: int, rounds: int, operations: int = OPERATIONS) -> float:
        """Return for about how many seconds an experiment would run."""
        start, each = _START_SECONDS, _OPERATION_SECONDS
        if results := self._shelf.results():
            last = results[0]
            each = sum(run.figures.seconds for run in last.runs) / max(
                1, sum(run.figures.operations for run in last.runs)
            )
            start = max(1.0, last.took / max(1, len(last.runs)) - each * last.runs[0].figures.operations)
        return settings * rounds * (start + each * operations)

    def start(
        self,
        actor: Actor,
        settings: Sequence[Setting],
        rounds: int = ROUNDS,
        operations: int = OPERATIONS,
        seed: int = 1,
    ) -> ExperimentState:
        """Begin an experiment; the defaults are always part of it.

        Raises:
            ForbiddenError: `actor` may only look.
            BadInputError: nothing to compare, or too much.
            ConflictError: one is running.
            UnavailableError: there is no room for a child within the memory budget, or the service is closing.
        """
        actor.require_admin(_("Start a threshold experiment"))
        wanted = checked(settings, rounds, operations)
        with self._lock:
            if self._closed:
                raise UnavailableError(_("Millpond is being closed."), _("Start it again afterwards."))
            if self.running:
                raise ConflictError(
                    _("An experiment is running already."), _("Wait for its end, or cancel it, and start anew.")
                )
            try:
                self._laboratory.check_room()
            except UnavailableError as error:
                self._tell(actor.name, _("threshold experiment refused: {words}").format(words=error.message))
                raise
            self._stopping.clear()
            state = ExperimentState(
                Phase.RUNNING,
                wanted,
                run=1,
                runs=len(wanted) * rounds,
                actor=actor.name,
                began=self._clock.time(),
                remaining=self.estimate(len(wanted), rounds, operations),
            )
            self._state = state
            self._thread = threading.Thread(
                target=self._live, args=(rounds, operations, seed), name="threshold-experiment", daemon=True
            )
            self._tell(actor.name, _("threshold experiment begun: {count} runs").format(count=state.runs))
            self._thread.start()
        return state

    def cancel(self, actor: Actor) -> ExperimentState:
        """End the present experiment, wait until nothing is left of it, and return how it stands; fine if none runs.

        Raises:
            ForbiddenError: `actor` may only look.
        """
        actor.require_admin(_("Cancel a threshold experiment"))
        self._end()
        return self._state

    def close(self) -> None:
        """End what runs and start nothing more; safe to call twice."""
        with self._lock:
            self._closed = True
        self._end()

    def _end(self) -> None:
        self._stopping.set()
        if (thread := self._thread) is not None and thread.is_alive():
            thread.join()

    def _live(self, rounds: int, operations: int, seed: int) -> None:
        """Make all runs; the thread's whole life."""
        state, began = self._state, time.monotonic()
        try:
            workload = self._laboratory.workload(operations, seed)
            runs = self._series(rounds).make(workload)
            result = ExperimentResult(
                id=self._shelf.new_id(),
                began=state.began,
                took=time.monotonic() - began,
                actor=state.actor,
                python=platform.python_version(),
                defaults=DEFAULTS,
                settings=state.settings,
                rounds=rounds,
                recorded=workload.recorded,
                seed=seed,
                long_lived=workload.long_lived,
                counts=counted(workload.operations),
                runs=tuple(runs),
            )
            self._shelf.add(result)
        except MillpondError as error:
            phase = Phase.CANCELLED if self._stopping.is_set() else Phase.FAILED
            self._finish(phase, error.message, error.hint)
        except Exception:
            # The thread's last line: the page must not show an experiment that runs for ever.
            log.exception("experiment failed")
            self._finish(Phase.FAILED, _("The experiment failed through a defect."), _("The log has the details."))
        else:
            self._state = replace(self._state, phase=Phase.FINISHED, remaining=None, result=result.id)
            words = headline(judge(result), result)
            told = _("threshold experiment finished: {words}").format(words=words)
            self._tell(state.actor, told, seconds=result.took)

    def _finish(self, phase: Phase, message: str, hint: str) -> None:
        state = self._state
        done = _("Run {run} of {runs}.").format(run=state.run, runs=state.runs)
        self._state = replace(state, phase=phase, remaining=None, message=message, hint=hint)
        ended = _("cancelled") if phase is Phase.CANCELLED else _("failed")
        told = _("threshold experiment {ended}: {words}").format(ended=ended, words=f"{message} {done}")
        self._tell(state.actor, told)

    def _series(self, rounds: int) -> Series:
        began = time.monotonic()

        def begins(made: int, place: int) -> None:
            state = self._state
            left = (time.monotonic() - began) / made * (state.runs - made) if made else state.remaining
            self._state = replace(state, run=made + 1, share=0.0, setting=place, remaining=left)

        def shares(share: float) -> None:
            self._state = replace(self._state, share=share)

        return Series(
            self._laboratory,
            self._state.settings,
            rounds,
            self._shelf.work_folder,
            self._stopping,
            begins,
            shares,
        )

    def _tell(self, actor: str, words: str, **figures: float) -> None:
        self._reporter.action(actor, EventKind.EXPERIMENT, words, **figures)
