"""Memory reserved for the process that recognises text while files need it: once, however many they are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from services.core.admission import Admission, Reservation
from services.core.errors import UnavailableError
from services.core.i18n import _
from services.core.machine import MEGABYTE

# What the process has resident with its models and a large page, measured (`tests/benchmarks/bench_ocr.py`).
RECOGNIZER_BYTES = 700 * MEGABYTE
_WAIT_SECONDS = 300.0
_POLL_SECONDS = 0.5


class RecognizerMemory:
    """Reserves `RECOGNIZER_BYTES` with the first file that needs them until the last one is done. Thread-safe."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._lock = threading.Lock()
        self._users = 0
        self._reservation: Reservation | None = None

    def use(self) -> RecognizerUse:
        """Return the use of one file, which reserves nothing yet."""
        return RecognizerUse(self._try_enter, self._leave, self._shortage)

    def _shortage(self) -> str:
        return self._admission.shortage_for_child(RECOGNIZER_BYTES, _("Text recognition"))

    def _try_enter(self) -> bool:
        with self._lock:
            if self._reservation is None:
                self._reservation = self._admission.try_reserve_for_child(RECOGNIZER_BYTES, _("Text recognition"))
            if self._reservation is None:
                return False
            self._users += 1
            return True

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users and self._reservation is not None:
                self._reservation.release()
                self._reservation = None


class RecognizerUse(AbstractContextManager["RecognizerUse"]):
    """One file's part in the reservation, until its end."""

    def __init__(self, enter: Callable[[], bool], leave: Callable[[], None], shortage: Callable[[], str]) -> None:
        self._try_enter = enter
        self._leave = leave
        self._shortage = shortage
        self._inside = False

    def begin(self, check: Callable[[], None]) -> None:
        """Wait until there is memory; `check` is called meanwhile, and may raise.

        Raises:
            UnavailableError: there was none for a long time.
        """
        pause = threading.Event()
        waited = 0.0
        while not self._inside:
            check()
            self._inside = self._try_enter()
            if self._inside:
                return
            if waited >= _WAIT_SECONDS:
                raise UnavailableError(
                    self._shortage() or _("There is not enough memory for text recognition."),
                    _("The file was kept. Try again later, or raise the memory limit."),
                )
            pause.wait(_POLL_SECONDS)
            waited += _POLL_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._inside:
            self._inside = False
            self._leave()
