"""Waits for messages of PostgreSQL (https://www.postgresql.org/docs/18/sql-notify.html) on a connection of its own."""

from __future__ import annotations

import time
from typing import Any

import structlog
from sqlalchemy.exc import DatabaseError

from services.core.database import Database
from services.core.database.change_log import CHANNEL
from services.core.errors import MillpondError

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1.0


class Listener:
    """Wakes whoever follows the changes; without a connection the time alone does. One thread may call `wait`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None

    def wait(self, seconds: float) -> None:
        """Wait for a message, `seconds` at most."""
        try:
            if self._connection is None:
                self._connection = self._listen()
                return  # what was told before is read now
            for _message in self._connection.notifies(timeout=seconds, stop_after=1):
                return
        except (DatabaseError, MillpondError, OSError) as error:
            self._lose(error)
        except Exception as error:
            if not _is_of_the_driver(error):
                raise
            self._lose(error)

    def close(self) -> None:
        """Close the connection; nobody waits any more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _listen(self) -> Any:
        pooled = self._database.engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()  # it is ours, and is not given to others
        connection.autocommit = True
        (channel,) = connection.execute(CHANNEL).fetchone()
        connection.execute(f'LISTEN "{channel}"')
        return connection

    def _lose(self, error: Exception) -> None:
        log.warning("no messages of the database", reason=str(error))
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        time.sleep(_RETRY_SECONDS)


def _is_of_the_driver(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] == "psycopg"
