"""Makes the next revision of the schema: `make migration MESSAGE="people and groups"`.

Alembic compares what the modules declare with what the scripts build, in a database of its own, and writes the
difference; it is to be read, and corrected where Alembic cannot know better (renamed columns, data).
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from alembic import command

from services.app.tables import import_tables
from services.core.database import Database
from services.core.migrations.upgrade import SCRIPTS, script_config
from services.core.schema_version import REVISIONS


def make_revision(message: str, folder: Path, scripts: Path = SCRIPTS) -> str:
    """Write a script on top of the newest one and return its revision; the database is in `folder`."""
    words = re.sub(r"[^a-z0-9]+", "_", message.lower()).strip("_")
    revision = f"{len(REVISIONS) + 1:04}_{words}"[:32].rstrip("_")
    import_tables()
    database = Database(f"sqlite:///{folder / 'scripts.db'}")
    with database.engine.connect() as connection:
        config = script_config(connection, scripts)
        command.upgrade(config, "head")
        connection.commit()
        command.revision(config, message, autogenerate=True, rev_id=revision)
    database.close()
    return revision


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].strip():
        sys.exit("What does the migration do? In a few words: people and groups")
    with tempfile.TemporaryDirectory() as place:
        made = make_revision(sys.argv[1], Path(place))
    print(f"services/core/migrations/versions/{made}.py")
    print(f'Add "{made}" at the end of REVISIONS in services/core/schema_version.py, and read the script.')
