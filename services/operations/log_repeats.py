"""Repetition in the log: the same warning or error is written once in full, some times in short, then counted.

Without it one cause that comes 2,000 times a second (no descriptor is free) writes 100 MB in seconds.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType

WINDOW_SECONDS = 60.0
IN_FULL = 10  # times that a line is written in a window; its traceback only once
MOST_KINDS = 256
# Verbose at info for each connection.
_VERBOSE = "uvicorn"

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


@dataclass(slots=True)
class _Window:
    """How often one kind of line came since `began`, in seconds of `time.monotonic`; `left_out` were not written."""

    began: float
    logger: str
    level: int
    text: str
    count: int = 0
    left_out: int = 0


class RepeatLimiter:
    """Decides what of each record is written. Not thread-safe: its handler holds a lock."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._windows: OrderedDict[tuple[object, ...], _Window] = OrderedDict()  # by age, the oldest first

    def filtered(self, record: logging.LogRecord) -> Iterator[logging.LogRecord]:
        """Yield what is to be written for `record`: itself, in short or not at all, after counts that are due."""
        yield from self.summaries()
        if record.levelno < logging.WARNING and not record.name.startswith(_VERBOSE):
            yield record
            return
        error = _exc_info(record)
        text = _template(record)
        key = (record.name, record.levelno, text, *_place(error))
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= MOST_KINDS:
                yield from self._close(next(iter(self._windows)))
            window = self._windows[key] = _Window(self._now(), record.name, record.levelno, text)
        window.count += 1
        if window.count > IN_FULL:
            window.left_out += 1
        elif window.count == 1 or error is None:
            yield record
        else:
            yield _without_traceback(record, error)

    def summaries(self, *, all_windows: bool = False) -> Iterator[logging.LogRecord]:
        """Close the windows that are over and yield their counts, where something was left out."""
        ended = self._now() - WINDOW_SECONDS
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if window.began > ended and not all_windows:
                return
            yield from self._close(key)

    def counts(self) -> bool:
        """Whether there is a count that has not been written yet."""
        return any(window.left_out for window in self._windows.values())

    def _close(self, key: tuple[object, ...]) -> Iterator[logging.LogRecord]:
        window = self._windows.pop(key)
        if window.left_out:
            seconds = max(1, round(self._now() - window.began))
            text = f"{window.text} ... and {window.left_out:,} times more in the last {seconds} s"
            yield logging.LogRecord(window.logger, window.level, "", 0, "%s", (text,), None)


def _exc_info(record: logging.LogRecord) -> _ExcInfo | None:
    """Return the exception of a record of `logging` or structlog, None without one."""
    found: object = record.msg.get("exc_info") if isinstance(record.msg, dict) else record.exc_info
    if isinstance(found, BaseException):
        return type(found), found, found.__traceback__
    if found is True:
        found = sys.exc_info()
    if isinstance(found, tuple) and len(found) == 3 and isinstance(found[1], BaseException):
        return found[0], found[1], found[2]
    return None


def _template(record: logging.LogRecord) -> str:
    """Return the text of a line without what differs between two of its kind."""
    found = record.msg.get("event") if isinstance(record.msg, dict) else record.msg
    return found[:200] if isinstance(found, str) else type(found).__name__


def _place(error: _ExcInfo | None) -> tuple[object, ...]:
    """Return kind and place of an exception: the same defect for other data is the same."""
    if error is None:
        return ()
    trace = error[2]
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (error[0], trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace is not None else (error[0],)


def _without_traceback(record: logging.LogRecord, error: _ExcInfo) -> logging.LogRecord:
    """Return a copy of a record that names its exception but has no traceback: that was written before."""
    short = logging.makeLogRecord(record.__dict__)
    short.exc_info = short.exc_text = None
    try:
        message = str(error[1])[:200]
    except Exception:  # noqa: BLE001 - a foreign __str__ may do anything
        message = ""
    named = f"{error[0].__name__}: {message}".rstrip(": ")
    if isinstance(record.msg, dict):
        short.msg = {name: value for name, value in record.msg.items() if name != "exc_info"} | {"error": named}
    else:
        short.__dict__["error"] = named
    return short
