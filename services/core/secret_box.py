"""Secrets encrypted at rest, each bound to its name (ChaCha20-Poly1305, RFC 8439).

The key comes from the file that `MILLPOND_SECRET_KEY_FILE` names, or from `MILLPOND_SECRET_KEY`, else from the file
`secret.key` in the data folder, which is made when the first secret is stored. Each may hold several keys, separated by
blanks or line ends: the first one seals, all of them open, so that a key can be replaced. Keys are read when they are
needed and not kept; `cryptography` (9 MB) is imported with the first secret. Nodes over one database need the same key.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from services.core.errors import BadInputError, ConflictError, StorageError, UnavailableError
from services.core.i18n import _
from services.core.private_files import write_whole
from services.core.settings import Settings

KEY_FILE = "secret.key"
SHORTEST_KEY = 32  # characters: 24 random bytes in base64, 16 in hexadecimal
_FILE_BYTES = 65_536
_VERSION = "v1"
_NONCE_BYTES = 12
_ID_CHARACTERS = 16


class UnreadableSecretError(UnavailableError):
    """A stored secret cannot be decrypted; it is kept as it is stored."""


@dataclass(frozen=True, slots=True)
class _Key:
    """What encrypts; `id` tells it from others and says nothing of it."""

    id: str
    secret: bytes = field(repr=False)


class SecretBox:
    """Seals and opens secrets with the configured key. Thread-safe: it holds nothing that changes."""

    def __init__(
        self,
        folder: Path,
        *,
        key_file: str = "",
        key: SecretStr | None = None,
        before_making: Callable[[str], object] = lambda _id: None,
    ) -> None:
        """Read nothing yet; `folder` is the data folder.

        `before_making` is called with the id of a key that would be made as the first one, and may refuse it by
        raising.
        """
        self._before_making = before_making
        self._own_file = folder / KEY_FILE
        self._key_file = Path(key_file).expanduser() if key_file else None
        self._key = key or SecretStr("")

    @classmethod
    def of(cls, settings: Settings, before_making: Callable[[str], object] = lambda _id: None) -> SecretBox:
        """Return the box of the configured key."""
        return cls(
            settings.data_dir,
            key_file=settings.secret_key_file,
            key=settings.secret_key,
            before_making=before_making,
        )

    @property
    def fingerprint(self) -> str:
        """What tells the key that seals from others and says nothing of it; "" without one.

        Raises:
            BadInputError: the key cannot be used.
        """
        keys = self._keys()
        return keys[0].id if keys else ""

    @property
    def makes_keys(self) -> bool:
        """Whether the key is Millpond's own file, not one that is configured."""
        return self._key_file is None and not self._key.get_secret_value()

    def check(self) -> None:
        """Refuse a configured key that must not be used; one that is missing is said when a secret needs it.

        Raises:
            BadInputError: others can read the file, or a key is too short.
        """
        if self._key_file is not None:
            if self._key_file.exists():
                _parsed(_read(self._key_file), str(self._key_file))
        elif self._key.get_secret_value():
            _parsed(self._key.get_secret_value(), "MILLPOND_SECRET_KEY")

    def seal(self, name: str, text: str) -> str:
        """Return `text` encrypted, to be opened under the same `name` alone; makes the key file where it is missing.

        Raises:
            UnreadableSecretError: the configured key file is missing.
            ConflictError: another node has another key.
            BadInputError: the configured key cannot be used.
            StorageError: the key file cannot be written.
        """
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        keys = self._keys()
        if not keys and self.makes_keys:
            made = _new_key()
            self._before_making(_key_of(made).id)
            self._write_keys([made])
            keys = self._keys()
        if not keys:
            raise UnreadableSecretError(
                _("There is no key to encrypt with in {where}; nothing was stored.").format(where=self._where),
                _("Put the key there, or take MILLPOND_SECRET_KEY_FILE out of the settings."),
            )
        nonce = os.urandom(_NONCE_BYTES)
        sealed = ChaCha20Poly1305(keys[0].secret).encrypt(nonce, text.encode(), _bound(name))
        return f"{_VERSION}.{keys[0].id}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, name: str, sealed: str, label: str) -> str:
        """Return what was sealed under `name`; `label` says in words what it is.

        Raises:
            UnreadableSecretError: the key is missing or another one, or what is stored was changed.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        version, _dot, rest = sealed.partition(".")
        key_id, _dot, content = rest.partition(".")
        try:
            raw = base64.b64decode(content, altchars=b"-_", validate=True)
        except ValueError:
            raw = b""
        if version != _VERSION or len(raw) <= _NONCE_BYTES:
            raise self._unreadable(label, _("what is stored is not an encrypted secret"))
        try:
            keys = self._keys()
        except BadInputError as error:
            raise self._unreadable(label, error.message.rstrip(".。")) from error
        if not keys:
            raise self._unreadable(label, _("there is no key in {where}").format(where=self._where))
        key = next((key for key in keys if key.id == key_id), None)
        if key is None:
            raise self._unreadable(
                label, _("it was encrypted with another key than that of {where}").format(where=self._where)
            )
        try:
            return ChaCha20Poly1305(key.secret).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound(name)).decode()
        except (InvalidTag, UnicodeDecodeError) as error:
            raise self._unreadable(label, _("what is stored was changed, or belongs to something else")) from error

    def is_current(self, sealed: str) -> bool:
        """Return whether this was sealed with the first of the keys."""
        keys = self._keys()
        return bool(keys) and sealed.startswith(f"{_VERSION}.{keys[0].id}.")

    def add_key(self) -> None:
        """Put a new key before the others in Millpond's own file: it seals from now on.

        Raises:
            ConflictError: the key is configured, and not Millpond's to replace.
        """
        if not self.makes_keys:
            raise ConflictError(
                _("The key is configured ({where}), so Millpond does not make a new one; nothing was changed.").format(
                    where=self._where
                ),
                _("Put a new key before the old one there, then start Millpond: it encrypts everything anew."),
            )
        self._write_keys([_new_key(), *self._texts()])

    def drop_old_keys(self) -> None:
        """Leave only the first key in Millpond's own file."""
        if self.makes_keys:
            self._write_keys(self._texts()[:1])

    @property
    def _where(self) -> str:
        if self._key_file is not None:
            return str(self._key_file)
        return "MILLPOND_SECRET_KEY" if self._key.get_secret_value() else str(self._own_file)

    def _unreadable(self, label: str, reason: str) -> UnreadableSecretError:
        return UnreadableSecretError(
            _("{label} cannot be decrypted: {reason}. It is kept as it is stored.").format(label=label, reason=reason),
            _("Enter it again, or put the right key back."),
        )

    def _keys(self) -> list[_Key]:
        """Return the keys, the one that seals first; none where the file is missing or empty."""
        return [_key_of(text) for text in self._texts()]

    def _texts(self) -> list[str]:
        if self._key_file is None and self._key.get_secret_value():
            return _parsed(self._key.get_secret_value(), self._where)
        file = self._key_file or self._own_file
        try:
            return _parsed(_read(file), str(file))
        except FileNotFoundError:
            return []

    def _write_keys(self, texts: list[str]) -> None:
        """Replace Millpond's own file, on disk when this returns."""
        try:
            write_whole(self._own_file, "".join(f"{text}\n" for text in texts).encode())
        except OSError as error:
            raise StorageError(
                _("The key for secrets cannot be written to {path}: {reason}; nothing was stored.").format(
                    path=self._own_file, reason=error.strerror
                ),
                _("Make room in the data folder, or name a key file in MILLPOND_SECRET_KEY_FILE."),
            ) from error


def _new_key() -> str:
    return secrets.token_urlsafe(32)


def _key_of(text: str) -> _Key:
    secret = hashlib.sha256(b"millpond secret key\0" + text.encode()).digest()
    return _Key(hashlib.sha256(b"millpond key id\0" + secret).hexdigest()[:_ID_CHARACTERS], secret)


def _bound(name: str) -> bytes:
    """Return the associated data: what is sealed under one name does not open under another."""
    return f"millpond secret\0{name}".encode()


def _parsed(text: str, where: str) -> list[str]:
    """Return the keys in a text.

    Raises:
        BadInputError: one is too short to be a key.
    """
    keys = [key for line in text.splitlines() if not line.startswith("#") for key in line.split()]
    if any(len(key) < SHORTEST_KEY for key in keys):
        raise BadInputError(
            _("A key in {where} is shorter than {count} characters.").format(where=where, count=SHORTEST_KEY),
            _("Create one with: openssl rand -base64 32"),
        )
    return keys


def _read(path: Path) -> str:
    """Return the text of a key file that its owner alone can read.

    Raises:
        FileNotFoundError: it is not there.
        BadInputError: it is no file, belongs to somebody else, or others can read it.
    """
    try:
        # Without O_NONBLOCK a pipe in its place would hold the start up.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadInputError(
            _("The key file {path} cannot be read: {reason}.").format(path=path, reason=error.strerror),
            _("It must belong to the user who runs Millpond, with mode 0600."),
        ) from error
    try:
        _require_private(path, os.fstat(descriptor))
        content = os.read(descriptor, _FILE_BYTES)
    finally:
        os.close(descriptor)
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as error:
        raise BadInputError(
            _("The key file {path} is not text.").format(path=path), _("Create a key with: openssl rand -base64 32")
        ) from error


def _require_private(path: Path, state: os.stat_result) -> None:
    """Raise `BadInputError` for what is no file of ours, or what others can read."""
    if not stat.S_ISREG(state.st_mode):
        raise BadInputError(_("The key file {path} is not a file.").format(path=path), _("Name a file with mode 0600."))
    mode = stat.S_IMODE(state.st_mode)
    if os.name == "posix" and (mode & 0o077 or state.st_uid not in {os.geteuid(), 0}):
        raise BadInputError(
            _("The key file {path} is not private: its mode is {mode}; it was not read.").format(
                path=path, mode=f"{mode:04o}"
            ),
            _("It must belong to the user who runs Millpond: chmod 600 {path}").format(path=path),
        )
