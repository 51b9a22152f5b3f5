"""Backups of a pond whose database is in PostgreSQL and whose originals are in S3, and what is restored from them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.app.pond_restore import restore_pond
from services.backup import server_database
from services.backup.destination import Destination
from services.backup.making import PART_BYTES
from services.backup.manifest import POSTGRESQL, ManifestHead
from services.backup.pacing import Pace
from services.core.database import Database
from services.core.database.transfer import compare_tables
from services.core.errors import ConflictError, DamagedError, UnavailableError
from services.core.settings import DATABASE_FILE, Settings
from services.knowledge.files.s3_bucket import S3Bucket
from services.knowledge.files.stored_file import place
from tests.backup.pond import Pond, pond_in
from tests.backup.test_making import flip
from tests.databases import Engine, database_url, engine_in_use
from tests.s3_server import objects, s3_server
from tests.servers import ROOT, environment, eventually


@pytest.fixture
def pond(tmp_path: Path) -> Iterator[Pond]:
    with pond_in(tmp_path, database_url=postgres(tmp_path), **s3_server().settings()) as pond:
        yield pond


def postgres(folder: Path) -> str:
    """The URL of an empty schema that belongs to a folder."""
    with engine_in_use(Engine.POSTGRESQL):
        return database_url(folder)


def nothing(_what: str, _done: int, _total: int) -> None:
    pass


def restored(pond: Pond, settings: Settings, name: str = "") -> ManifestHead:
    with Destination(pond.destination) as destination:
        return restore_pond(settings, destination, nothing, name=name)


def require_equal(pond: Pond, url: str) -> dict[str, int]:
    """Compare every row with the pond's; return how many each table has."""
    with closing(Database(url)) as copy:
        return compare_tables(pond.database, copy, nothing)


def keys(settings: Settings) -> set[str]:
    """Return the names of the originals in a bucket."""
    pages = objects({"files_url": settings.files_url}).list()
    return {each["path"].rpartition("/")[2] for page in pages for each in page} - {"probe", "pond"}


def add_chunks(pond: Pond, count: int, begin: int = 1) -> None:
    """Have the first document, which is active then, be of that many chunks more; a thousand take 3 MB."""
    from services.knowledge.store.tables import chunks, documents

    rows = [
        {
            "id": number,
            "revision_id": 1,
            "position": number,
            "tokens": 100,
            "heading": ["Part", number],
            "vector": hashlib.shake_128(str(number).encode()).digest(1536),
            "text": f"The sluice {number} is open. " * 40,
            "terms": f"sluice number{number} open",
        }
        for number in range(begin, begin + count)
    ]
    with pond.database.write() as connection:
        connection.execute(documents.update().where(documents.c.id == 1).values(active_revision_id=1))
        connection.execute(chunks.insert(), rows)


def found_by(url: str, term: str) -> list[int]:
    """Return the chunks that the index of words has for a term."""
    from services.knowledge.store.lexical_index import lexical_index

    with closing(Database(url)) as database, database.read() as connection:
        return list(lexical_index(connection).best(connection, {term: 1.0}, 10))


def elsewhere(folder: Path) -> Settings:
    """Return settings with an empty schema and an empty part of the bucket."""
    return Settings(data_dir=folder / "data", database_url=postgres(folder), **s3_server().settings())


def test_a_pond_is_restored_into_a_folder_with_every_row(pond: Pond, tmp_path: Path) -> None:
    """Rows, vectors, words or originals would be others, or PostgreSQL would be needed to read the backup."""
    add_chunks(pond, 700)
    made = pond.back_up()
    assert made.head.engine == POSTGRESQL
    assert made.head.counts["documents"] == 3
    assert made.head.counts["chunks"] == 700
    assert pond.check(made.head.name).problems == ()
    settings = Settings(data_dir=tmp_path / "restored")
    assert restored(pond, settings).counts == made.head.counts
    assert require_equal(pond, settings.effective_database_url)["chunks"] == 700
    assert found_by(settings.effective_database_url, "number77") == [77]
    for each in pond.stored:
        content = (settings.data_dir / "files" / place(each.stored)).read_bytes()
        assert hashlib.sha256(content).hexdigest() == each.sha256
    names = {path.name for path in settings.data_dir.iterdir()}
    assert not [name for name in names if "restoring" in name or "before" in name or "-wal" in name]


def test_a_pond_is_restored_into_another_database_and_bucket(pond: Pond, tmp_path: Path) -> None:
    """What comes back would lack rows or originals, or give an id a second time."""
    add_chunks(pond, 300)
    gone = pond.add("gone.txt", b"the last id")
    pond.remove(gone)
    pond.back_up()
    settings = elsewhere(tmp_path / "other")
    restored(pond, settings)
    assert require_equal(pond, settings.database_url)["documents"] == 3
    assert found_by(settings.database_url, "number77") == [77]
    assert keys(settings) == {each.stored for each in pond.stored if each.stored != gone.stored}
    assert not (settings.data_dir / DATABASE_FILE).exists()
    with closing(Database(settings.database_url)) as database, database.write() as connection:
        assert connection.scalar(sa.text("SELECT nextval(pg_get_serial_sequence('documents', 'id'))")) == 5
    # Neither of both is empty any more.
    for kept in ("database_url", "files_url"):
        other = elsewhere(tmp_path / f"third {kept}").model_copy(update={kept: getattr(settings, kept)})
        with pytest.raises(ConflictError):
            restored(pond, other)
        assert not other.data_dir.exists()
    assert keys(settings) == {each.stored for each in pond.stored if each.stored != gone.stored}


def test_originals_are_restored_into_the_folder_of_the_settings(pond: Pond, tmp_path: Path) -> None:
    """They would be where nobody looks for them, or over what another pond has there."""
    pond.back_up()
    settings = Settings(data_dir=tmp_path / "restored", files_url=str(tmp_path / "elsewhere"))
    restored(pond, settings)
    for each in pond.stored:
        content = (tmp_path / "elsewhere" / place(each.stored)).read_bytes()
        assert hashlib.sha256(content).hexdigest() == each.sha256
    assert not (settings.data_dir / "files").exists()
    with pytest.raises(ConflictError, match="elsewhere is not empty"):
        restored(pond, settings.model_copy(update={"data_dir": tmp_path / "again"}))


def test_a_second_backup_copies_what_changed(pond: Pond, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole database would be stored anew each day, or each original fetched again from the bucket."""
    add_chunks(pond, 2000)
    first = pond.back_up().head
    fetched = []
    pieces = S3Bucket.pieces
    monkeypatch.setattr(S3Bucket, "pieces", lambda self, key: fetched.append(key) or pieces(self, key))
    assert pond.back_up().head.copied <= PART_BYTES, "the first page counts how often the file was opened"
    new = pond.add("new.txt", b"something new " * 500)
    with pond.database.write() as connection:
        connection.execute(sa.text("UPDATE chunks SET text = 'changed' WHERE id = 1000"))
        connection.execute(sa.text("DELETE FROM chunks WHERE id = 3"))
    third = pond.back_up().head
    assert fetched == [place(new.stored)]
    assert third.copied < first.copied / 4
    assert third.counts["chunks"] == 1999
    assert [pond.check(each.name).problems for each in (first, third)] == [(), ()]
    restored(pond, settings := Settings(data_dir=pond.destination.parent / "restored"), third.name)
    require_equal(pond, settings.effective_database_url)


def test_rows_that_change_places_are_followed(pond: Pond, tmp_path: Path) -> None:
    """A name that another document has now, or a deletion, would end the backup or leave a row that is gone."""
    pond.back_up()
    names = "UPDATE documents SET name = :name WHERE id = :id"
    with pond.database.write() as connection:
        for number, name in ((1, "aside"), (3, "0.txt"), (1, "2.txt")):
            connection.execute(sa.text(names), {"name": name, "id": number})
    pond.remove(pond.stored[1])
    pond.add("1.txt", b"another one of that name")
    pond.back_up()
    restored(pond, settings := Settings(data_dir=tmp_path / "restored"))
    assert require_equal(pond, settings.effective_database_url)["documents"] == 3


def test_a_damaged_copy_from_before_is_not_what_the_next_begins_from(pond: Pond) -> None:
    """Damage of one backup would be in all that follow, or keep them from being made."""
    first = pond.back_up().head.name
    blob = pond.manifest(first)[DATABASE_FILE].blobs[0]
    damaged = pond.destination / "blobs" / blob[:2] / blob
    flip(damaged, damaged.stat().st_size // 2)
    assert pond.check(first).problems
    damaged.unlink()
    second = pond.back_up().head.name
    assert pond.check(second).problems == ()


@pytest.mark.parametrize("kind", ["original", "database"])
def test_a_flipped_byte_is_found_and_nothing_of_it_restored(pond: Pond, tmp_path: Path, kind: str) -> None:
    """Half a pond would be in the database and in the bucket, and look like a whole one."""
    name = pond.back_up().head.name
    files = pond.manifest(name)
    path = DATABASE_FILE if kind == "database" else max(each for each in files if each.startswith("files/"))
    blob = files[path].blobs[-1]
    flip(pond.destination / "blobs" / blob[:2] / blob, 5)
    assert any(path in each for each in pond.check(name).problems)
    settings = elsewhere(tmp_path / "other")
    with pytest.raises(DamagedError):
        restored(pond, settings)
    eventually(lambda: not keys(settings), what="the objects are gone")
    assert not list(settings.data_dir.iterdir())
    restored_rows = Database(settings.database_url)
    with closing(restored_rows), restored_rows.read() as connection:
        assert not connection.scalar(sa.text("SELECT count(*) FROM documents"))


def test_what_is_written_during_the_copy_is_there_whole_or_not(pond: Pond) -> None:
    """A document would be there without its revision or original, or one that was acknowledged before would lack."""
    add_chunks(pond, 3000)
    during: list[str] = []

    class Writing(Pace):
        """Has somebody write and delete at each step."""

        def step(self, done: int) -> None:
            if len(during) < 40:
                during.append(pond.add(f"during {len(during)}.txt", f"content {len(during)}".encode()).stored)
                if len(during) % 4 == 0:
                    pond.remove(pond.stored[-2])
                    during[-2] = ""
            super().step(done)

    before = {each.stored for each in pond.stored}
    made = pond.back_up(pace=Writing())
    assert len(during) > 5
    assert made.head.counts["documents"] == made.head.counts["revisions"]
    assert not any(made.head.left_out.values())
    assert pond.check(made.head.name).problems == ()
    there = {path.rpartition("/")[2] for path in pond.manifest(made.head.name) if path.startswith("files/")}
    assert before <= there
    assert there - before <= set(during)


def test_a_place_that_is_away_ends_the_backup_and_leaves_those_before(pond: Pond) -> None:
    """Originals that cannot be had just now would be taken for lost, and left out for good."""
    first = pond.back_up().head.name
    pond.add("new.txt", b"new")
    server = s3_server()
    server.stop()
    try:
        with pytest.raises(UnavailableError):
            pond.back_up()
    finally:
        server.start()
    assert pond.check(first).problems == ()
    assert pond.back_up().head.counts["documents"] == 4


def test_an_original_that_is_damaged_or_lost_in_the_bucket_is_named(pond: Pond) -> None:
    """One bad object would keep everything else from being backed up, or be taken for a good one."""
    bucket = objects({"files_url": pond.settings.files_url})
    bad, gone, _good = (each.stored for each in pond.stored)
    bucket.put(place(bad), b"other bytes")
    bucket.delete(place(gone))
    made = pond.back_up()
    assert {kind: [Path(each).name for each in paths] for kind, paths in made.head.left_out.items()} == {
        "damaged": [bad],
        "missing": [gone],
    }


def test_a_database_of_another_version_is_refused(pond: Pond, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns that this version does not know would be lacking in the backup."""
    monkeypatch.setattr(server_database, "HEAD", "9999_later")
    with pytest.raises(ConflictError, match="version"):
        pond.back_up()


def test_a_backup_of_sqlite_imports_neither_driver(tmp_path: Path) -> None:
    """A process that serves alone would hold megabytes of clients that it has no use for."""
    with pond_in(tmp_path) as pond:
        folder = pond.settings.data_dir
    code = (
        "import sys\nfrom pathlib import Path\nfrom services.core.settings import Settings\n"
        "from services.app.build_backups import backup_source\n"
        "import services.backup.backup_service, services.backup.making\n"
        "source = backup_source(Settings(data_dir=Path(sys.argv[1])))\n"
        "assert source.database.originals(alone=True)\n"
        "print(sorted({'psycopg', 'obstore', 'services.backup.server_database', 'services.core.database.mirror'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
