"""Work on a copy of this process: a forked child looks at everything while the parent runs on.

What needs the whole heap (all traces of tracemalloc, all objects of the collector) stops every thread for seconds when
done in place. A child gets the heap as it was at the fork, copied page by page only where the parent writes; the
parent stops for the fork alone. The child lives for one call and is ended with its parent.

Rules for `work`: it runs alone with one thread and must take no lock that another thread may have held at the fork.
So no logging, no database, no call into torch or FAISS. Files may be opened; inherited descriptors are closed. The
parent's side is `services.memory.process`: OpenBLAS must not compute in several threads while this process forks.
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
from services.memory.fork_permit import CHECK_SECONDS, in_turn
from services.memory.process import compute_in_one_thread, rss_bytes

Result = TypeVar("Result")

LARGEST_RESULT = 64 * 1024 * 1024
NOTICEABLE_SECONDS = 0.05  # a pause above this is said before it happens

_HELLO = b"+"
_HEADER = struct.Struct(">cQ")
_BYTES, _JSON, _EXPECTED, _DEFECT = b"b", b"j", b"m", b"d"
_HELLO_SECONDS = 5.0  # a child that says nothing for so long was forked at a bad moment
_TRIES = 3
_NICE = 10
_PR_SET_PDEATHSIG = 1
_PAUSE_PER_BYTE = 0.02 / 2**30  # seconds of fork per byte of RSS, until this process has been measured

compute_in_one_thread()  # now, so that nothing computes in several when the first fork comes
_measured: list[float] = []  # seconds per byte of RSS of the newest forks


@dataclass(frozen=True, slots=True)
class Forked(Generic[Result]):
    """What a child found. Seconds: `paused` is how long the fork stopped this process, `took` the whole duration."""

    value: Result
    paused: float
    took: float


class ForkedDefectError(RuntimeError):
    """`work` failed in a way that is not expected; the text is the child's traceback."""


class _Silent(Exception):  # noqa: N818 - never leaves this module
    """The child did not begin: another thread held a lock of the allocator or interpreter at the fork."""


def can_fork() -> bool:
    """Return whether this system can copy a process."""
    return hasattr(os, "fork")


def expected_pause() -> float:
    """Return for about how many seconds a fork would stop this process now."""
    return rss_bytes() * (sorted(_measured)[len(_measured) // 2] if _measured else _PAUSE_PER_BYTE)


def run_forked(work: Callable[[], Result], *, seconds: float, what: str = "") -> Forked[Result]:
    """Run `work` in a forked child and return what it returns: bytes, or anything that JSON can carry.

    Args:
        work: what to do on the copy; see the module's rules. Tuples come back as lists, keys as text.
        seconds: after so long the child is ended.
        what: what people are told that it is.

    Raises:
        UnavailableError: the system cannot fork, it or the budget has no memory for a copy, or it ended the child.
        BusyError: another copy was still at work all the time.
        CancelledError: somebody cancelled the look; the child was ended.
        TimedOutError: `work` took longer than `seconds`.
        TooLargeError: the result is over `LARGEST_RESULT`.
        MillpondError: raised by `work`, passed on with its kind.
        ForkedDefectError: `work` raised something else.
    """
    if not can_fork():
        reason = _("This system cannot copy a running process, which this look needs; nothing was changed.")
        raise UnavailableError(reason, _("Run Millpond on Linux."))
    deadline = time.monotonic() + seconds
    with in_turn(deadline, what) as check:
        for left in reversed(range(_TRIES)):
            try:
                return _try(work, deadline, seconds, check)
            except _Silent:
                if not left:
                    break
    raise TimedOutError(
        _("The copy of the process did not begin to work; it was ended."), _("Try again in a quieter moment.")
    )


def _try(
    work: Callable[[], Result], deadline: float, seconds: float, check: Callable[[], None] = lambda: None
) -> Forked[Result]:
    began = time.monotonic()
    reading, writing = os.pipe()
    try:
        child, paused = _fork(work, writing)
    except OSError as error:
        os.close(reading)
        os.close(writing)
        raise UnavailableError(
            _("The process could not be copied: {reason}.").format(reason=error.strerror),
            _("Free some memory and try again."),
        ) from error
    os.close(writing)
    ended: int | None = None
    try:
        tag, payload = _receive(reading, deadline, seconds, check)
        # All was said; the child needs only to vanish.
    except EOFError:
        ended = _reap(child)
        raise _loss(ended) from None
    finally:
        os.close(reading)
        if ended is None:
            _reap(child)
    return Forked(_result(tag, payload), paused, time.monotonic() - began)


def _fork(work: Callable[[], Any], writing: int) -> tuple[int, float]:
    """Fork; returns the child's id and the seconds that this process stood still. The child never returns."""
    if sys.version_info >= (3, 12):
        # Python warns of every fork beside threads; the rules above are what makes this one safe.
        warnings.filterwarnings("ignore", message=".*use of fork", category=DeprecationWarning)
    compute_in_one_thread()  # for what was loaded since
    parent, libc = os.getpid(), ctypes.CDLL(None, use_errno=True)
    resident = rss_bytes()
    # No handler of the parent may run in the child before it has reset them.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    began = time.monotonic()
    try:
        child = os.fork()
        if child == 0:
            _live(work, writing, parent, libc)
        paused = time.monotonic() - began
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    _measured.append(paused / max(1, resident))
    del _measured[:-5]
    return child, paused


def _live(work: Callable[[], Any], writing: int, parent: int, libc: ctypes.CDLL) -> NoReturn:
    """The child's whole life."""
    status = 1
    try:
        gc.disable()
        _settle(writing, parent, libc)
        os.write(writing, _HELLO)
        tag, payload = _answer(work)
        _send(writing, _HEADER.pack(tag, len(payload)))
        _send(writing, payload)
        status = 0
    finally:
        # Also on an exception that nobody is left to tell: neither exit handlers nor the parent's code may run here.
        os._exit(status)


def _settle(writing: int, parent: int, libc: ctypes.CDLL) -> None:
    """Cut the ties to the parent's files, signals and console; be the first to go when memory runs out."""
    if sys.platform == "linux":
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
    os.closerange(3, writing)
    os.closerange(writing + 1, max(writing + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    if nothing > 2:
        os.close(nothing)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would put documents on disk
    with suppress(OSError):
        os.nice(_NICE)
    for number in signal.valid_signals():
        with suppress(OSError, ValueError):  # KILL, STOP and what the C library keeps for itself
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _answer(work: Callable[[], Any]) -> tuple[bytes, bytes]:
    warnings.simplefilter("ignore")  # nobody would read them, and foreign objects warn when they are looked at
    try:
        value = work()
        if isinstance(value, bytes):
            return _BYTES, value
        return _JSON, json.dumps(value).encode()
    except MillpondError as error:
        return _EXPECTED, json.dumps([error.kind, error.message, error.hint]).encode()
    except BaseException:  # noqa: BLE001 - whatever it is, the parent is told and raises it
        return _DEFECT, traceback.format_exc(limit=50).encode("utf-8", "replace")


def _send(writing: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(writing, view[: 1 << 20]) :]


def _receive(reading: int, deadline: float, seconds: float, check: Callable[[], None]) -> tuple[bytes, bytearray]:
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    received = bytearray()
    hello = min(deadline, time.monotonic() + _HELLO_SECONDS)
    wanted = len(_HELLO) + _HEADER.size
    tag = b""
    while len(received) < wanted:
        until = deadline if received else hello
        left = until - time.monotonic()
        if not poll.poll(max(0.0, min(left, CHECK_SECONDS)) * 1000):
            check()
            if left > CHECK_SECONDS:
                continue
            if not received and until < deadline:
                raise _Silent
            raise TimedOutError(
                _("The look took longer than {seconds:g} s and was ended; nothing was kept of it.").format(
                    seconds=seconds
                ),
                _("Try again in a quieter moment."),
            )
        piece = os.read(reading, 1 << 20)
        if not piece:
            raise EOFError
        received += piece
        if not tag and len(received) >= wanted:
            tag, length = _HEADER.unpack_from(received, len(_HELLO))
            if length > LARGEST_RESULT:
                raise TooLargeError(
                    _("The look found more than can be handed over ({megabytes:.0f} MB).").format(
                        megabytes=length / 2**20
                    )
                )
            wanted += length
    del received[: len(_HELLO) + _HEADER.size]
    return tag, received


def _reap(child: int) -> int:
    """End the child if it still lives, and take its exit status so that no zombie stays; -1 when somebody else did."""
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except ChildProcessError:
        return -1


def _loss(status: int) -> MillpondError:
    return UnavailableError(
        _("The copy of the process was ended before it was done (status {status}); nothing was kept of it.").format(
            status=status
        ),
        _("Often the machine was short of memory. Free some and try again."),
    )


def _result(tag: bytes, payload: bytearray) -> Any:
    if tag == _BYTES:
        return bytes(payload)
    if tag == _DEFECT:
        raise ForkedDefectError(payload.decode())
    value = json.loads(payload)
    if tag == _EXPECTED:
        kind, message, hint = value
        raise _error(ErrorKind(kind), message, hint)
    return value


def _error(kind: ErrorKind, message: str, hint: str) -> MillpondError:
    known = {cls.kind: cls for cls in MillpondError.__subclasses__()}
    return known.get(kind, MillpondError)(message, hint)
