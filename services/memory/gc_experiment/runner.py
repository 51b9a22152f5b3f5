"""Runs threshold experiments: one at a time, child after child, within the memory budget."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from services.core.actor import Actor, Permission
from services.core.auditing import Action, Target, TargetKind
from services.core.errors import CancelledError, ConflictError, MillpondError, UnavailableError
from services.core.events import EventKind, EventSink
from services.core.i18n import _, joined, plural
from services.core.machine import MEGABYTE
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

ROUNDS = 6  # the fewest with which the exact test can be significant at 95%
OPERATIONS = 600
# Measured on a 2-core machine; replaced by the figures of the last experiment.
_START_SECONDS = 6.0
_OPERATION_SECONDS = 0.015
_CHILD_SECONDS = 600.0
_CHILD_CPU_SECONDS = 300
# A child is killed when its RSS exceeds the expected one by this factor.
_RSS_MARGIN = 1.5


class Experiments:
    """Starts experiments and stores their results. Thread-safe."""

    def __init__(self, folder: Path, clock: Clock, reporter: EventSink, environment: ExperimentEnvironment) -> None:
        self._clock = clock
        self._reporter = reporter
        self._environment = environment
        self._store = ResultStore(folder)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._state = ExperimentState()
        self._closed = False
        if results := self._store.results():
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
        """Whether an experiment is running."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def expected(self) -> int:
        """The expected RSS of a run in bytes."""
        return self._environment.expected()

    def state(self) -> ExperimentState:
        """Return the state of the present or last experiment."""
        return self._state

    def results(self) -> list[ExperimentResult]:
        """Return the stored results, newest first."""
        return self._store.results()

    def damaged_results(self) -> list[str]:
        """Return the ids of results that could not be read at the start."""
        return list(self._store.damaged)

    def result(self, result_id: str) -> ExperimentResult:
        """Return a result.

        Raises:
            NotFoundError: there is none of that id.
        """
        return self._store.get(result_id)

    def estimate(self, settings: int, rounds: int, operations: int = OPERATIONS) -> float:
        """Return the estimated duration of an experiment in seconds."""
        start, each = _START_SECONDS, _OPERATION_SECONDS
        if results := self._store.results():
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
        """Start an experiment; the defaults are always included.

        Raises:
            ForbiddenError: `actor` is not an administrator.
            BadInputError: there is nothing to compare, or too much.
            ConflictError: an experiment is running.
            UnavailableError: the memory budget does not allow a child, or the service is closing.
        """
        actor.require(Permission.OPERATE, _("Start a threshold experiment"))
        wanted = validate_experiment(settings, rounds, operations)
        with self._lock:
            if self._closed:
                raise UnavailableError(_("Millpond is being closed."), _("Start it again afterwards."))
            if self.running:
                raise ConflictError(
                    _("An experiment is running already."), _("Wait for its end, or cancel it, then start again.")
                )
            try:
                self._environment.check_headroom()
            except UnavailableError as error:
                self._emit(actor.name, _("threshold experiment refused: {text}").format(text=error.message))
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
                target=self._run, args=(rounds, operations, seed), name="threshold-experiment", daemon=True
            )
            self._emit(
                actor.name,
                plural(
                    "threshold experiment started: {count} run",
                    "threshold experiment started: {count} runs",
                    state.runs,
                ),
            )
            self._thread.start()
        text = plural("started: {count} run", "started: {count} runs", state.runs)
        self._reporter.audit(actor, Action.EXPERIMENT_CHANGED, Target(TargetKind.EXPERIMENT), detail=text)
        return state

    def cancel(self, actor: Actor) -> ExperimentState:
        """Cancel the present experiment, wait for its end, and return the state; does nothing if none runs.

        Raises:
            ForbiddenError: `actor` is not an administrator.
        """
        actor.require(Permission.OPERATE, _("Cancel a threshold experiment"))
        if self.running:
            self._reporter.audit(actor, Action.EXPERIMENT_CHANGED, Target(TargetKind.EXPERIMENT), detail=_("cancelled"))
        self._stop()
        return self._state

    def close(self) -> None:
        """Cancel the running experiment and refuse further ones; safe to call twice."""
        with self._lock:
            self._closed = True
        self._stop()

    def _stop(self) -> None:
        self._stopping.set()
        if (thread := self._thread) is not None and thread.is_alive():
            thread.join()

    def _run(self, rounds: int, operations: int, seed: int) -> None:
        """Run the experiment, in its own thread."""
        state, began = self._state, time.monotonic()
        try:
            workload = self._environment.workload(operations, seed)
            runs = self._series(rounds).run(workload)
            result = ExperimentResult(
                id=self._store.new_id(),
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
            self._store.add(result)
        except MillpondError as error:
            phase = ExperimentPhase.CANCELLED if self._stopping.is_set() else ExperimentPhase.FAILED
            self._finish(phase, error.message, error.hint)
        except Exception:
            # Otherwise the page would show a running experiment for ever.
            log.exception("experiment failed")
            self._finish(
                ExperimentPhase.FAILED,
                _("The experiment failed with an unexpected error."),
                _("The log has the details."),
            )
        else:
            self._state = replace(self._state, phase=ExperimentPhase.FINISHED, remaining=None, result=result.id)
            message = _("threshold experiment finished: {text}").format(text=headline(analyze(result), result))
            self._emit(state.actor, message, seconds=result.took)

    def _finish(self, phase: ExperimentPhase, message: str, hint: str) -> None:
        state = self._state
        done = _("Run {run} of {runs}.").format(run=state.run, runs=state.runs)
        self._state = replace(state, phase=phase, remaining=None, message=message, hint=hint)
        ended = _("cancelled") if phase is ExperimentPhase.CANCELLED else _("failed")
        text = _("threshold experiment {ended}: {text}").format(ended=ended, text=joined((message, done)))
        self._emit(state.actor, text)

    def _series(self, rounds: int) -> ExperimentSeries:
        began = time.monotonic()

        def on_run(done: int, place: int) -> None:
            state = self._state
            left = (time.monotonic() - began) / done * (state.runs - done) if done else state.remaining
            self._state = replace(state, run=done + 1, share=0.0, setting=place, remaining=left)

        def on_progress(share: float) -> None:
            self._state = replace(self._state, share=share)

        return ExperimentSeries(
            self._environment,
            self._state.settings,
            rounds,
            self._store.work_folder,
            self._stopping,
            on_run,
            on_progress,
        )

    def _emit(self, actor: str, text: str, **figures: float) -> None:
        self._reporter.action(actor, EventKind.EXPERIMENT, text, **figures)


@dataclass(frozen=True, slots=True)
class ExperimentEnvironment:
    """What experiments need of the service.

    `command` is the module that children run. `workload` returns the operations for a number of them and a seed.
    `service` returns settings for the children's executor. `expected` is the expected RSS of a child, `headroom` the
    memory that may be used now, both in bytes; a child is killed when the headroom becomes negative.
    """

    command: Sequence[str]
    workload: Callable[[int, int], Workload]
    service: Callable[[], dict[str, Any]]
    expected: Callable[[], int]
    headroom: Callable[[], int]

    def check_headroom(self) -> None:
        """Check that the memory budget allows a child.

        Raises:
            UnavailableError: it does not.
        """
        expected, headroom = self.expected(), self.headroom()
        if expected > headroom:
            raise UnavailableError(
                _(
                    "Not enough memory for an experiment: a run needs about {expected:.0f} MB, and the memory budget "
                    "leaves {headroom:.0f} MB. Nothing was started."
                ).format(expected=expected / MEGABYTE, headroom=max(0, headroom) / MEGABYTE),
                _("Free some memory, or raise the limit, and try again."),
            )


@dataclass(frozen=True, slots=True)
class ExperimentSeries:
    """The runs of one experiment. `create_folder` creates a folder for a child; `stopping` ends the experiment at once.

    `on_run` is called with the number of finished runs and the index of the next one's setting, `on_progress` with the
    share of the present run that is done.
    """

    environment: ExperimentEnvironment
    settings: tuple[Setting, ...]
    rounds: int
    create_folder: Callable[[], Path]
    stopping: threading.Event
    on_run: Callable[[int, int], None]
    on_progress: Callable[[float], None]

    def run(self, workload: Workload) -> list[Run]:
        """Run the children, one after the other.

        Raises:
            MillpondError: the experiment was cancelled, or a child failed, with its setting and round in the message.
        """
        runs: list[Run] = []
        for round_ in range(self.rounds):
            for place in setting_order(len(self.settings), round_):
                if self.stopping.is_set():
                    raise cancelled_error()
                if runs:
                    self.environment.check_headroom()
                self.on_run(len(runs), place)
                try:
                    runs.append(Run(place, round_, self._run_child(workload, self.settings[place])))
                except CancelledError:
                    raise
                except MillpondError as error:
                    where = _("{name}, round {round}").format(name=label(self.settings[place]), round=round_ + 1)
                    raise type(error)(f"{error.message} ({where})", error.hint) from error
        return runs

    def _run_child(self, workload: Workload, setting: Setting) -> RunFigures:
        environment, folder = self.environment, self.create_folder()
        orders = ChildOrders(
            folder=folder,
            setting=setting,
            operations=workload.operations,
            seed=workload.seed,
            long_lived=workload.long_lived,
            service=environment.service(),
            cpu_seconds=_CHILD_CPU_SECONDS,
        )
        limits = ChildLimits(_CHILD_SECONDS, _CHILD_CPU_SECONDS, int(environment.expected() * _RSS_MARGIN))
        try:
            return run_child(environment.command, orders, limits, stop=self._stop_reason, progress=self.on_progress)
        finally:
            remove_folder(folder)

    def _stop_reason(self) -> MillpondError | None:
        if self.stopping.is_set():
            return cancelled_error()
        if self.environment.headroom() < 0:
            return UnavailableError(
                _("The service needs the memory; the experiment was ended."),
                _("Try again at a quieter time."),
            )
        return None
