"""One experiment at a time: child after child, its progress, its end however it ends.

What experiments are made with, and the runs of one: child after child, within what the memory budget leaves.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from services.core.access import Actor
from services.core.errors import CancelledError, ConflictError, MillpondError, UnavailableError
from services.core.events import EventKind, EventSink
from services.core.i18n import _
from services.core.settings import MEGABYTE
from services.memory.clock import Clock
from services.memory.gc_experiment.analysis import analyze
from services.memory.gc_experiment.child import ChildOrders
from services.memory.gc_experiment.child_process import ChildLimits, cancelled_error, remove_folder, run_child
from services.memory.gc_experiment.messages import headline
from services.memory.gc_experiment.result_store import ResultStore
from services.memory.gc_experiment.types import (
    ExperimentPhase,
    ExperimentResult,
    ExperimentState,
    Run,
    RunFigures,
    Setting,
    Workload,
)
from services.memory.gc_experiment.workload import DEFAULTS, count_operations, label, setting_order, validate_experiment

log = structlog.get_logger(__name__)

ROUNDS = 6  # the fewest with which an exact test can be certain at 95%
OPERATIONS = 600
# What a run takes on this project's 2-core machine; replaced by what the last experiment took.
_START_SECONDS = 6.0
_OPERATION_SECONDS = 0.015
_CHILD_SECONDS = 600.0
_CHILD_CPU_SECONDS = 300
# A child may need more than expected before it is ended.
_SURPLUS = 1.5


class Experiments:
    """Starts experiments and keeps their results. Thread-safe."""

    def __init__(self, folder: Path, clock: Clock, reporter: EventSink, laboratory: ExperimentEnvironment) -> None:
        self._clock = clock
        self._reporter = reporter
        self._laboratory = laboratory
        self._shelf = ResultStore(folder)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._state = ExperimentState()
        self._closed = False
        if results := self._shelf.results():
            last = results[0]
            self._state = ExperimentState(
                ExperimentPhase.FINISHED,
                last.settings,
                runs=len(last.runs),
                actor=last.actor,
                began=last.began,
                result=last.id,
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
        wanted = validate_experiment(settings, rounds, operations)
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
                ExperimentPhase.RUNNING,
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
                counts=count_operations(workload.operations),
                runs=tuple(runs),
            )
            self._shelf.add(result)
        except MillpondError as error:
            phase = ExperimentPhase.CANCELLED if self._stopping.is_set() else ExperimentPhase.FAILED
            self._finish(phase, error.message, error.hint)
        except Exception:
            # The thread's last line: the page must not show an experiment that runs for ever.
            log.exception("experiment failed")
            self._finish(
                ExperimentPhase.FAILED, _("The experiment failed through a defect."), _("The log has the details.")
            )
        else:
            self._state = replace(self._state, phase=ExperimentPhase.FINISHED, remaining=None, result=result.id)
            words = headline(analyze(result), result)
            told = _("threshold experiment finished: {words}").format(words=words)
            self._tell(state.actor, told, seconds=result.took)

    def _finish(self, phase: ExperimentPhase, message: str, hint: str) -> None:
        state = self._state
        done = _("Run {run} of {runs}.").format(run=state.run, runs=state.runs)
        self._state = replace(state, phase=phase, remaining=None, message=message, hint=hint)
        ended = _("cancelled") if phase is ExperimentPhase.CANCELLED else _("failed")
        told = _("threshold experiment {ended}: {words}").format(ended=ended, words=f"{message} {done}")
        self._tell(state.actor, told)

    def _series(self, rounds: int) -> ExperimentSeries:
        began = time.monotonic()

        def begins(made: int, place: int) -> None:
            state = self._state
            left = (time.monotonic() - began) / made * (state.runs - made) if made else state.remaining
            self._state = replace(state, run=made + 1, share=0.0, setting=place, remaining=left)

        def shares(share: float) -> None:
            self._state = replace(self._state, share=share)

        return ExperimentSeries(
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


@dataclass(frozen=True, slots=True)
class ExperimentEnvironment:
    """Handed in by the wiring, which knows the other rooms.

    `command` is the module that children run. `workload` returns what is to be done, for a number of operations and a
    seed. `service` returns settings that the children's body needs. `expected` is the RSS that a child will have,
    `room` how much more memory may be used now, both in bytes; a negative one ends the child that runs.
    """

    command: Sequence[str]
    workload: Callable[[int, int], Workload]
    service: Callable[[], dict[str, Any]]
    expected: Callable[[], int]
    room: Callable[[], int]

    def check_room(self) -> None:
        """Let a child begin.

        Raises:
            UnavailableError: the memory budget does not allow one.
        """
        expected, room = self.expected(), self.room()
        if expected > room:
            raise UnavailableError(
                _(
                    "There is no room for an experiment: a run needs about {expected:.0f} MB, and the memory budget "
                    "leaves {room:.0f} MB. Nothing was started."
                ).format(expected=expected / MEGABYTE, room=max(0, room) / MEGABYTE),
                _("Free some memory, or raise the limit, and try again."),
            )


@dataclass(frozen=True, slots=True)
class ExperimentSeries:
    """All runs of one experiment. `folder` makes a new folder for a child; `stopping` ends everything at once."""

    laboratory: ExperimentEnvironment
    settings: tuple[Setting, ...]
    rounds: int
    folder: Callable[[], Path]
    stopping: threading.Event
    begins: Callable[[int, int], None]
    shares: Callable[[float], None]

    def make(self, workload: Workload) -> list[Run]:
        """Make the runs, one after the other; `begins` gets the number of runs made and the setting's place, `shares`
        how much of the present run is done.

        Raises:
            MillpondError: cancelled, or a child failed, with its setting and round in the message.
        """
        made: list[Run] = []
        for round_ in range(self.rounds):
            for place in setting_order(len(self.settings), round_):
                if self.stopping.is_set():
                    raise cancelled_error()
                if made:
                    self.laboratory.check_room()
                self.begins(len(made), place)
                try:
                    made.append(Run(place, round_, self._run(workload, self.settings[place])))
                except CancelledError:
                    raise
                except MillpondError as error:
                    where = _("{name}, round {round}").format(name=label(self.settings[place]), round=round_ + 1)
                    raise type(error)(f"{error.message} ({where})", error.hint) from error
        return made

    def _run(self, workload: Workload, setting: Setting) -> RunFigures:
        laboratory, folder = self.laboratory, self.folder()
        orders = ChildOrders(
            folder=folder,
            setting=setting,
            operations=workload.operations,
            seed=workload.seed,
            long_lived=workload.long_lived,
            service=laboratory.service(),
            cpu_seconds=_CHILD_CPU_SECONDS,
        )
        limits = ChildLimits(_CHILD_SECONDS, _CHILD_CPU_SECONDS, int(laboratory.expected() * _SURPLUS))
        try:
            return run_child(laboratory.command, orders, limits, stop=self._stop, told=self.shares)
        finally:
            remove_folder(folder)

    def _stop(self) -> MillpondError | None:
        if self.stopping.is_set():
            return cancelled_error()
        if self.laboratory.room() < 0:
            return UnavailableError(
                _("The service itself needs the memory; the experiment made room for it."),
                _("Try again in a quieter moment."),
            )
        return None
