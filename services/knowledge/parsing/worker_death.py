"""What the end of a parser child says: a limit of the file, a crash, or somebody who ended it from outside.

A limit is the file's own fault. A process that was killed says nothing about the file: the system kills one when memory
runs out, an administrator kills the wrong one. A crash is the file's fault once it repeats. So a file whose reader
has died is read again, `MOST_DEATHS` times in all.
"""

from __future__ import annotations

import signal

from services.core.errors import BadInputError, MillpondError, TimedOutError, UnavailableError
from services.core.i18n import _, plural
from services.knowledge.parsing import protocol
from services.knowledge.parsing.worker import out_of_memory

MOST_DEATHS = 3
STOPPED = "SIGSTOP"
# What a program gets for its own mistakes (signal(7)); all other signals are sent to it.
_CRASHES = frozenset(
    getattr(signal, name)
    for name in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS")
    if hasattr(signal, name)
)


class WorkerDiedError(UnavailableError):
    """The process that read a file ended without an answer: `outside` by a signal from elsewhere, else by a crash.

    `how` is the name of the signal, or the exit code.
    """

    def __init__(self, message: str, hint: str, *, how: str, outside: bool) -> None:
        super().__init__(message, hint)
        self.how = how
        self.outside = outside


def exit_error(code: int, seconds: float, allowed: int) -> MillpondError:
    """Return the error for a child's exit code (negative: a signal) and the CPU seconds that it used."""
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and seconds >= allowed):
        return TimedOutError(
            _("Reading the file took more than {seconds} s of CPU time and was stopped.").format(seconds=allowed),
            _("Split it into smaller files, or raise MILLPOND_PARSER_CPU_SECONDS."),
        )
    if code == protocol.EXIT_OUT_OF_MEMORY:
        return out_of_memory()
    if code < 0 and -code not in _CRASHES:
        return outside_death(_signal_name(-code))
    return crash(_signal_name(-code) if code < 0 else str(code))


def outside_death(how: str) -> WorkerDiedError:
    """Return the error for a child that somebody ended, or stopped, from outside."""
    return WorkerDiedError(
        _("The process that read the file was ended from outside ({how}); the file was not read.").format(how=how),
        _("Nothing is known to be wrong with the file: try again."),
        how=how,
        outside=True,
    )


def crash(how: str) -> WorkerDiedError:
    """Return the error for a child that crashed."""
    return WorkerDiedError(
        _("Reading the file made the parser crash ({how}).").format(how=how),
        _("Try again; if it happens again, open it in the program that made it, and save it again there."),
        how=how,
        outside=False,
    )


def given_up(error: WorkerDiedError, deaths: int) -> MillpondError:
    """Return the error for a file with which so many readers have died, the last one as `error` tells."""
    if error.outside:
        return UnavailableError(
            plural(
                "The process that reads files was ended from outside while it read this file ({how}); nothing of it "
                "was kept but the file itself.",
                "The process that reads files was ended from outside while it read this file, {count} times "
                "(last by {how}); nothing of it was kept but the file itself.",
                deaths,
                how=error.how,
            ),
            _("Most often the machine is out of memory then: see its log, then retry the file."),
        )
    return BadInputError(
        plural(
            "Reading the file made the parser crash ({how}); it is damaged, or needs more memory than it may have.",
            "Reading the file made the parser crash {count} times (last by {how}); it is damaged, or needs more memory "
            "than it may have.",
            deaths,
            how=error.how,
        ),
        _("Open it in the program that made it, save it again there, and upload the copy."),
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
