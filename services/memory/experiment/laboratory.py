"""What experiments are made with, and the runs of one: child after child, within what the memory budget leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.errors import CancelledError, MillpondError, UnavailableError
from services.memory.experiment.child import Orders
from services.memory.experiment.choices import label, order
from services.memory.experiment.process import ChildLimits, cancelled, remove, run_child
from services.memory.experiment.types import Run, RunFigures, Setting, Workload
from services.settings import MEGABYTE
from services.texts import _

_CHILD_SECONDS = 600.0
_CHILD_CPU_SECONDS = 300
# A child may need more than expected before it is ended.
_SURPLUS = 1.5


@dataclass(frozen=True, slots=True)
class Laboratory:
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
class Series:
    """All runs of one experiment. `folder` makes a new folder for a child; `stopping` ends everything at once."""

    laboratory: Laboratory
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
            for place in order(len(self.settings), round_):
                if self.stopping.is_set():
                    raise cancelled()
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
        orders = Orders(
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
            remove(folder)

    def _stop(self) -> MillpondError | None:
        if self.stopping.is_set():
            return cancelled()
        if self.laboratory.room() < 0:
            return UnavailableError(
                _("The service itself needs the memory; the experiment made room for it."),
                _("Try again in a quieter moment."),
            )
        return None
