"""An audit log and a hundred ways to forge it: what somebody could do who can write the database and the data folder.

Shared by `test_manipulations.py` and `tests/siege/siege_audit.py`. Each forgery is made with plain SQLite, as somebody
would do it who knows how the log works and has everything but the private key.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

from services.audit.audit_log import AuditLog
from services.audit.chain import AuditHead, AuditRecord, head_bytes, head_hash, name_hash, record_hash
from services.audit.signing import LastHead, SigningKey, TrustedKeys
from services.audit.store import AuditStore
from services.audit.verification import Verification, verify
from services.core.actor import Actor, Role
from services.core.auditing import Action, AuditOutcome, Origin, Target, TargetKind, Way, coming_from
from services.core.database import Database
from services.core.database.reader import DatabaseReader
from tests.databases import database_url

RECORDS, SIGNED_EVERY = 60, 7
PEOPLE = ("anna", "王芳", "local")


class Hours:
    """A clock that goes on by a minute with each reading."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> float:
        self.seconds += 60.0
        return self.seconds


def write_log(folder: Path, records: int = RECORDS, *, signed_every: int = SIGNED_EVERY, tail: int = 3) -> AuditLog:
    """Write a log with names, refusals, an erasure and a removal by retention; the last `tail` records are unsigned."""
    database = Database(database_url(folder))
    database.create_tables()
    log = AuditLog(database, folder / "audit.key", Hours())
    for number in range(records - tail):
        record_one(log, number)
        if number % signed_every == 0:
            log.sign()
        if number == records // 3:
            log.erase_names(TargetKind.DOCUMENT, [1, 2, 3])
    log.sign()
    for number in range(tail):
        record_one(log, records + number)
    database.close()
    return log


def record_one(log: AuditLog, number: int) -> None:
    """Record what somebody could have done."""
    origin = Origin(Way.API, f"10.0.0.{number % 9}", f"request-{number}")
    with coming_from(origin):
        log.record(
            Actor(PEOPLE[number % 3], Role.USER, person_id=number % 3 or None),
            (Action.DOCUMENT_UPLOADED, Action.DOCUMENT_DELETED, Action.SIGN_IN)[number % 3],
            Target(TargetKind.DOCUMENT, number, f"contract {number}.pdf") if number % 3 < 2 else Target(),
            AuditOutcome.DONE,
            f"{number} pages",
        )


def verified(folder: Path, public_key: Path | None = None) -> Verification:
    """Verify the log in a folder as the command does."""
    key = folder / "audit.key"
    keys = TrustedKeys.read([public_key]) if public_key else TrustedKeys.beside(key)
    return verify(AuditStore(DatabaseReader(database_url(folder))), keys, LastHead(key))


def copied(original: Path, folder: Path) -> Path:
    """Return a copy of a folder."""
    shutil.copytree(original, folder, dirs_exist_ok=True)
    return folder


@contextmanager
def opened(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "millpond.db")) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous=OFF")  # nobody pulls the plug
        yield connection
        connection.commit()


def records_of(connection: sqlite3.Connection) -> list[AuditRecord]:
    return [AuditRecord(**dict(row)) for row in connection.execute("SELECT * FROM audit ORDER BY seq")]


def put(connection: sqlite3.Connection, records: list[AuditRecord]) -> None:
    """Write all records anew."""
    names = [field.name for field in fields(AuditRecord)]
    connection.execute("DELETE FROM audit")
    connection.executemany(
        f"INSERT INTO audit ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
        [[getattr(record, name) for name in names] for record in records],
    )


def rehashed(records: list[AuditRecord], after: AuditRecord | None, first: int) -> list[AuditRecord]:
    """Return records with numbers and hashes as if they had been recorded so."""
    made = []
    previous, number = (after.hash, after.seq) if after is not None else ("0" * 64, first - 1)
    for record in records:
        number += 1
        record = replace(record, seq=number)  # noqa: PLW2901 - as it is from here on
        record = replace(record, hash=record_hash(record, previous))  # noqa: PLW2901
        previous = record.hash
        made.append(record)
    return made


@dataclass(frozen=True)
class Forgery:
    """What is done to a log, and to a part of it that a signature covers."""

    name: str
    forge: Callable[[Path, random.Random], None]


def _changed(record: AuditRecord, chance: random.Random) -> AuditRecord:
    """Return a record with another value in one field; where it is a name, with a hash that fits."""
    field = chance.choice([each.name for each in fields(AuditRecord) if each.name not in {"seq", "salt", "hash"}])
    value = getattr(record, field)
    if field == "time":
        return replace(record, time=record.time + chance.choice([-1, 1, 60_000_000]))
    if field == "target_name":
        name = f"other {chance.randrange(1000)}"
        salt = record.salt or "00"
        fitting = name_hash(salt, name) if chance.random() < 0.5 else record.name_hash
        return replace(record, target_name=name, salt=salt, name_hash=fitting)
    if not value:
        return replace(record, **{field: "x"})
    return replace(record, **{field: value[:-1] + chance.choice("xyz01") if len(value) > 1 else "xy"})


def change(folder: Path, chance: random.Random) -> None:
    with opened(folder) as connection:
        records = records_of(connection)
        at = chance.randrange(_signed_places(connection, records))
        while (forged := _changed(records[at], chance)) == records[at]:
            pass
        records[at] = forged
        put(connection, records)


def change_and_rehash_one(folder: Path, chance: random.Random) -> None:
    with opened(folder) as connection:
        records = records_of(connection)
        at = chance.randrange(_signed_places(connection, records))
        records[at] = rehashed(
            [replace(records[at], actor="mallory")], records[at - 1] if at else None, records[at].seq
        )[0]
        put(connection, records)


def change_and_rehash_all(folder: Path, chance: random.Random) -> None:
    with opened(folder) as connection:
        records = records_of(connection)
        at = chance.randrange(_signed_places(connection, records))
        records[at] = replace(records[at], actor="mallory")
        put(connection, [*records[:at], *rehashed(records[at:], records[at - 1] if at else None, records[at].seq)])


def remove(folder: Path, chance: random.Random) -> None:
    with opened(folder) as connection:
        records = records_of(connection)
        del records[chance.randrange(_signed_places(connection, records))]
        put(connection, records)


def remove_and_renumber(folder: Path, chance: random.Random) -> None:
    with opened(folder) as connection:
        records = records_of(connection)
        at = chance.randrange(_signed_places(connection, records))
        put(connection, [*records[:at], *(replace(each, seq=each.seq - 1) for each in records[at + 1 :])])


def remove_and_rehash(folder: Path, chance: random.Random) -> None:
    with opened(folder) as connection:
        records = records_of(connection)
        at = chance.randrange(_signed_places(connection, records))
        put(
            connection,
            [*records[:at], *rehashed(records[at + 1 :], records[at - 1] if at else None, records[at].seq)],
        )


def insert(folder: Path, chance: random.Random) -> None:
    with opened(folder) as connection:
        records = records_of(connection)
        at = chance.randrange(1, _signed_places(connection, records))
        forged = rehashed([replace(chance.choice(records), actor="mallory")], records[at - 1], records[at].seq)
        put(connection, [*records[:at], *forged, *(replace(each, seq=each.seq + 1) for each in records[at:])])


def insert_and_rehash(folder: Path, chance: random.Random) -> None:
    with opened(folder) as connection:
        records = records_of(connection)
        at = chance.randrange(1, _signed_places(connection, records))
        forged = [replace(chance.choice(records), actor="mallory"), *records[at:]]
        put(connection, [*records[:at], *rehashed(forged, records[at - 1], records[at].seq)])


def swap(folder: Path, chance: random.Random) -> None:
    with opened(folder) as connection:
        records = records_of(connection)
        one, other = chance.sample(range(_signed_places(connection, records)), 2)
        a, b = records[one], records[other]
        records[one], records[other] = replace(b, seq=a.seq), replace(a, seq=b.seq)
        put(connection, records)


def swap_neighbours_and_rehash(folder: Path, chance: random.Random) -> None:
    with opened(folder) as connection:
        records = records_of(connection)
        at = chance.randrange(_signed_places(connection, records) - 1)
        rest = [records[at + 1], records[at], *records[at + 2 :]]
        put(connection, [*records[:at], *rehashed(rest, records[at - 1] if at else None, records[at].seq)])


def cut_tail(folder: Path, chance: random.Random) -> None:
    with opened(folder) as connection:
        records = records_of(connection)
        put(connection, records[: chance.randrange(_signed_places(connection, records))])


def cut_tail_and_heads(folder: Path, chance: random.Random) -> None:
    """Put an older state of the database back: consistent in itself."""
    with opened(folder) as connection:
        heads = heads_of(connection)
        kept = chance.randrange(1, len(heads))
        put(connection, [each for each in records_of(connection) if each.seq <= heads[kept - 1].seq])
        connection.execute("DELETE FROM audit_heads WHERE number > ?", [heads[kept - 1].number])


def cut_beginning(folder: Path, chance: random.Random) -> None:
    with opened(folder) as connection:
        records = records_of(connection)
        at = chance.randrange(1, _signed_places(connection, records))
        put(connection, records[at:])
        if chance.random() < 0.5:
            connection.execute("DELETE FROM audit_heads WHERE seq < ?", [records[at].seq])


def change_head(folder: Path, chance: random.Random) -> None:
    field = chance.choice(["kind", "time", "seq", "hash", "first", "heads_removed", "previous", "key", "signature"])
    with opened(folder) as connection:
        head = chance.choice(heads_of(connection))
        value = getattr(head, field)
        if isinstance(value, int):
            forged: object = value + chance.choice([1, 2])
        elif field == "kind":
            forged = "removal" if value == "head" else "head"
        else:
            at = chance.randrange(len(value))
            forged = (
                value[:at] + chance.choice([each for each in "0123456789abcdef" if each != value[at]]) + value[at + 1 :]
            )
        connection.execute(f"UPDATE audit_heads SET {field} = ? WHERE number = ?", [forged, head.number])


def remove_head(folder: Path, chance: random.Random) -> None:
    with opened(folder) as connection:
        heads = heads_of(connection)
        connection.execute("DELETE FROM audit_heads WHERE number = ?", [chance.choice(heads).number])


def remove_all_heads(folder: Path, chance: random.Random) -> None:
    with opened(folder) as connection:
        connection.execute("DELETE FROM audit_heads")
    if chance.random() < 0.5:
        (folder / "audit.head").unlink()


def erase_name(folder: Path, chance: random.Random) -> None:
    with opened(folder) as connection:
        records = records_of(connection)
        named = [each.seq for each in records if each.target_name is not None]
        connection.execute("UPDATE audit SET target_name = NULL, salt = NULL WHERE seq = ?", [chance.choice(named)])


def replace_public_key(folder: Path, _chance: random.Random) -> None:
    SigningKey(folder / "mallory.key").fingerprint  # noqa: B018 - makes the file
    (folder / "mallory.pub").replace(folder / "audit.pub")


def sign_with_another_key(folder: Path, chance: random.Random) -> None:
    """Change a record, make the chain anew and sign it with a key of one's own; the old public key stays."""
    change_and_rehash_all(folder, chance)
    sign_all(folder, SigningKey(folder / "mallory.key"))


def forge_removal(folder: Path, chance: random.Random) -> None:
    """Cut the beginning off as retention does, with a statement signed by another key."""
    key = SigningKey(folder / "mallory.key")
    with opened(folder) as connection:
        records, heads = records_of(connection), heads_of(connection)
        anchor = chance.choice([head for head in heads[:-1] if head.kind == "head"])
        removal = AuditHead(
            heads[-1].number + 1,
            "removal",
            heads[-1].time,
            anchor.seq,
            anchor.hash,
            records[0].seq,
            anchor.number,
            head_hash(heads[-1]),
            heads[-1].key,
        )
        removal = replace(removal, signature=key.sign(head_bytes(removal)))
        connection.execute("DELETE FROM audit WHERE seq <= ?", [anchor.seq])
        connection.execute("DELETE FROM audit_heads WHERE number <= ?", [anchor.number])
        _put_heads(connection, [removal])


def change_copy(folder: Path, chance: random.Random) -> None:
    path = folder / "audit.head"
    found = json.loads(path.read_text())
    found[chance.choice(["number", "seq"])] += 1
    path.write_text(json.dumps(found))


FORGERIES = [
    Forgery("a field changed", change),
    Forgery("a field changed, its hash made anew", change_and_rehash_one),
    Forgery("a field changed, all hashes made anew", change_and_rehash_all),
    Forgery("a record removed", remove),
    Forgery("a record removed, the others numbered anew", remove_and_renumber),
    Forgery("a record removed, all hashes made anew", remove_and_rehash),
    Forgery("a record inserted", insert),
    Forgery("a record inserted, all hashes made anew", insert_and_rehash),
    Forgery("two records swapped", swap),
    Forgery("two neighbours swapped, all hashes made anew", swap_neighbours_and_rehash),
    Forgery("the end cut off", cut_tail),
    Forgery("the end cut off with its heads", cut_tail_and_heads),
    Forgery("the beginning cut off", cut_beginning),
    Forgery("a head changed", change_head),
    Forgery("a head removed", remove_head),
    Forgery("all heads removed", remove_all_heads),
    Forgery("a name erased", erase_name),
    Forgery("the public key replaced", replace_public_key),
    Forgery("signed with another key", sign_with_another_key),
    Forgery("a removal forged", forge_removal),
    Forgery("the copy of the head changed", change_copy),
]


def heads_of(connection: sqlite3.Connection) -> list[AuditHead]:
    return [AuditHead(**dict(row)) for row in connection.execute("SELECT * FROM audit_heads ORDER BY number")]


def sign_all(folder: Path, key: SigningKey) -> None:
    """Sign all heads anew with another key, for the hashes that the records have now."""
    with opened(folder) as connection:
        hashes = {record.seq: record.hash for record in records_of(connection)}
        made: list[AuditHead] = []
        for head in heads_of(connection):
            previous = head_hash(made[-1]) if made else head.previous
            head = replace(  # noqa: PLW2901
                head, hash=hashes.get(head.seq, head.hash), previous=previous, key=key.fingerprint, signature=""
            )
            made.append(replace(head, signature=key.sign(head_bytes(head))))
        connection.execute("DELETE FROM audit_heads")
        _put_heads(connection, made)
    (folder / "audit.head").write_text(
        json.dumps({each.name: getattr(made[-1], each.name) for each in fields(AuditHead)})
    )


def _put_heads(connection: sqlite3.Connection, heads: list[AuditHead]) -> None:
    names = [field.name for field in fields(AuditHead)]
    connection.executemany(
        f"INSERT INTO audit_heads ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
        [[getattr(head, name) for name in names] for head in heads],
    )


def _signed_places(connection: sqlite3.Connection, records: list[AuditRecord]) -> int:
    """Return how many of the records, from the first, a signature covers."""
    last = connection.execute("SELECT max(seq) FROM audit_heads").fetchone()[0]
    return sum(record.seq <= last for record in records)
