"""The key with which heads are signed (Ed25519), and the file that keeps the last head outside of the database.

`cryptography` is imported when something is signed or verified: 9 MB that a process without audited actions never pays.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from services.audit.chain import AuditHead
from services.core.errors import BadInputError, DamagedError, StorageError
from services.core.i18n import _
from services.core.private_files import write_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PUBLIC_SUFFIX, HEAD_SUFFIX = ".pub", ".head"


class SigningKey:
    """The private key in a file that nobody else may read; made at first use, its public half beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.public_path = path.with_suffix(PUBLIC_SUFFIX)
        self._key: Ed25519PrivateKey | None = None
        self._fingerprint = ""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the public half; loads the key, or makes it.

        Raises:
            StorageError: the file cannot be read or written.
            BadInputError: it is no such key, or others may read it.
        """
        self._load()
        return self._fingerprint

    @property
    def public_pem(self) -> str:
        """The public half, in PEM; errors as for `fingerprint`."""
        return _public_pem(self._load().public_key()).decode()

    def prepare(self) -> None:
        """Load or make the key, so that signing takes no time later, within a transaction; errors as `fingerprint`."""
        self._load()

    def sign(self, data: bytes) -> str:
        """Return the signature, in hexadecimal digits; errors as for `fingerprint`."""
        return self._load().sign(data).hex()

    def derived(self, purpose: str) -> bytes:
        """Return 32 secret bytes for another purpose, the same wherever the key is; errors as for `fingerprint`."""
        return hashlib.blake2b(purpose.encode(), key=self._load().private_bytes_raw(), digest_size=32).digest()

    def _load(self) -> Ed25519PrivateKey:
        if self._key is None:
            try:
                self._key = _read(self.path) if self.path.exists() else _created(self.path)
                self._fingerprint = fingerprint(self._key.public_key())
                if not self.public_path.exists():
                    write_whole(self.public_path, _public_pem(self._key.public_key()))
            except OSError as error:
                raise StorageError(
                    _("The key of the audit log at {path} cannot be used: {reason}.").format(
                        path=self.path, reason=error.strerror or error
                    ),
                    _("Records are kept, but not signed until it can be."),
                ) from error
        return self._key


def _read(path: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise BadInputError(
            _("The key of the audit log at {path} can be read by others; it was not used.").format(path=path),
            _("Give the file mode 0600: chmod 600."),
        )
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path)
    return key


def _created(path: Path) -> Ed25519PrivateKey:
    try:
        return _create(path)
    except FileExistsError:  # another node has made it meanwhile
        return _read(path)


def _create(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    write_whole(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), exclusive=True)
    write_whole(path.with_suffix(PUBLIC_SUFFIX), _public_pem(key.public_key()))
    return key


def _public_pem(key: Ed25519PublicKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return the fingerprint of a key: the sha256 of its 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def _public_key(pem: bytes, path: Path) -> Ed25519PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key(path) from error
    if not isinstance(key, Ed25519PublicKey):
        raise _no_key(path)
    return key


class TrustedKeys:
    """Public keys by their fingerprint."""

    def __init__(self, keys: dict[str, Ed25519PublicKey]) -> None:
        self._keys = keys

    @property
    def fingerprints(self) -> list[str]:
        """Whose signatures are accepted."""
        return list(self._keys)

    @classmethod
    def read(cls, paths: list[Path]) -> TrustedKeys:
        """Read public keys.

        Raises:
            BadInputError: a file is missing or has no such key.
        """
        keys: dict[str, Ed25519PublicKey] = {}
        for path in paths:
            try:
                pem = path.read_bytes()
            except OSError as error:
                raise BadInputError(
                    _("The public key {path} cannot be read: {reason}.").format(path=path, reason=error.strerror),
                    _("Name a copy of it with --public-key."),
                ) from error
            key = _public_key(pem, path)
            keys[fingerprint(key)] = key
        return cls(keys)

    @classmethod
    def of_pem(cls, pem: bytes, path: Path) -> TrustedKeys:
        """Return the key that stands in a text in PEM; `path` is where that comes from, for people.

        Raises:
            BadInputError: it is no such key.
        """
        key = _public_key(pem, path)
        return cls({fingerprint(key): key})

    @classmethod
    def beside(cls, key: Path) -> TrustedKeys:
        """Read the public key beside a private one; none where nothing has been signed yet. Errors as for `read`."""
        public = key.with_suffix(PUBLIC_SUFFIX)
        return cls.read([public] if public.exists() else [])

    def knows(self, key: str) -> bool:
        """Whether a fingerprint is that of a trusted key."""
        return key in self._keys

    def verify(self, key: str, signature: str, data: bytes) -> bool:
        """Return whether `signature` is that of the trusted key with the fingerprint `key`."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._keys[key].verify(bytes.fromhex(signature), data)
        except (KeyError, ValueError, InvalidSignature):
            return False
        return True


class LastHead:
    """The newest head in a file beside the key: a database that is put back to an older state does not fit it."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_suffix(HEAD_SUFFIX)

    def write(self, head: AuditHead) -> None:
        """Replace what is there.

        Raises:
            OSError: the file cannot be written.
        """
        write_whole(self.path, json.dumps(asdict(head), indent=1).encode() + b"\n")

    def read(self) -> AuditHead | None:
        """Return the head, None where no file is.

        Raises:
            DamagedError: the file is none of ours.
        """
        try:
            found = json.loads(self.path.read_bytes())
            return AuditHead(**{field.name: found[field.name] for field in fields(AuditHead)})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedError(_("The file {path} cannot be read.").format(path=self.path)) from error


def _no_key(path: Path) -> BadInputError:
    return BadInputError(
        _("{path} is no Ed25519 key in PEM.").format(path=path),
        _("Put the key back that was there, or another one that Millpond has made."),
    )
