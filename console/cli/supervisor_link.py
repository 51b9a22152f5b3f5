"""The link between a served process and its supervisor, and other ways in which a process is started again.

The two share a socket pair, over which they send lines of text and, once, the listening socket. The supervisor stays
small because the first process it starts does all the checks and binds the port; the supervisor keeps that socket and
passes it on to every later process, so that it is never closed and connections wait in it during a restart.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from enum import StrEnum

ENVIRONMENT = "MILLPOND_SUPERVISOR"  # "control descriptor,listening descriptor or -1,start mode"
_SYSTEMD_FIRST = 3  # sd_listen_fds(3)


class StartMode(StrEnum):
    """How a supervised process starts."""

    FIRST = "first"  # listen at once and report the progress of the start
    NEXT = "next"  # connections are waiting: accept them when ready
    STANDBY = "standby"  # load beforehand, then wait for the other process to end


class LinkMessage(StrEnum):
    """Messages of the link, sent by the process unless a comment says otherwise."""

    LISTENING = "listening"  # with the socket attached
    READY = "ready"
    PREPARE = "prepare"  # load the next process
    LOADED = "loaded"  # from a standby to the supervisor, which passes it on to the process that is to end
    FAILED = "failed"  # from the supervisor: there will be no standby


class SupervisorLink:
    """The served process's end of the link."""

    def __init__(self, control: socket.socket, listener: socket.socket | None, mode: StartMode) -> None:
        self._control = control
        self.listener = listener
        self.mode = mode
        self._answered = threading.Event()
        self._loaded = False
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls) -> SupervisorLink | None:
        """Return the link to the supervisor, None without one.

        The descriptors are not passed on to processes that this one starts.
        """
        variable = os.environ.pop(ENVIRONMENT, "")
        if not variable:
            return None
        control, listener, mode = variable.split(",")
        return cls(_adopt(int(control)), _adopt(int(listener)) if int(listener) >= 0 else None, StartMode(mode))

    def send_listener(self, listener: socket.socket) -> None:
        """Send the listening socket to the supervisor."""
        with self._lock:
            socket.send_fds(self._control, [f"{LinkMessage.LISTENING}\n".encode()], [listener.fileno()])

    def send(self, message: LinkMessage) -> None:
        """Send a message to the supervisor; does nothing if it is gone."""
        with self._lock:
            try:
                self._control.sendall(f"{message}\n".encode())
            except OSError:
                return

    def prepare(self, seconds: float) -> bool:
        """Have the supervisor load the next process, and wait up to `seconds`; return whether it is loaded."""
        self._answered.clear()
        self.send(LinkMessage.PREPARE)
        return self._answered.wait(seconds) and self._loaded

    def start(self, on_orphaned: Callable[[], None]) -> None:
        """Receive messages in a thread; `on_orphaned` is called when the supervisor is gone."""
        threading.Thread(target=self._receive, args=(on_orphaned,), name="supervisor-link", daemon=True).start()

    def _receive(self, on_orphaned: Callable[[], None]) -> None:
        with self._control.makefile("rb") as lines:
            for line in lines:
                self._loaded = line.strip() == LinkMessage.LOADED.encode()
                self._answered.set()
        self._answered.set()
        on_orphaned()


def systemd_listener() -> socket.socket | None:
    """Return the socket that systemd (or anything that speaks its protocol, sd_listen_fds(3)) has opened, if any."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    return _adopt(_SYSTEMD_FIRST)


def service_manager(restarted_by: str) -> str:
    """Return what starts this process again when it ends, "" for nothing; detected if `restarted_by` is auto.

    systemd sets INVOCATION_ID for the processes of its units; a process that a shell in such a unit starts has it, too,
    but is no child of the service manager.
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
