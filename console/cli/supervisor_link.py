"""What a served process and its supervisor say to each other.

They share a socket pair: lines of text, and once the listening socket itself. The supervisor stays small because the
first process it starts does all the checks and binds the port; the supervisor keeps that socket and passes it on to
every later process, so that it is never closed and connections wait in it during a change.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from enum import StrEnum

ENVIRONMENT = "MILLPOND_SUPERVISOR"  # "control descriptor,listening descriptor or -1,how"
_SYSTEMD_FIRST = 3  # sd_listen_fds(3)


class How(StrEnum):
    """How a supervised process starts."""

    FIRST = "first"  # listen at once and tell what the start is doing
    NEXT = "next"  # connections are waiting: take them when ready
    STANDBY = "standby"  # load beforehand, then wait for the other process to end


class Said(StrEnum):
    """What is said; the first three by the process, the others by the supervisor."""

    LISTENING = "listening"  # with the socket
    READY = "ready"
    PREPARE = "prepare"  # please load the next process
    LOADED = "loaded"  # a standby to its supervisor, which tells the process that is to end
    FAILED = "failed"  # there will be no standby


class SupervisorLink:
    """The side of the served process."""

    def __init__(self, control: socket.socket, listener: socket.socket | None, how: How) -> None:
        self._control = control
        self.listener = listener
        self.how = how
        self._answered = threading.Event()
        self._loaded = False
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls) -> SupervisorLink | None:
        """Return the supervisor's side of this process, None without a supervisor.

        The descriptors are not passed on to processes that this one starts.
        """
        told = os.environ.pop(ENVIRONMENT, "")
        if not told:
            return None
        control, listener, how = told.split(",")
        return cls(_adopt(int(control)), _adopt(int(listener)) if int(listener) >= 0 else None, How(how))

    def listening(self, listener: socket.socket) -> None:
        """Give the supervisor the listening socket."""
        with self._lock:
            socket.send_fds(self._control, [f"{Said.LISTENING}\n".encode()], [listener.fileno()])

    def say(self, said: Said) -> None:
        """Tell the supervisor something; one that is gone hears nothing."""
        with self._lock:
            try:
                self._control.sendall(f"{said}\n".encode())
            except OSError:
                return

    def prepare(self, seconds: float) -> bool:
        """Ask for the next process to be loaded and wait for up to `seconds`; return whether it is."""
        self._answered.clear()
        self.say(Said.PREPARE)
        return self._answered.wait(seconds) and self._loaded

    def watch(self, orphaned: Callable[[], None]) -> None:
        """Listen to the supervisor in a thread; `orphaned` is called when it is gone."""
        threading.Thread(target=self._listen, args=(orphaned,), name="supervisor-link", daemon=True).start()

    def _listen(self, orphaned: Callable[[], None]) -> None:
        with self._control.makefile("rb") as lines:
            for line in lines:
                self._loaded = line.strip() == Said.LOADED.encode()
                self._answered.set()
        self._answered.set()
        orphaned()


def systemd_listener() -> socket.socket | None:
    """Return the socket that systemd (or anything that speaks its protocol, sd_listen_fds(3)) has opened, if any."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    return _adopt(_SYSTEMD_FIRST)


def restarter(restarted_by: str) -> str:
    """Return who starts this process again when it ends, "" for nobody, by what can be seen if `restarted_by` is auto.

    systemd sets INVOCATION_ID for the processes of its units; one that a person's shell in such a unit starts has it,
    too, but not as a child of the service manager.
    """
    if restarted_by != "auto":
        return "service" if restarted_by == "service" else ""
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "Kubernetes"
    if os.environ.get("INVOCATION_ID") and os.getppid() == 1:
        return "systemd"
    return ""


def _adopt(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)
