"""The manifest of a backup: which files it has with their hashes and sizes, counts, schema; signed.

A text in lines: the head, each file, and last the signature (Ed25519) of all lines before it. Large manifests are read
a line at a time, so that nobody waits for the interpreter meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from services.core.errors import DamagedError
from services.core.i18n import _

FORMAT = "millpond backup 1"
SQLITE, POSTGRESQL = "sqlite", "postgresql"
_SHA256 = re.compile(r"[0-9a-f]{64}")
# What may stand in a folder that is restored: no way out of it, nothing hidden.
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_DEEPEST = 4


class Signer(Protocol):
    """Who signs: the key of the data folder."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the public half."""

    @property
    def public_pem(self) -> str:
        """The public half, in PEM."""

    def sign(self, data: bytes) -> str:
        """Return the signature, in hexadecimal digits."""


class SignatureKeys(Protocol):
    """Whose signatures are accepted."""

    def knows(self, key: str) -> bool:
        """Whether a fingerprint is that of one of the keys."""

    def verify(self, key: str, signature: str, data: bytes) -> bool:
        """Return whether `signature` is that of the key with the fingerprint `key`."""


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A file of a backup: its name in the data folder, its size and hash; `parts` are the hashes of its blobs, in
    order, where it has other ones than one of its own hash."""

    path: str
    size: int
    sha256: str
    parts: tuple[str, ...] = ()

    @property
    def blobs(self) -> tuple[str, ...]:
        """The blobs that it consists of."""
        return self.parts or ((self.sha256,) if self.size else ())


@dataclass(frozen=True, slots=True)
class ManifestHead:
    """What a backup says of itself.

    Attributes:
        name: the backup's name.
        made_at: the moment of its state, in seconds since 1970.
        schema: the revision of its database.
        engine: what the database was in: sqlite or postgresql. The backup has a file of SQLite in either case; of
            PostgreSQL without the index of words, which is made anew when it is restored.
        version: of Millpond, which made it; empty: not installed.
        counts: of documents, revisions, chunks, conversations, people.
        size: of all files, in bytes.
        files: how many there are.
        copied: bytes that it added to the destination.
        left_out: originals that could not be copied, by what is wrong: damaged or missing.
        key: the fingerprint of the key that signed; `public_key` is its public half in PEM.
    """

    name: str
    made_at: float
    schema: str
    version: str
    counts: Mapping[str, int]
    size: int
    files: int
    copied: int
    left_out: Mapping[str, list[str]]
    key: str
    public_key: str
    engine: str = SQLITE


def written(head: ManifestHead, files: Iterable[ManifestFile], signer: Signer) -> Iterator[bytes]:
    """Yield the lines of a manifest; the last one is the signature."""
    sums = hashlib.sha256()
    about = {"format": FORMAT} | {name: getattr(head, name) for name in ManifestHead.__slots__}
    lines: Iterable[Any] = ([each.path, each.size, each.sha256, *each.parts] for each in files)
    for content in (about, *lines):
        line = json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        sums.update(line)
        yield line
    yield signer.sign(_signed(sums.digest())).encode() + b"\n"


class ManifestReader:
    """Reads a manifest a line at a time, so that none is held in memory whole.

    `head` is there at once; whether it is signed is known once all of `files` were read.
    """

    def __init__(self, lines: Iterable[bytes], name: str) -> None:
        """Read the head.

        Raises:
            DamagedError: it is none.
        """
        self._lines = iter(lines)
        self._name = name
        self._sums = hashlib.sha256()
        self._signature = ""
        with self._damage():
            first = next(self._lines, b"")
            self._sums.update(first)
            self.head = _head(json.loads(first))
            if self.head.name != name:
                raise ValueError("of another backup")

    def files(self) -> Iterator[ManifestFile]:
        """Yield the files.

        Raises:
            DamagedError: a line is damaged, or the manifest ends early.
        """
        count, last = 0, b""
        for line in self._lines:
            if last:
                with self._damage():
                    self._sums.update(last)
                    file = _file(json.loads(last))
                count += 1
                yield file
            last = line
        with self._damage():
            self._signature = last.decode("ascii").removesuffix("\n")
            if count != self.head.files or not re.fullmatch("[0-9a-f]{128}", self._signature):
                raise ValueError("incomplete")

    def is_signed(self, keys: SignatureKeys) -> bool:
        """Return whether one of the keys has signed all that was read."""
        return keys.verify(self.head.key, self._signature, _signed(self._sums.digest()))

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedError(
                _("The manifest of the backup {name} is damaged.").format(name=self._name), _("Use another backup.")
            ) from error


def _head(found: dict[str, Any]) -> ManifestHead:
    if found["format"] != FORMAT:
        raise ValueError("of another version")
    return ManifestHead(
        name=str(found["name"]),
        made_at=float(found["made_at"]),
        schema=str(found["schema"]),
        version=str(found["version"]),
        counts={str(name): int(count) for name, count in found["counts"].items()},
        size=int(found["size"]),
        files=int(found["files"]),
        copied=int(found["copied"]),
        left_out={str(name): [str(each) for each in paths] for name, paths in found["left_out"].items()},
        key=str(found["key"]),
        public_key=str(found["public_key"]),
        engine=str(found.get("engine", SQLITE)),  # earlier versions had no other
    )


def _file(found: list[Any]) -> ManifestFile:
    path, size, sha256, *parts = found
    names = path.split("/")
    if len(names) > _DEEPEST or not all(_NAME.fullmatch(each) for each in names):
        raise ValueError("no path within a data folder")
    if not all(_SHA256.fullmatch(each) for each in (sha256, *parts)) or not isinstance(size, int) or size < 0:
        raise ValueError("no hash or no size")
    return ManifestFile(path, size, sha256, tuple(parts))


def _signed(digest: bytes) -> bytes:
    """Return what is signed: nothing else that the key signs begins so."""
    return FORMAT.encode() + b"\n" + digest
