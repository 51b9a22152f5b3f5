"""Does something n times and tells what each time leaves behind: the three-snapshot method.

What one repetition makes and lets go again is in no later snapshot. What was made in the first half and is still there
at the end has been left behind; if there are n of it, or a multiple, each repetition leaves so many.
(Mozilla's and Chrome's developers describe the method for browsers; the warm-up repetitions fill caches first.)
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from services.access import SERVICE, Actor
from services.errors import BadInputError, ConflictError, NotFoundError
from services.memory.clock import Clock
from services.memory.objects.repeat_types import Progress, RepeatReport
from services.memory.objects.series import Looks, Series
from services.texts import _

LEAST, MOST = 4, 1000
KEPT = 10


class Repeats:
    """Runs one series of repetitions at a time in a thread of its own; keeps the last reports."""

    def __init__(self, looks: Looks, clock: Clock) -> None:
        self._looks = looks
        self._clock = clock
        self._actions: dict[str, tuple[str, Callable[[], object]]] = {}
        self._lock = threading.Lock()
        self._run: Series | None = None
        self._reports: deque[RepeatReport] = deque(maxlen=KEPT)

    def add(self, name: str, action: Callable[[], object], label: str = "") -> None:
        """Offer `action` under `name`; it is called from another thread and may raise a `MillpondError`."""
        self._actions[name] = label or name, action

    @property
    def actions(self) -> dict[str, str]:
        """What can be repeated: what people call it, by name."""
        return {name: label for name, (label, _action) in self._actions.items()}

    @property
    def progress(self) -> Progress | None:
        """How far the present series is, None when there is none."""
        run = self._run
        return run.progress() if run is not None and run.thread.is_alive() else None

    @property
    def reports(self) -> tuple[RepeatReport, ...]:
        """The last reports, newest first."""
        return tuple(reversed(self._reports))

    def start(self, actor: Actor, action: str, times: int) -> None:
        """Begin to repeat a registered action `times` times, after two more for the warm-up.

        Raises:
            ForbiddenError: `actor` may only look.
            NotFoundError: there is no such action.
            BadInputError: too few or too many times.
            ConflictError: a series is running.
        """
        actor.require_admin(_("Repeat something"))
        label, work = self._actions.get(action, ("", None))
        if work is None:
            raise NotFoundError(_("No such action can be repeated."), _("Choose one that is listed."))
        self._start(label, times, work)

    def start_by_hand(self, actor: Actor, times: int, what: str = "") -> None:
        """Begin a series in which a person does something and calls `mark` after each time; raises as `start` does."""
        actor.require_admin(_("Repeat something"))
        self._start(what.strip()[:80] or _("by hand"), times, None)

    def mark(self, actor: Actor) -> None:
        """Say that the person has done it once more.

        Raises:
            ForbiddenError: `actor` may only look.
            ConflictError: nobody waits for that.
        """
        actor.require_admin(_("Repeat something"))
        run = self._run
        if run is None or not run.mark():
            raise ConflictError(_("Nothing is being repeated by hand."), _("Start a series first."))

    def cancel(self, actor: Actor) -> None:
        """End the present series after the repetition in progress; nothing happens when there is none.

        Raises:
            ForbiddenError: `actor` may only look.
        """
        actor.require_admin(_("Cancel a series"))
        if run := self._run:
            run.stopping.set()
            run.marks.release()

    def close(self) -> None:
        """Cancel and wait."""
        self.cancel(SERVICE)
        if (run := self._run) is not None and run.thread.is_alive():
            run.thread.join()

    def _start(self, action: str, times: int, work: Callable[[], object] | None) -> None:
        if not LEAST <= times <= MOST:
            raise BadInputError(
                _("{times} repetitions are not possible.").format(times=times),
                _("Choose between {least} and {most}.").format(least=LEAST, most=MOST),
            )
        with self._lock:
            if self._run is not None and self._run.thread.is_alive():
                raise ConflictError(_("Something is being repeated already."), _("Wait for its end, or cancel it."))
            self._run = Series(
                self._looks, self._clock, action=action, times=times, work=work, report=self._reports.append
            )
            self._run.thread.start()
