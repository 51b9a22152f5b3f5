"""A process that records its start and an event, then waits to be killed: `-m tests.operations.recording DATABASE`."""

from __future__ import annotations

import sys
import time

from services.core.database import Database
from services.core.events import EventKind
from services.operations.event_log import EventLog


def main(url: str) -> None:
    database = Database(url)
    database.create_tables()
    events = EventLog(time.time, database)
    events.record(EventKind.START, events.last_end())
    events.record(EventKind.MODEL, "loaded", {"bytes": 5.0})
    events.flush()
    events.record(EventKind.UPLOAD, "not flushed")
    print("recorded", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
