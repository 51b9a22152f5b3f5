"""The parent's side of one child: starting it, listening, holding it to its limits, leaving nothing of it behind."""

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
from services.core.i18n import _
from services.core.settings import MEGABYTE
from services.memory.gc_experiment.child import ChildOrders
from services.memory.gc_experiment.types import RunFigures

log = structlog.get_logger(__name__)

ROOT = str(Path(__file__).resolve().parents[3])
# What a child's environment has: nothing of the service's own gets in, neither settings nor secrets.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "SYSTEMROOT", "TEMP", "TMP", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_FIXED = {"PYTHONUTF8": "1", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "TOKENIZERS_PARALLELISM": "false"}
_POLL_SECONDS = 0.2
_END_SECONDS = 5.0
_STDERR_TAIL_BYTES = 2000  # of what it said at the end, for the log
_MAX_LINE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """How long a child may live, in seconds by the wall and of processor time, and how large its RSS may get."""

    seconds: float
    cpu_seconds: int
    bytes: int


def run_child(
    command: Sequence[str],
    orders: ChildOrders,
    limits: ChildLimits,
    *,
    stop: Callable[[], MillpondError | None],
    told: Callable[[float], None],
) -> RunFigures:
    """Run one child to its end and return what it measured.

    Args:
        command: Python module and arguments, see `services.memory.gc_experiment.child.run_child_main`.
        stop: asked several times a second; an error that it returns ends the child and is raised.
        told: gets the share of the operations that is done.

    Raises:
        UnavailableError: it could not be started, or ended before it was done.
        TimedOutError, TooLargeError: it passed a limit and was ended.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own module, no input of anybody's
                [sys.executable, "-m", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd="/",
                env=_environment(),
                start_new_session=True,  # so that it can be ended with all that it starts
            )
        except OSError as error:
            raise UnavailableError(
                _("A process for the experiment could not be started: {reason}.").format(reason=error.strerror),
                _("Free some memory and try again."),
            ) from error
        try:
            return _listen(process, orders, limits, stop, told)
        except EOFError:
            _await_end(process)
            _kill(process)
            errors.seek(0, os.SEEK_END)
            errors.seek(max(0, errors.tell() - _STDERR_TAIL_BYTES))
            words = errors.read().decode("utf-8", "replace")
            log.warning("experiment child crashed", status=process.returncode, words=words)
            raise _crash_error(process.returncode, words) from None
        finally:
            if process.returncode is None:
                _kill(process)


def _listen(
    process: subprocess.Popen[bytes],
    orders: ChildOrders,
    limits: ChildLimits,
    stop: Callable[[], MillpondError | None],
    told: Callable[[float], None],
) -> RunFigures:
    assert process.stdin is not None  # noqa: S101 - tells the type checker what PIPE guarantees
    assert process.stdout is not None  # noqa: S101 - as above
    with suppress(BrokenPipeError):
        process.stdin.write(orders.encoded())
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
            told(float(message["share"]))


def _limit_error(process: subprocess.Popen[bytes], deadline: float, limits: ChildLimits) -> MillpondError | None:
    """Return why the child must end now, if it must."""
    if time.monotonic() > deadline:
        return TimedOutError(
            _("A run took longer than {seconds:.0f} s and was ended.").format(seconds=limits.seconds),
            _("Try again in a quieter moment, or with fewer operations."),
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
    """Give a child that closes its output a moment to end by itself; its status stays to be taken."""
    deadline = time.monotonic() + _END_SECONDS
    options = os.WEXITED | os.WNOWAIT | os.WNOHANG
    while os.waitid(os.P_PID, process.pid, options) is None and time.monotonic() < deadline:
        time.sleep(0.02)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the child and all that it has started, and take its exit status so that no zombie stays."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()


def _crash_error(status: int, words: str) -> MillpondError:
    last = next((line for line in reversed(words.splitlines()) if line.strip()), "")
    if status < 0:
        how = _("by signal {signal}").format(signal=signal.Signals(-status).name)
    else:
        how = _("with exit code {code}").format(code=status)
    return UnavailableError(
        _("A run of the experiment crashed {how}.").format(how=how)
        + (" " + _("It said last: {words}").format(words=last[:200]) if last else ""),
        _("The log has the details. Often the machine was short of memory."),
    )


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, **_FIXED, "PYTHONPATH": ROOT}


def remove_folder(folder: Path) -> None:
    """Remove a child's folder, whatever is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def cancelled_error() -> MillpondError:
    """Return what says that somebody has cancelled."""
    return CancelledError(_("The experiment was cancelled; nothing was kept of it."), _("Start it anew when you like."))
