from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.app.build_backups import read_key
from services.audit.signing import SigningKey, TrustedKeys
from services.backup import making, sources
from services.backup.checking import BackupChecker
from services.backup.copied_database import COUNTS, OriginalFile
from services.backup.destination import Destination
from services.backup.generations import newest_name
from services.backup.making import STAGING, remove_left_over, require_apart
from services.backup.pacing import Pace
from services.backup.restoring import restore
from services.backup.retention import RetentionRule
from services.core.errors import BadInputError, ConflictError, DamagedError, MillpondError, NotFoundError, StorageError
from services.core.settings import DATABASE_FILE
from tests.backup.pond import Pond, pond_in
from tests.servers import ROOT, environment

# Makes a backup of the folder named first, and is killed at the place named last.
_KILLED = """
import os, signal, sys
from pathlib import Path
from services.backup import destination, making
from services.backup.destination import Destination
from console.cli.data_backup import backup
from services.core.settings import Settings

def end(*_arguments, **_named):
    os.kill(os.getpid(), signal.SIGKILL)

place = sys.argv[3]
if place == "blob":
    destination._sync = end
elif place == "database":
    making.require_sound = end
elif place == "manifest":
    os.rename, kept = lambda *given, **named: end() if given[1][8:9] == "T" else kept(*given, **named), os.rename
elif place == "tidying":
    making.tidy = end
backup(Settings(data_dir=Path(sys.argv[1])), Path(sys.argv[2]))
"""


@pytest.fixture
def pond(tmp_path: Path) -> Iterator[Pond]:
    with pond_in(tmp_path) as pond:
        yield pond


def restored(pond: Pond, target: Path, name: str = "", key: Path | None = None) -> dict[str, int]:
    with Destination(pond.destination) as destination:
        trusted = TrustedKeys.read([key]) if key is not None else None
        return dict(restore(destination, target, read_key, Pace(), name=name, trusted=trusted).counts)


def test_a_second_backup_copies_only_what_is_new(pond: Pond) -> None:
    """What is there would be written again, or a changed database would be taken for the old one."""
    first = pond.back_up()
    before = pond.blobs()
    added = pond.add("new.txt", b"something new " * 5000)
    second = pond.back_up()
    after = pond.blobs()
    assert {name: after[name] for name in before} == before
    assert added.sha256 in after.keys() - before.keys()
    assert second.head.copied < first.head.copied + added.size_bytes
    assert second.head.counts["documents"] == first.head.counts["documents"] + 1
    assert pond.check(first.head.name).problems == pond.check(second.head.name).problems == ()
    third = pond.back_up()
    assert third.head.copied == 0


def test_a_backup_is_restored_as_it_was(pond: Pond, tmp_path: Path) -> None:
    """Originals, counts or permissions would differ; keys would lie beside what they protect."""
    (pond.settings.data_dir / "secret.key").write_text("a" * 44)
    made = pond.back_up()
    target = tmp_path / "restored"
    assert restored(pond, target) == made.head.counts
    assert made.head.counts == dict.fromkeys(COUNTS, 0) | {"documents": 3, "revisions": 3}
    for each in pond.stored:
        path = target / "files" / each.stored[:2] / each.stored
        assert path.read_bytes() == pond.files.location(each.stored).read_bytes()
    assert not [name for name in ("secret.key", "audit.key", "index") if (target / name).exists()]
    for folder in (target, pond.destination):
        for path in [folder, *folder.rglob("*")]:
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_nothing_is_restored_over_something(pond: Pond, tmp_path: Path) -> None:
    """A data folder that somebody needs would be written over."""
    made = pond.back_up()
    target = tmp_path / "other"
    target.mkdir()
    (target / "note.txt").write_text("mine")
    with pytest.raises(ConflictError, match="not empty"):
        restored(pond, target)
    assert [path.name for path in target.iterdir()] == ["note.txt"]
    with pytest.raises(NotFoundError):
        restored(pond, tmp_path / "none", "20200101T000000Z-000000")
    with pytest.raises(NotFoundError):
        restored(pond, tmp_path / "none", "../generations/" + made.head.name)


@pytest.mark.parametrize("kind", ["original", "database", "audit.pub", "head", "file", "signature", "cut off", "gone"])
def test_a_flipped_byte_is_found_and_not_restored(pond: Pond, tmp_path: Path, kind: str) -> None:
    """Somebody would rely on a backup that is damaged, or get a damaged folder back."""
    name = pond.back_up().head.name
    manifest = pond.destination / "generations" / name
    files = pond.manifest(name)
    original = f"files/{pond.stored[0].stored[:2]}/{pond.stored[0].stored}"
    path = {"original": original, "database": DATABASE_FILE, "audit.pub": "audit.pub", "gone": original}.get(kind)
    lines = manifest.read_bytes().splitlines(keepends=True)
    if path is not None:
        blob = files[path].blobs[-1]
        damaged = pond.destination / "blobs" / blob[:2] / blob
        if kind == "gone":
            damaged.unlink()
        else:
            flip(damaged, damaged.stat().st_size // 2)
    elif kind == "cut off":
        manifest.write_bytes(b"".join(lines[:-2]))
    else:
        place = {"head": 40, "file": len(lines[0]) + 20, "signature": sum(map(len, lines)) - 30}[kind]
        flip(manifest, place)
    found = pond.check(name).problems
    assert any((path or name) in each for each in found)
    target = tmp_path / "restored"
    with pytest.raises(DamagedError):
        restored(pond, target)
    assert not target.exists() or not list(target.iterdir())


def test_a_manifest_that_somebody_else_signed_is_refused(pond: Pond, tmp_path: Path) -> None:
    """Whoever can write to the backups could have another folder restored."""
    name = pond.back_up().head.name
    other = SigningKey(tmp_path / "other.key")
    other.prepare()
    own = pond.settings.effective_audit_key.with_suffix(".pub")
    with Destination(pond.destination) as destination:
        kept = BackupChecker(destination, read_key, Pace(), TrustedKeys.read([own])).check(name)
        stranger = BackupChecker(destination, read_key, Pace(), TrustedKeys.read([other.public_path])).check(name)
    assert kept.problems == ()
    assert "another key" in stranger.problems[0]
    with pytest.raises(DamagedError, match="another key"):
        restored(pond, tmp_path / "restored", key=other.public_path)
    assert restored(pond, tmp_path / "restored", key=own)["documents"] == 3


def test_a_document_that_goes_meanwhile_is_whole_or_not_there(pond: Pond, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state of the database would refer to an original that was deleted after it."""
    copy, calls = sources.copy_database, []
    came = pond.add("came.txt", b"came before, goes in between " * 100)

    def copying(*given: object, **named: object) -> None:
        copy(*given, **named)  # type: ignore[arg-type]
        calls.append(given)
        if len(calls) == 1:
            late = pond.add("late.txt", b"came and went during the backup " * 100)
            pond.remove(late)
            pond.remove(came)

    def listing(connection: object) -> list[OriginalFile]:
        """Let the document come after the first list, so that no copy of its file was made before."""
        found = originals(connection)  # type: ignore[arg-type]
        return [each for each in found if each.stored != came.stored] if not calls else found

    originals = sources.originals_of
    monkeypatch.setattr(sources, "copy_database", copying)
    monkeypatch.setattr(sources, "originals_of", listing)
    made = pond.back_up()
    assert len(calls) == 2
    assert made.head.counts["documents"] == 3
    assert not any(made.head.left_out.values())
    assert pond.check(made.head.name).problems == ()


def test_what_is_written_during_the_copy_does_not_make_it_begin_anew(
    pond: Pond, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where people write all the time the copy would never end, or have half of what they wrote."""
    for number in range(40):
        pond.add(f"large {number}.txt", bytes([number]) * 100)
    monkeypatch.setattr(sources, "_PAGES_AT_ONCE", 4)
    steps = []
    step = Pace.step

    def writing(self: Pace, done: int) -> None:
        steps.append(done)
        if len(steps) < 200:
            pond.add(f"during {len(steps)}.txt", b"during the backup")
        step(self, done)

    monkeypatch.setattr(Pace, "step", writing)
    made = pond.back_up()
    monkeypatch.undo()
    assert 43 <= made.head.counts["documents"] < 43 + len(steps)
    assert made.head.counts["documents"] == made.head.counts["revisions"]
    assert pond.check(made.head.name).problems == ()


def test_a_damaged_or_missing_original_is_left_out_and_named(pond: Pond, tmp_path: Path) -> None:
    """One bad file would keep everything else from being backed up, or be taken for a good one."""
    bad, gone, good = (pond.files.location(each.stored) for each in pond.stored)
    flip(bad, 10)
    gone.unlink()
    made = pond.back_up()
    assert {kind: [Path(path).name for path in paths] for kind, paths in made.head.left_out.items()} == {
        "damaged": [bad.name],
        "missing": [gone.name],
    }
    assert pond.check(made.head.name).problems == ()
    restored(pond, tmp_path / "restored")
    assert [path.name for path in (tmp_path / "restored" / "files").glob("??/*")] == [good.name]


def test_originals_elsewhere_are_copied(pond: Pond, tmp_path: Path) -> None:
    """A backup without the originals would be taken for a whole one."""
    (pond.settings.data_dir / "files").rename(tmp_path / "elsewhere")
    pond.settings = pond.settings.model_copy(update={"files_url": str(tmp_path / "elsewhere")})
    made = pond.back_up()
    assert not any(made.head.left_out.values())
    assert pond.check(made.head.name).problems == ()


@pytest.mark.parametrize("place", ["blob", "database", "manifest", "tidying"])
def test_a_killed_backup_leaves_those_before_it_whole(pond: Pond, place: str) -> None:
    """A half backup would be taken for a whole one, or keep the next one from being made."""
    first = pond.back_up().head.name
    pond.add("new.txt", b"new " * 100_000)
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(pond.settings.data_dir), str(pond.destination), place],
        env=environment() | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    assert pond.check(first).problems == ()
    names = sorted(path.name for path in (pond.destination / "generations").iterdir())
    assert len(names) == (2 if place == "tidying" else 1)
    second = pond.back_up()
    assert second.head.counts["documents"] == 4
    assert pond.check(second.head.name).problems == ()
    assert list((pond.destination / "unfinished").iterdir()) == []
    assert not (pond.settings.data_dir / STAGING).exists()


def test_what_a_killed_backup_left_in_the_data_folder_goes_with_the_next_start(pond: Pond) -> None:
    """A copy of the database would stay in the folder, with what is deleted later."""
    left = pond.settings.data_dir / STAGING
    left.mkdir()
    (left / DATABASE_FILE).write_bytes(b"old")
    remove_left_over(pond.settings.data_dir)
    assert not left.exists()


@pytest.mark.parametrize("place", ["blobs", "generations", "unfinished", "shard", "lock"])
def test_no_link_is_followed_out_of_the_folder(pond: Pond, tmp_path: Path, place: str) -> None:
    """Somebody who may write to the backups could have files elsewhere read, written or removed."""
    name = pond.back_up().head.name
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "ff").mkdir()
    (outside / "mine").write_text("mine")
    target = pond.destination / place
    if place == "shard":
        target = next(iter((pond.destination / "blobs").iterdir()))
    target.rename(tmp_path / "aside")
    target.symlink_to(outside / "mine" if place == "lock" else outside)
    pond.add("new.txt", b"new")
    with pytest.raises(StorageError):
        pond.back_up()
    if place not in {"unfinished", "lock"}:
        with pytest.raises(MillpondError):
            raise_first(pond.check, name)
    assert sorted(path.name for path in outside.rglob("*")) == ["ff", "mine"]
    assert (outside / "mine").read_text() == "mine"


def test_only_what_the_rule_keeps_is_there(pond: Pond) -> None:
    """Old backups would fill the disk, or what a kept one needs would be removed with them."""
    day = 86_400.0
    for number in range(6):
        stored = pond.add(f"of day {number}.txt", f"day {number} ".encode() * 5000)
        made = pond.back_up(RetentionRule(last=1, daily=2, weekly=0), at=1_700_000_000 + number * day)
        pond.remove(stored)
    names = sorted(path.name for path in (pond.destination / "generations").iterdir())
    assert len(names) == 2
    assert names[-1] == made.head.name
    assert [pond.check(name).problems for name in names] == [(), ()]
    named = {blob for name in names for file in pond.manifest(name).values() for blob in file.blobs}
    assert set(pond.blobs()) == named


def test_nothing_is_removed_while_a_manifest_cannot_be_read(pond: Pond) -> None:
    """What a damaged manifest refers to would be lost with it, though the manifest may be put back."""
    pond.back_up(at=1_700_000_000)
    first = next((pond.destination / "generations").iterdir())
    kept = first.read_bytes()
    flip(first, 3)
    pond.remove(pond.stored[0])
    pond.back_up(RetentionRule(1, 0, 0))
    first.write_bytes(kept)
    assert pond.check(first.name).problems == ()


def test_other_things_are_left_alone(pond: Pond, tmp_path: Path) -> None:
    """A home folder would be filled with blobs; a backup within the data folder would go with it."""
    pond.destination.mkdir()
    (pond.destination / "letter.txt").write_text("mine")
    with pytest.raises(BadInputError, match="other things"):
        pond.back_up()
    assert [path.name for path in pond.destination.iterdir()] == ["letter.txt"]
    data = pond.settings.data_dir
    for inside in (data, data / "backups", data.parent):
        with pytest.raises(BadInputError):
            require_apart(data, inside)
    link = tmp_path / "link"
    link.symlink_to(data)
    with pytest.raises(BadInputError):
        require_apart(data, link / "backups")


def test_two_backups_do_not_meet(pond: Pond) -> None:
    """Two at once would remove each other's unfinished files."""
    with Destination(pond.destination, create=True), pytest.raises(ConflictError, match="Another backup"):
        pond.back_up()
    assert pond.back_up().head.files > 3


def test_a_backup_of_a_newer_version_is_refused(pond: Pond, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder would be restored that this version cannot open."""
    monkeypatch.setattr(making, "schema_of", lambda _connection: "9999_later")
    pond.back_up()
    with pytest.raises(ConflictError, match="newer version"):
        restored(pond, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def flip(path: Path, place: int) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    os.utime(path)


def raise_first(check: Callable[[str], object], name: str) -> None:
    """Raise what a verification raises, or the first thing that it finds."""
    found = check(name)
    raise DamagedError("; ".join(getattr(found, "problems", ())))


def test_of_several_backups_of_one_second_the_last_is_the_newest(pond: Pond) -> None:
    """A restore without a name would bring back an older state, half of the time."""
    names = [pond.back_up(at=1_700_000_000.1 + number / 10).head.name for number in range(6)]
    with Destination(pond.destination) as destination:
        assert newest_name(destination) == names[-1]
