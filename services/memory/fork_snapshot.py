"""Runs work in a forked copy of this process: the child inspects the heap while the parent runs on.

Work on the whole heap (all traces of tracemalloc, all objects of the garbage collector) would stop every thread for
seconds. A child has the heap as it was at the fork (copy-on-write), so the parent stops for the fork alone. The child
lives for one call and is killed with its parent.

Rules for `work`: it runs in a single thread and must not acquire a lock that another thread may have held at the fork:
no logging, no database, no call into torch or FAISS. Files may be opened; inherited descriptors are closed. See also
`services.memory.process`: OpenBLAS must not have threads while this process forks.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import select
import signal
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from services.core.errors import ErrorKind, MillpondError, TimedOutError, TooLargeError, UnavailableError
from services.core.i18n import _
from services.core.kept_text import kept, read_kept
from services.core.machine import MEGABYTE
from services.memory.fork_permit import CANCELLATION_CHECK_SECONDS, acquire_fork_permit
from services.memory.process import disable_openblas_threads, rss_bytes

Result = TypeVar("Result")

MAX_RESULT_BYTES = 64 * MEGABYTE
NOTICEABLE_PAUSE_SECONDS = 0.05  # a longer pause is announced in advance

_HELLO = b"+"
_HEADER = struct.Struct(">cQ")
_BYTES, _JSON, _EXPECTED, _DEFECT = b"b", b"j", b"m", b"d"
_HELLO_SECONDS = 5.0  # a child silent for so long was forked while a lock was held
_ATTEMPTS = 3
_NICE = 5  # at 10 it starves for minutes beside work that takes all cores
_PR_SET_PDEATHSIG = 1
_PAUSE_PER_BYTE = 0.02 / 2**30  # seconds of fork per byte of RSS, until measured

disable_openblas_threads()  # at import, so that no computation is running in several threads at the first fork
_pauses_per_byte: list[float] = []  # seconds per byte of RSS of the newest forks


@dataclass(frozen=True, slots=True)
class ForkResult(Generic[Result]):
    """What a child returned. Seconds: `paused` is how long the fork stopped this process, `took` the whole duration."""

    value: Result
    paused: float
    took: float


class ForkDefectError(RuntimeError):
    """`work` raised an unexpected error; the text is the child's traceback."""


class _ChildSilentError(Exception):
    """The child did not start: another thread held a lock of the allocator or interpreter at the fork."""


def can_fork() -> bool:
    """Return whether this system can copy a process."""
    return hasattr(os, "fork")


def expected_pause_seconds() -> float:
    """Return the estimated seconds that a fork would stop this process now."""
    return rss_bytes() * (sorted(_pauses_per_byte)[len(_pauses_per_byte) // 2] if _pauses_per_byte else _PAUSE_PER_BYTE)


def run_in_fork(
    work: Callable[[], Result], *, seconds: float, what: str = "", gives_way: bool = False
) -> ForkResult[Result]:
    """Run `work` in a forked child and return what it returns: bytes, or anything that JSON can carry.

    Args:
        work: see the module's rules. Tuples come back as lists, keys as text.
        seconds: after which the child is killed.
        what: description of the request, shown to users.
        gives_way: nobody waits for it: it is cancelled once somebody waits for another copy.

    Raises:
        UnavailableError: the system cannot fork, it or the budget has no memory for a copy, or it killed the child.
        BusyError: another copy was at work all the time.
        CancelledError: the request was cancelled; the child was killed.
        TimedOutError: `work` took longer than `seconds`.
        TooLargeError: the result is over `MAX_RESULT_BYTES`.
        MillpondError: raised by `work`, passed on with its kind.
        ForkDefectError: `work` raised something else.
    """
    if not can_fork():
        reason = _("This system cannot copy a running process, which this diagnostic needs; nothing was changed.")
        raise UnavailableError(reason, _("Run Millpond on Linux."))
    deadline = time.monotonic() + seconds
    with acquire_fork_permit(deadline, what, gives_way=gives_way) as check:
        for left in reversed(range(_ATTEMPTS)):
            try:
                return _fork_once(work, deadline, seconds, check)
            except _ChildSilentError:
                if not left:
                    break
    raise TimedOutError(
        _("The copy of the process did not start working; it was ended."), _("Try again at a quieter time.")
    )


def _fork_once(
    work: Callable[[], Result], deadline: float, seconds: float, check: Callable[[], None] = lambda: None
) -> ForkResult[Result]:
    began = time.monotonic()
    read_end, write_end = os.pipe()
    try:
        child, paused = _fork(work, write_end)
    except OSError as error:
        os.close(read_end)
        os.close(write_end)
        raise UnavailableError(
            _("The process could not be copied: {reason}.").format(reason=error.strerror),
            _("Free some memory and try again."),
        ) from error
    os.close(write_end)
    ended: int | None = None
    try:
        tag, payload = _receive(read_end, deadline, seconds, check)
    except EOFError:
        ended = _reap(child)
        raise _child_lost_error(ended) from None
    finally:
        os.close(read_end)
        if ended is None:
            _reap(child)
    return ForkResult(_decode_result(tag, payload), paused, time.monotonic() - began)


def _fork(work: Callable[[], Any], write_end: int) -> tuple[int, float]:
    """Fork; return the child's process id and the seconds that this process stopped. The child never returns."""
    if sys.version_info >= (3, 12):
        # Python warns of every fork with threads; the rules above make this one safe.
        warnings.filterwarnings("ignore", message=".*use of fork", category=DeprecationWarning)
    disable_openblas_threads()  # in libraries loaded since
    parent, libc = os.getpid(), ctypes.CDLL(None, use_errno=True)
    resident = rss_bytes()
    # No signal handler of the parent may run in the child before it has reset them.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    began = time.monotonic()
    try:
        child = os.fork()
        if child == 0:
            _child_main(work, write_end, parent, libc)
        paused = time.monotonic() - began
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    _pauses_per_byte.append(paused / max(1, resident))
    del _pauses_per_byte[:-5]
    return child, paused


def _child_main(work: Callable[[], Any], write_end: int, parent: int, libc: ctypes.CDLL) -> NoReturn:
    """Run the child to its end."""
    status = 1
    try:
        gc.disable()
        _isolate_child(write_end, parent, libc)
        os.write(write_end, _HELLO)
        tag, payload = _execute(work)
        _send(write_end, _HEADER.pack(tag, len(payload)))
        _send(write_end, payload)
        status = 0
    finally:
        # After any exception: neither exit handlers nor the parent's code may run here.
        os._exit(status)


def _isolate_child(write_end: int, parent: int, libc: ctypes.CDLL) -> None:
    """Detach from the parent's files, signals and console; be the first process that the OOM killer takes."""
    if sys.platform == "linux":
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
    os.closerange(3, write_end)
    os.closerange(write_end + 1, max(write_end + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    if null > 2:
        os.close(null)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would put documents on disk
    with suppress(OSError):
        os.nice(_NICE)
    for number in signal.valid_signals():
        with suppress(OSError, ValueError):  # KILL, STOP and those reserved by the C library
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _execute(work: Callable[[], Any]) -> tuple[bytes, bytes]:
    warnings.simplefilter("ignore")  # output is discarded, and some objects warn when they are inspected
    try:
        value = work()
        if isinstance(value, bytes):
            return _BYTES, value
        return _JSON, json.dumps(value).encode()
    except MillpondError as error:
        return _EXPECTED, json.dumps([error.kind, kept(error.message), kept(error.hint)]).encode()
    except BaseException:  # noqa: BLE001 - passed on to the parent, which raises it
        return _DEFECT, traceback.format_exc(limit=50).encode("utf-8", "replace")


def _send(write_end: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(write_end, view[:MEGABYTE]) :]


def _receive(read_end: int, deadline: float, seconds: float, check: Callable[[], None]) -> tuple[bytes, bytearray]:
    poll = select.poll()
    poll.register(read_end, select.POLLIN)
    received = bytearray()
    hello = min(deadline, time.monotonic() + _HELLO_SECONDS)
    wanted = len(_HELLO) + _HEADER.size
    tag = b""
    while len(received) < wanted:
        until = deadline if received else hello
        left = until - time.monotonic()
        if not poll.poll(max(0.0, min(left, CANCELLATION_CHECK_SECONDS)) * 1000):
            check()
            if left > CANCELLATION_CHECK_SECONDS:
                continue
            if not received and until < deadline:
                raise _ChildSilentError
            raise TimedOutError(
                _("The diagnostic took longer than {seconds:g} s and was ended; nothing was kept of it.").format(
                    seconds=seconds
                ),
                _("Try again at a quieter time."),
            )
        piece = os.read(read_end, MEGABYTE)
        if not piece:
            raise EOFError
        received += piece
        if not tag and len(received) >= wanted:
            tag, length = _HEADER.unpack_from(received, len(_HELLO))
            if length > MAX_RESULT_BYTES:
                raise TooLargeError(
                    _("The result of the diagnostic is too large ({megabytes:.0f} MB).").format(
                        megabytes=length / MEGABYTE
                    )
                )
            wanted += length
    del received[: len(_HELLO) + _HEADER.size]
    return tag, received


def _reap(child: int) -> int:
    """Kill the child if it is alive and reap it; return its exit code, -1 where it was reaped elsewhere."""
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except ChildProcessError:
        return -1


def _child_lost_error(status: int) -> MillpondError:
    return UnavailableError(
        _("The copy of the process was ended before it was done (status {status}); nothing was kept of it.").format(
            status=status
        ),
        _("The machine may have been short of memory. Free some and try again."),
    )


def _decode_result(tag: bytes, payload: bytearray) -> Any:
    if tag == _BYTES:
        return bytes(payload)
    if tag == _DEFECT:
        raise ForkDefectError(payload.decode())
    value = json.loads(payload)
    if tag == _EXPECTED:
        kind, message, hint = value
        raise _error_of_kind(ErrorKind(kind), read_kept(message), read_kept(hint))
    return value


def _error_of_kind(kind: ErrorKind, message: str, hint: str) -> MillpondError:
    known = {cls.kind: cls for cls in MillpondError.__subclasses__()}
    return known.get(kind, MillpondError)(message, hint)
