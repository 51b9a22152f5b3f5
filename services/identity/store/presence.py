"""Whether there are accounts, as a database file says before it is opened: where the console may listen hangs on it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_SECONDS = 2.0  # another process may be writing


def has_accounts(database: Path) -> bool:
    """Return whether a database has an account; False where there is no database yet, or it cannot be read."""
    if not database.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=_SECONDS)) as opened:
            return opened.execute("SELECT 1 FROM people LIMIT 1").fetchone() is not None
    except sqlite3.Error:  # a version without accounts; whoever opens the database says what is wrong with it
        return False
