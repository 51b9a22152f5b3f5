"""The database: one engine, one schema, transactions; what SQLite and PostgreSQL do differently is in their backends.

Only `store` modules import SQLAlchemy beside this folder.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DatabaseError

from services.core.errors import DamagedError, MillpondError, UnavailableError
from services.core.i18n import _
from services.core.schema_version import record_created

if TYPE_CHECKING:
    from services.core.database.backend import DatabaseBackend
    from services.core.database.sqlite import Synchronous

log = structlog.get_logger(__name__)

metadata = sa.MetaData()
# SQLite's integers have 64 bits; a number that a client sends must not be out of range in the other database alone.
WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_REMOVED = "millpond removed"
_BOOKKEEPING = ("UPDATE counters", "DELETE FROM counters")  # numbers only


class Database:
    """Connections to one database. Writers queue on a lock of this process, and then on what their backend has."""

    def __init__(
        self,
        url: str | sa.URL,
        *,
        schema: sa.MetaData = metadata,
        synchronous: Synchronous = "FULL",
        cache_kb: int = 4096,
        connections: int = 8,
        patience: float = 10.0,
        checked: bool = False,
        replicated: bool = False,
    ) -> None:
        """Connect to `url`.

        Args:
            url: SQLAlchemy URL.
            schema: the tables that `create_tables` makes.
            synchronous: SQLite's promise for a power cut (`sqlite.py`).
            cache_kb: SQLite's page cache for each connection, in KB.
            connections: kept open; three times as many may be open at once.
            patience: how long a writer waits for another process, in seconds.
            checked: the file's pages have checksums, which are checked now and kept from now on; this process alone may
                have it open. For SQLite's files only.
            replicated: another program copies the log of SQLite, and moves it into the file; pages have no checksums
                then, whatever `checked` says.

        Raises:
            DamagedError: the file is not as it was left (with `checked`).
            StorageError: it cannot be read (with `checked`).
        """
        self._schema = schema
        self._write_lock = threading.RLock()
        self.damage: DamagedError | None = None
        self._on_damage: list[Callable[[DamagedError], None]] = []
        self._closed = False
        self._backend: DatabaseBackend
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "postgresql":
            from services.core.database.postgres import PostgresBackend

            self._backend = PostgresBackend(parsed, patience=patience)
        else:
            from services.core.database.sqlite import SqliteBackend

            self._backend = SqliteBackend(
                parsed,
                self._write_lock,
                self._found_damaged,
                synchronous=synchronous,
                cache_kb=cache_kb,
                patience=patience,
                checked=checked and not replicated,
                replicated=replicated,
            )
        self.engine: Engine = self._backend.connect(connections)
        self._reader = self._backend.reader(self.engine)
        self._local = threading.local()  # the connection that `reading` has this thread share
        self._on_removal: list[Callable[[], None]] = []
        self._writer = 0  # the thread whose transaction is in progress, and what it does before it commits
        self._at_commit: list[Callable[[Connection], object]] = []
        self._at_end: list[Callable[[], object]] = []
        sa.event.listen(self.engine, "after_cursor_execute", _watch_removals)

    @property
    def path(self) -> Path | None:
        """The file of SQLite; None for another database, and for one in RAM."""
        return self._backend.path

    @property
    def tables(self) -> list[sa.Table]:
        """The tables of its schema, those that others refer to before these."""
        return self._schema.sorted_tables

    def create_tables(self) -> None:
        """Create what is missing of the tables, columns and indexes that `store` modules declared on the schema.

        The main database of an older version is migrated instead (`services.core.migrations`).
        """
        with self.write() as connection:
            self._backend.begin_schema(connection)
            self._schema.create_all(connection)
            _add_missing_columns(connection, self._schema)
            for table in self._schema.sorted_tables:
                for index in table.indexes:
                    index.create(connection, checkfirst=True)
            if self._schema is metadata:
                record_created(connection)

    @property
    def shared(self) -> bool:
        """Whether several processes can use it, as nodes."""
        return self._backend.path is None and self.engine.dialect.name != "sqlite"

    @property
    def node(self) -> int:
        """The number of the node that this process is; 0 while it is none of several."""
        return self._backend.node

    def hold(self, *, alone: bool) -> None:
        """Keep other processes out of it until it is closed, or those that want to be `alone`.

        Raises:
            ConflictError: another process holds it.
            UnavailableError: the server of the database does not answer.
        """
        self._backend.hold(alone=alone)

    def join(self, node: int, epoch: int) -> None:
        """Write as this node from now on; a transaction is refused once another node has raised the epoch."""
        self._backend.join(node, epoch)

    @contextmanager
    def aside(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that waits for no writer: for rows that no two processes write.

        Raises:
            UnavailableError: the server of the database does not answer.
        """
        self._refuse_if_closed()
        try:
            with self._backend.aside(self.engine).begin() as connection:
                yield connection
        except DatabaseError as error:
            if (meant := self._meant(error)) is not None:
                raise meant from error
            raise

    @contextmanager
    def exclusively(self, name: str) -> Iterator[None]:
        """Keep other nodes out of the blocks of that name: for what is checked first, and then written.

        Not reentrant, and of threads of this process only one may ask; writers of other things do not wait. While this
        process is no node of several, it is nothing.

        Raises:
            UnavailableError: the server of the database does not answer, or another node takes long.
        """
        self._refuse_if_closed()
        if not self.node:
            yield
            return
        connection = self._excluding(name)
        try:
            yield
        finally:
            try:
                connection.close()
            except DatabaseError as error:  # what was to be done is done, and the session that had the lock is gone
                log.warning("the lock of a change has ended before it", name=name, reason=str(error.orig))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection for reading; it sees one consistent state.

        Raises:
            DamagedError: as for `write`.
        """
        shared: Connection | None = getattr(self._local, "reading", None)
        if shared is not None:
            yield shared
            return
        self._refuse_if_closed()
        try:
            with self._reader.connect() as connection:
                yield connection
        except (DatabaseError, JSONDecodeError) as error:
            if (meant := self._meant(error)) is not None:
                raise meant from error
            raise

    def ask(self) -> None:
        """Ask the database whether it answers, and this process may write to it.

        Raises:
            UnavailableError: it does not, or another process has taken it over.
            TakenOverError: this process is a node that another one has taken over.
        """
        self._backend.require_writable()
        with self.read() as connection:
            self._backend.ask(connection)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Have every `read` of this thread inside of it use one connection: for work that asks many short questions."""
        with self.read() as connection:
            outer = getattr(self._local, "reading", None)
            self._local.reading = connection
            try:
                yield
            finally:
                self._local.reading = outer

    @contextmanager
    def write(self, *, joining: bool = False) -> Iterator[Connection]:
        """Yield a connection in a transaction that commits at the end, or leaves everything as it was.

        With `joining` it is not held against the epoch of this process as a node: it is about to get a new one.

        Raises:
            StorageError: the disk is full or the database file cannot be written.
            DamagedError: the file is not a database, or no longer a sound one.
            UnavailableError: the server of the database does not answer, or another node's writer takes long.
            TakenOverError: this process is a node that another one has taken over.
        """
        with self._write_lock:
            self._refuse_if_closed()
            try:
                with self.engine.begin() as connection:
                    self._backend.begin_write(connection, joining=joining)
                    self._writer = threading.get_ident()
                    yield connection
                    for call in self._at_commit:
                        call(connection)
                    removed = connection.info.pop(_REMOVED, False)
            except (DatabaseError, JSONDecodeError) as error:
                if (meant := self._meant(error)) is not None:
                    raise meant from error
                raise
            finally:
                ended, self._at_end = self._at_end, []
                self._writer, self._at_commit = 0, []
                for end in ended:
                    end()
            self._backend.after_write()
        if removed:
            for listener in self._on_removal:
                listener()

    def at_commit(self, call: Callable[[Connection], object]) -> bool:
        """Have the transaction that this thread has begun with `write` end with `call`; return whether there is one.

        What `call` writes is committed with it, or not at all; what it raises undoes the transaction.
        """
        if self._writer != threading.get_ident():
            return False
        self._at_commit.append(call)
        return True

    def at_end(self, call: Callable[[], object]) -> bool:
        """Have `call` come after that transaction, committed or not; return whether there is one. It must not raise."""
        if self._writer != threading.get_ident():
            return False
        self._at_end.append(call)
        return True

    def on_removal(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each transaction that deleted or replaced something; it must not wait."""
        self._on_removal.append(listener)

    def empty_log(self) -> bool:
        """Move what is in SQLite's write-ahead log into the file, and empty the log; return whether that was possible.

        It is not while somebody reads an older state from the log.
        """
        return self._backend.empty_log(self.engine)

    def shrink(self) -> int:
        """Release what SQLite caches for idle connections (pages, statements); return how many there were."""
        return self._backend.shrink(self.engine)

    @property
    def notes(self) -> list[str]:
        """What the check at the start found, in words, though nothing was lost."""
        return self._backend.notes

    def on_damage(self, listener: Callable[[DamagedError], None]) -> None:
        """Call `listener` once if the file is found damaged from now on."""
        self._on_damage.append(listener)

    def check_some(self, pages: int) -> None:
        """Check the next `pages` pages of the file by their checksums; what is damaged goes to `on_damage`."""
        if not self._closed and self.damage is None:
            self._backend.check_some(pages)

    def close(self) -> None:
        """Close all pooled connections."""
        with self._write_lock:
            self._closed = self._backend.close(self.engine)

    def _excluding(self, name: str) -> Connection:
        """Return a connection whose transaction keeps other nodes out until it is closed."""
        try:
            with ExitStack() as failed:
                connection = failed.enter_context(self.engine.connect())
                self._backend.exclude(connection, name)
                failed.pop_all()
                return connection
        except DatabaseError as error:
            if (meant := self._meant(error)) is not None:
                raise meant from error
            raise

    def _meant(self, error: DatabaseError | JSONDecodeError) -> MillpondError | None:
        """Return what an error of the driver means to a user; None where it is a defect of ours."""
        meant = self._backend.error_of(error)
        if isinstance(meant, DamagedError):
            self._found_damaged(meant)
        return meant

    def _found_damaged(self, error: DamagedError) -> None:
        """Tell the listeners, the first time."""
        if self.damage is None:
            self.damage = error
            log.error("database damaged", message=error.message)
            for listener in self._on_damage:
                listener(error)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise UnavailableError(_("Millpond is being closed."), _("Start it again afterwards."))


def _add_missing_columns(connection: Connection, schema: sa.MetaData) -> None:
    """Add the columns that an older version did not know to the tables that it made; they are empty at first."""
    known = sa.inspect(connection)
    for table in schema.sorted_tables:
        there = {column["name"] for column in known.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                definition = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")


def _watch_removals(connection: Connection, cursor: Any, statement: str, *_more: object) -> None:
    """Note on the connection that its transaction deletes or replaces something."""
    if statement.startswith(("DELETE", "UPDATE")) and not statement.startswith(_BOOKKEEPING) and cursor.rowcount:
        connection.info[_REMOVED] = True
