"""What the two databases do in their own way, as `Database` asks for it."""

from __future__ import annotations

from json import JSONDecodeError
from pathlib import Path
from typing import Protocol

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DatabaseError

from services.core.errors import MillpondError


class DatabaseBackend(Protocol):
    """One database, connected to. `Database` calls `after_write` and `close` under its lock of writers."""

    @property
    def path(self) -> Path | None:
        """The file of the database; None where it has none."""

    @property
    def notes(self) -> list[str]:
        """What the check at the start found, in words, though nothing was lost."""

    def connect(self, connections: int) -> Engine:
        """Return an engine that keeps so many connections; three times as many may be open at once."""

    def reader(self, engine: Engine) -> Engine:
        """Return that engine as it is read through: each connection sees one state from its first question on."""

    @property
    def node(self) -> int:
        """The number of the node that this process is; 0 while it is none of several."""

    def aside(self, engine: Engine) -> Engine:
        """Return an engine for what must not wait for others of this process: that one, or one of its own."""

    def hold(self, *, alone: bool) -> None:
        """Keep other processes out until `close`, or those that want to be alone; a file is locked with its folder."""

    def join(self, node: int, epoch: int) -> None:
        """Write as this node from now on, as long as nobody has raised its epoch."""

    def require_writable(self) -> None:
        """Raise UnavailableError where another process has taken the database over."""

    def ask(self, connection: Connection) -> None:
        """Ask for an answer; raise TakenOverError where another node has raised the epoch of this process."""

    def begin_schema(self, connection: Connection) -> None:
        """Begin a transaction that holds statements of the schema, too."""

    def begin_write(self, connection: Connection, *, joining: bool = False) -> None:
        """Begin a transaction that no other writer runs beside, in this process or another; `joining`: as no node."""

    def exclude(self, connection: Connection, name: str) -> None:
        """Wait until this transaction is the only one of that name, in this process or another."""

    def after_write(self) -> None:
        """Do what is due after a transaction."""

    def empty_log(self, engine: Engine) -> bool:
        """Empty the log that the database writes ahead, where that is ours to do; return whether it is empty."""

    def shrink(self, engine: Engine) -> int:
        """Release what this process caches for idle connections; return how many there were."""

    def check_some(self, pages: int) -> None:
        """Check the next pages of the file by their checksums."""

    def error_of(self, error: DatabaseError | JSONDecodeError) -> MillpondError | None:
        """Return what an error of the driver means to a user; None where it is a defect of ours."""

    def close(self, engine: Engine) -> bool:
        """Close all connections; return whether that is for good: other files serve whoever comes late."""
