"""The chain: which bytes of a record are hashed, and of a head signed. Changing a line here breaks every existing log.

A record's hash covers its number, the hash of the record before, and all its fields; of the target's name it covers a
salted hash, so that the name of a deleted document can be erased and the chain still holds. A head says which hash a
record has; it covers the head before it, and so do statements of what retention has removed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from enum import StrEnum

GENESIS = "0" * 64  # stands before the first record and the first head
_RECORD_FORM = "millpond audit record 1"
_HEAD_FORM = "millpond audit head 1"


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A record as it is stored.

    Attributes:
        seq: its number, from 1, without gaps.
        time: microseconds since 1970, UTC.
        actor: the name of whoever did it; `person` is the account, "" without one.
        way: by which door (`Way`), `token` the name of the API token.
        target_name: None where it was erased, with its `salt`; `name_hash` is "" where there never was one.
        request_id: of the HTTP request, as its log line has it.
        hash: of all this and the record before.
    """

    seq: int
    time: int
    actor: str
    person: str
    role: str
    way: str
    token: str
    address: str
    action: str
    target_kind: str
    target_id: str
    target_name: str | None
    salt: str | None
    name_hash: str
    outcome: str
    detail: str
    request_id: str
    hash: str = ""


_UNCHAINED = frozenset({"seq", "target_name", "salt", "hash"})
_CHAINED = tuple(field.name for field in fields(AuditRecord) if field.name not in _UNCHAINED)


def record_hash(record: AuditRecord, previous: str, *, seq: int | None = None) -> str:
    """Return the hash of a record after one with the hash `previous`; `seq` in place of its own number."""
    number = record.seq if seq is None else seq
    return _sha256([_RECORD_FORM, number, previous, *(getattr(record, name) for name in _CHAINED)])


def name_hash(salt: str, name: str) -> str:
    """Return what the chain has of a target's name."""
    return _sha256([salt, name])


class HeadKind(StrEnum):
    """What a signed statement says."""

    HEAD = "head"  # record `seq` has this hash
    REMOVAL = "removal"  # the records from `first` to `seq` were removed by retention; the last one had this hash


@dataclass(frozen=True, slots=True)
class AuditHead:
    """A signed statement on the log.

    Attributes:
        number: from 1, without gaps.
        kind: what it says (`HeadKind`).
        time: microseconds since 1970, UTC.
        seq: the record that it speaks of.
        hash: of that record.
        first: of a removal, the first record that was removed; else 0.
        heads_removed: of a removal, the last head that was removed with them; else 0.
        previous: the hash of the head before, with its signature.
        key: the fingerprint of the key that signed.
        signature: by Ed25519, in hexadecimal digits.
    """

    number: int
    kind: str
    time: int
    seq: int
    hash: str
    first: int
    heads_removed: int
    previous: str
    key: str
    signature: str = ""

    @property
    def count(self) -> int:
        """How many records a removal speaks of."""
        return self.seq - self.first + 1 if self.kind == HeadKind.REMOVAL else 0


def head_bytes(head: AuditHead) -> bytes:
    """Return what is signed of a head: everything but the signature."""
    values = [getattr(head, field.name) for field in fields(AuditHead) if field.name != "signature"]
    return json.dumps([_HEAD_FORM, *values], ensure_ascii=False, separators=(",", ":")).encode()


def head_hash(head: AuditHead) -> str:
    """Return what the next head has of this one."""
    return hashlib.sha256(head_bytes(head) + head.signature.encode()).hexdigest()


def _sha256(values: list[object]) -> str:
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
