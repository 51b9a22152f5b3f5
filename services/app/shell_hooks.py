"""What the shell adds to the services: the count of browser tabs, memory reports, owners, who starts the next process.

The shell registers before, during or after the start; what needs a service waits here until that service exists.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from services.operations.connections import ConnectionCounts

if TYPE_CHECKING:
    from services.core.memory_report import MemoryReporter, Owner
    from services.memory.ledger.ledger import LedgerBuilder
    from services.memory.objects.inspector import Inspector
    from services.memory.objects.names import OwnerRules
    from services.operations.drain import Successor


class ShellHooks:
    """Registrations of the shell. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count_sessions: Callable[[], int] = lambda: 0
        self._count_connections: Callable[[], ConnectionCounts] = ConnectionCounts
        self._successor: Successor | None = None
        self._reporters: list[MemoryReporter] = []
        self._owners: dict[str, tuple[Callable[[], object], str]] = {}
        self._owner_rules: list[tuple[ModuleType, Owner]] = []
        self._ledger: LedgerBuilder | None = None
        self._inspector: Inspector | None = None
        self._rules: OwnerRules | None = None

    def count_sessions_by(self, count: Callable[[], int]) -> None:
        """Have `count` called for the number of connected browser tabs."""
        self._count_sessions = count

    def sessions(self) -> int:
        """Return the number of connected browser tabs; 0 without a user interface."""
        return self._count_sessions()

    def count_connections_by(self, count: Callable[[], ConnectionCounts]) -> None:
        """Have `count` called for the connections to the server."""
        self._count_connections = count

    def connections(self) -> ConnectionCounts:
        """Return the connections to the server; none without one."""
        return self._count_connections()

    def set_successor(self, successor: Successor | None) -> None:
        """Set who starts the next process after this one; None: nobody."""
        self._successor = successor

    def successor(self) -> Successor | None:
        """Return who starts the next process, None where nobody does."""
        return self._successor

    def add_memory_reporter(self, reporter: MemoryReporter) -> None:
        """Have the ledger also ask `reporter`: the shell reports so what the user interface keeps."""
        with self._lock:
            self._reporters.append(reporter)
            if self._ledger is not None:
                self._ledger.add_memory_reporter(reporter)

    def add_owner(self, name: str, get: Callable[[], object], label: str) -> None:
        """Have the objects page also offer what `get` returns for a deep measurement."""
        with self._lock:
            self._owners[name] = get, label
            if self._inspector is not None:
                self._inspector.add_owner(name, get, label)

    def add_owner_rule(self, module: ModuleType, owner: Owner) -> None:
        """Have the objects page count what `module` holds as that of `owner`."""
        with self._lock:
            self._owner_rules.append((module, owner))
            if self._rules is not None:
                self._rules.register(module, owner)

    def connect_owner_rules(self, rules: OwnerRules) -> None:
        """Hand the rules about owners over, also those that are registered later."""
        with self._lock:
            self._rules = rules
            for module, owner in self._owner_rules:
                rules.register(module, owner)

    def connect_ledger(self, ledger: LedgerBuilder) -> None:
        """Hand the memory reporters over, also those that are registered later."""
        with self._lock:
            self._ledger = ledger
            for reporter in self._reporters:
                ledger.add_memory_reporter(reporter)

    def connect_inspector(self, inspector: Inspector) -> None:
        """Hand the owners over, also those that are registered later."""
        with self._lock:
            self._inspector = inspector
            for name, (get, label) in self._owners.items():
                inspector.add_owner(name, get, label)
