"""The parent's side of one child process: starts it, reads its messages, enforces its limits, cleans up after it."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import structlog

from services.core.errors import CancelledError, MillpondError, TimedOutError, TooLargeError, UnavailableError
from services.core.i18n import _, gap
from services.core.machine import MEGABYTE
from services.memory.gc_experiment.child import ChildOrders
from services.memory.gc_experiment.types import RunFigures

log = structlog.get_logger(__name__)

ROOT = str(Path(__file__).resolve().parents[3])
# A child's environment has none of the service's own variables, neither settings nor secrets.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "SYSTEMROOT", "TEMP", "TMP", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_FIXED = {"PYTHONUTF8": "1", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "TOKENIZERS_PARALLELISM": "false"}
_POLL_SECONDS = 0.2
_END_SECONDS = 5.0
_STDERR_TAIL_BYTES = 2000  # of its last output, for the log
_MAX_LINE_BYTES = MEGABYTE


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """The limits of a child: seconds of wall and CPU time, and bytes of RSS."""

    seconds: float
    cpu_seconds: int
    bytes: int


def run_child(
    command: Sequence[str],
    orders: ChildOrders,
    limits: ChildLimits,
    *,
    stop: Callable[[], MillpondError | None],
    progress: Callable[[float], None],
) -> RunFigures:
    """Run one child to its end and return its measurements.

    Args:
        command: Python module and arguments, see `services.memory.gc_experiment.child.run_child_main`.
        stop: called several times a second; an error that it returns ends the child and is raised.
        progress: called with the share of the operations that is done.

    Raises:
        UnavailableError: it could not be started, or it ended early.
        TimedOutError, TooLargeError: it exceeded a limit and was killed.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own module, no external input
                [sys.executable, "-m", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd="/",
                env=_environment(),
                start_new_session=True,  # so that it can be killed with its own children
            )
        except OSError as error:
            raise UnavailableError(
                _("A process for the experiment could not be started: {reason}.").format(reason=error.strerror),
                _("Free some memory and try again."),
            ) from error
        try:
            return _read_messages(process, orders, limits, stop, progress)
        except EOFError:
            _await_end(process)
            _kill(process)
            errors.seek(0, os.SEEK_END)
            errors.seek(max(0, errors.tell() - _STDERR_TAIL_BYTES))
            output = errors.read().decode("utf-8", "replace")
            log.warning("experiment child crashed", status=process.returncode, output=output)
            raise _crash_error(process.returncode, output) from None
        finally:
            if process.returncode is None:
                _kill(process)


def _read_messages(
    process: subprocess.Popen[bytes],
    orders: ChildOrders,
    limits: ChildLimits,
    stop: Callable[[], MillpondError | None],
    progress: Callable[[float], None],
) -> RunFigures:
    assert process.stdin is not None  # noqa: S101 - tells the type checker what PIPE guarantees
    assert process.stdout is not None  # noqa: S101 - as above
    with suppress(BrokenPipeError):
        process.stdin.write(orders.encode())
        process.stdin.flush()
    deadline = time.monotonic() + limits.seconds
    pending, descriptor = b"", process.stdout.fileno()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while True:
        if error := stop() or _limit_error(process, deadline, limits):
            raise error
        if not poll.poll(_POLL_SECONDS * 1000):
            continue
        piece = os.read(descriptor, 65_536)
        if not piece or len(pending) > _MAX_LINE_BYTES:
            raise EOFError
        *lines, pending = (pending + piece).split(b"\n")
        for line in lines:
            message: dict[str, Any] = json.loads(line)
            if "figures" in message:
                found = message["figures"]
                return RunFigures(**{**found, "collections": tuple(found["collections"])})
            progress(float(message["share"]))


def _limit_error(process: subprocess.Popen[bytes], deadline: float, limits: ChildLimits) -> MillpondError | None:
    """Return an error if the child exceeds a limit."""
    if time.monotonic() > deadline:
        return TimedOutError(
            _("A run took longer than {seconds:.0f} s and was ended.").format(seconds=limits.seconds),
            _("Try again at a quieter time, or with fewer operations."),
        )
    with suppress(psutil.Error):
        if (rss := psutil.Process(process.pid).memory_info().rss) > limits.bytes:
            return TooLargeError(
                _("A run grew to {rss:.0f} MB, over its limit of {limit:.0f} MB, and was ended.").format(
                    rss=rss / MEGABYTE, limit=limits.bytes / MEGABYTE
                ),
                _("Choose fewer operations, or settings that collect more often."),
            )
    return None


def _await_end(process: subprocess.Popen[bytes]) -> None:
    """Wait briefly for a child that closed its output to exit; it is not reaped."""
    deadline = time.monotonic() + _END_SECONDS
    options = os.WEXITED | os.WNOWAIT | os.WNOHANG
    while os.waitid(os.P_PID, process.pid, options) is None and time.monotonic() < deadline:
        time.sleep(0.02)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the child with its own children, and reap it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()


def _crash_error(status: int, output: str) -> MillpondError:
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "")
    if status < 0:
        how = _("by signal {signal}").format(signal=signal.Signals(-status).name)
    else:
        how = _("with exit code {code}").format(code=status)
    return UnavailableError(
        _("A run of the experiment crashed {how}.").format(how=how)
        + (gap() + _("Its last output: {output}").format(output=last[:200]) if last else ""),
        _("The log has the details. The machine may have been short of memory."),
    )


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, **_FIXED, "PYTHONPATH": ROOT}


def remove_folder(folder: Path) -> None:
    """Remove a child's folder with its contents."""
    shutil.rmtree(folder, ignore_errors=True)


def cancelled_error() -> MillpondError:
    """Return the error of a cancelled experiment."""
    return CancelledError(_("The experiment was cancelled; nothing was kept of it."), _("Start it again at any time."))
