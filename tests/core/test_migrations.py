"""The schema of the main database: the scripts build what is declared, older folders open, newer ones are refused."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from services.app.tables import import_tables
from services.core.database import Database, metadata
from services.core.errors import ConflictError, StorageError
from services.core.migrations.comparison import default_differs, is_compared
from services.core.migrations.upgrade import SCRIPTS, one_transaction, open_schema, script_config
from services.core.schema_version import (
    HEAD,
    OLDEST_AT_WORK,
    REVISIONS,
    alembic_version,
    schema_compatibility,
    schema_state,
)
from tests.migrations.__main__ import make_revision
from tests.servers import ROOT, environment

FIXTURES = ROOT / "tests" / "fixtures"
_OF_COLUMNS = ("type", "nullable", "default", "primary_key")
RELEASED = ["data-0.1.0.tar.xz", "data-before-migrations.tar.xz"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "millpond.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """An empty main database, all tables known."""
    import_tables()
    opened = Database(f"sqlite:///{path}")
    yield opened
    opened.close()


def unpacked(name: str, folder: Path) -> Path:
    """Unpack a data folder that an older version wrote; return its database file."""
    with tarfile.open(FIXTURES / name) as archive:
        archive.extractall(folder, filter="data")
    return folder / "millpond.db"


def differences(database: Database) -> list[object]:
    """Return what Alembic would change in the database: tables, columns, types, defaults, indexes, constraints."""
    options = {"include_name": is_compared, "compare_server_default": default_differs}
    with database.engine.connect() as connection:
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)


def schema_of(database: Database) -> dict[str, object]:
    """Return the columns, keys, constraints and indexes of every table, and what else there is by name."""
    with database.engine.connect() as connection:
        inspector = sa.inspect(connection)
        found: dict[str, object] = dict.fromkeys(
            connection.exec_driver_sql("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'").scalars()
        )
        for name in inspector.get_table_names():
            columns = {each["name"]: [str(each[key]) for key in _OF_COLUMNS] for each in inspector.get_columns(name)}
            found[name] = (
                columns,
                inspector.get_pk_constraint(name)["constrained_columns"],
                sorted(map(str, inspector.get_foreign_keys(name))),
                sorted(map(str, inspector.get_unique_constraints(name))),
                sorted(
                    str(index | {"dialect_options": {key: str(each) for key, each in index["dialect_options"].items()}})
                    for index in inspector.get_indexes(name)
                ),
            )
    return found


def build_by_scripts(database: Database) -> None:
    """Build the schema as Alembic does from nothing."""
    with database.write() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        command.upgrade(script_config(connection), "head")


def test_the_scripts_are_the_revisions_that_are_known(database: Database) -> None:
    """Fails if a script is not in `REVISIONS`, or two stand on the same one: folders would be refused or left as is."""
    with database.engine.connect() as connection:
        scripts = ScriptDirectory.from_config(script_config(connection))
    assert [script.revision for script in scripts.walk_revisions()] == list(reversed(REVISIONS))
    assert scripts.get_heads() == [HEAD]
    for script in scripts.walk_revisions():
        assert Path(script.path).stem == script.revision
        assert len(script.revision) <= 32


def test_the_scripts_build_what_is_declared(database: Database, tmp_path: Path) -> None:
    """Fails if a table, column, index or constraint was declared without a migration, or the other way round."""
    build_by_scripts(database)
    assert differences(database) == []
    created = Database(f"sqlite:///{tmp_path}/created.db")
    assert open_schema(created) is None
    assert schema_of(database) == schema_of(created)
    created.close()


@pytest.mark.parametrize("change", ["ALTER TABLE jobs DROP COLUMN batch", "DROP INDEX ix_jobs_state",
                                    "CREATE TABLE strange (id INTEGER)"])  # fmt: skip
def test_a_difference_would_be_found(database: Database, change: str) -> None:
    """Fails if the comparison compares nothing."""
    open_schema(database)
    with database.write() as connection:
        connection.exec_driver_sql(change)
    assert len(differences(database)) == 1


def test_every_module_with_tables_is_known() -> None:
    """Fails if a module declares tables of the main database and is not imported before it is created."""
    imports_metadata = re.compile(r"^from services\.core\.database import .*\bmetadata\b", re.MULTILINE)
    declaring = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "services").rglob("*.py")
        if imports_metadata.search(text := path.read_text()) and "sa.Table(" in text
    ]
    assert "services.chat.store" in declaring
    code = "import sys; from services.app.tables import import_tables; import_tables(); print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT, env=environment()).split()
    assert set(declaring) <= set(loaded)
    assert "alembic" not in loaded


@pytest.mark.parametrize("name", RELEASED)
def test_a_folder_of_the_version_before_gets_the_schema(name: str, tmp_path: Path) -> None:
    """Fails if it lacks something after the upgrade, rows are lost, or it is upgraded again and again."""
    import_tables()
    database = Database(f"sqlite:///{unpacked(name, tmp_path)}", checked=True)
    with database.read() as connection:
        documents = connection.exec_driver_sql("SELECT id, name FROM documents ORDER BY id").all()
    done = open_schema(database)
    assert done is not None
    assert (done.before, done.after) == ("", HEAD)
    assert differences(database) == []
    assert open_schema(database) is None
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT id, name FROM documents ORDER BY id").all() == documents != []
        assert connection.scalar(sa.select(alembic_version.c.version_num)) == HEAD
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_all_scripts_run_in_one_transaction(tmp_path: Path) -> None:
    """Fails if a script commits what is before it (`executescript` does): a kill would leave half an upgrade."""
    import_tables()
    database = Database(f"sqlite:///{unpacked(RELEASED[0], tmp_path)}")
    said: list[str] = []

    @sa.event.listens_for(database.engine, "connect")
    def trace(connection: sqlite3.Connection, _record: object) -> None:
        connection.set_trace_callback(said.append)

    assert open_schema(database) is not None
    database.close()
    work = [line.split()[0] for line in said if not line.startswith(("SELECT", "PRAGMA", "--"))]
    assert (work.count("BEGIN"), work.count("COMMIT")) == (1, 1)
    assert (work[0], work[-1]) == ("BEGIN", "COMMIT")
    assert len(work) > 20


def test_a_new_database_is_made_with_the_newest_revision(database: Database) -> None:
    """Fails if it would be migrated at its second start."""
    assert open_schema(database) is None
    with database.read() as connection:
        assert schema_state(connection).revision == HEAD
    assert open_schema(database) is None


@pytest.mark.parametrize("before", ["", *REVISIONS[-2:-1]])
def test_a_database_says_down_to_which_revision_nodes_may_work_on_it(database: Database, before: str) -> None:
    """Fails if a node of the version before is refused, or one that is too old is not."""
    if before:
        with database.write() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            command.upgrade(script_config(connection), before)
    open_schema(database)
    with database.read() as connection:
        recorded = connection.execute(sa.select(schema_compatibility)).one()
    assert tuple(recorded) == (HEAD, OLDEST_AT_WORK)
    assert OLDEST_AT_WORK in REVISIONS[-2:]


@pytest.mark.parametrize("said", [OLDEST_AT_WORK, ""])
def test_a_file_of_a_newer_version_is_refused_whatever_it_says(database: Database, said: str) -> None:
    """Fails if a process that has a database for itself goes on with one that it does not know whole."""
    open_schema(database)
    with database.write() as connection:
        connection.execute(sa.update(alembic_version).values(version_num="9999_later"))
        connection.execute(sa.update(schema_compatibility).values(revision="9999_later", oldest_at_work=said))
    with pytest.raises(ConflictError, match="9999_later"):
        open_schema(database)


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_every_older_revision_gets_the_schema(database: Database, revision: str) -> None:
    """Fails if a step between two revisions is missing, or leads somewhere else than the declared schema."""
    with database.write() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        command.upgrade(script_config(connection), revision)
    done = open_schema(database)
    assert done is not None
    assert (done.before, done.after) == (revision, HEAD)
    assert differences(database) == []


def test_alembic_is_imported_for_a_migration_alone(tmp_path: Path) -> None:
    """Fails if a usual start pays for it: a new database, and one of this version."""
    code = """if True:
        import sys
        from services.app.tables import import_tables
        from services.core.database import Database
        from services.core.migrations.upgrade import open_schema
        import_tables()
        database = Database("sqlite:///" + sys.argv[1], checked=True)
        assert [open_schema(database) for _time in range(2)] == [None, None]
        database.close()
        assert not {"alembic", "mako"} & {name.partition(".")[0] for name in sys.modules}
    """
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.db")], check=True, cwd=ROOT, env=environment())


def test_a_table_that_others_refer_to_can_be_made_anew(database: Database) -> None:
    """Fails if the rows that refer to it go with the old one, or references to nothing are left."""
    open_schema(database)
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO conversations VALUES ('a', 'A', 1, 1, 5, '[]'{})".format(
                ", NULL" * (len(metadata.tables["conversations"].columns) - 6)
            )
        )
        connection.exec_driver_sql(
            "INSERT INTO messages (conversation_id, role, text, created_at, state, model, citations, cost, feedback,"
            " error, hint) VALUES ('a', 'user', 'Why?', 1, 'complete', '', '[]', '{}', 0, '', '')"
        )
    with database.write() as connection, one_transaction(connection):
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("conversations", recreate="always") as batch:
            batch.alter_column("title", type_=sa.String(500))
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT text FROM messages").scalars().all() == ["Why?"]
    with pytest.raises(StorageError, match="messages"), database.write() as connection, one_transaction(connection):
        connection.exec_driver_sql("DROP TABLE conversations")
    database.engine.dispose()
    with database.write() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql("INSERT INTO attachments VALUES (7, 8)")
    with database.write() as connection, one_transaction(connection):
        pass  # what refers to nothing already is not held against a migration
    database.engine.dispose()
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT title FROM conversations").scalars().all() == ["A"]


def test_the_next_revision_is_written(database: Database, tmp_path: Path) -> None:
    """Fails if what a developer gets from `make migration` does not lead to what is declared."""
    scripts = tmp_path / "scripts"
    shutil.copytree(SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    planets = sa.Table("planets", metadata, sa.Column("name", sa.String(20), primary_key=True, index=True))
    try:
        revision = make_revision("Planets, and moons of these!", tmp_path, scripts)
        assert revision == f"{len(REVISIONS) + 1:04}_planets_and_moons_of_these"[:32]
        with database.write() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            command.upgrade(script_config(connection, scripts), "head")
        assert differences(database) == []
    finally:
        metadata.remove(planets)
    assert [change[0] for change in differences(database)] == ["remove_index", "remove_table"]
