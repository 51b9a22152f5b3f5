"""What an original is called: by its content, and a random end.

The end makes every intake a name of its own: who deletes an original never deletes what somebody else has just stored
with the same content. Names of earlier versions are random, 32 characters in hex; they go on working.
"""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass

from services.core.errors import UnavailableError

# The hash in base32, as in hex it would leave no room for the end in the column (64 characters).
_NAME = re.compile(r"[a-z2-7]{52}-[0-9a-f]{8}|[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A durable file: its name in the store, its size and the sha256 of its bytes in hex."""

    stored: str
    size_bytes: int
    sha256: str


class FilesUnavailableError(UnavailableError):
    """Originals cannot be had or stored at present; it is not the fault of any of them."""


def new_name(sha256: str) -> str:
    """Return a name that no other original has, for content with this hash (in hex)."""
    content = base64.b32encode(bytes.fromhex(sha256)).decode().rstrip("=").lower()
    return f"{content}-{secrets.token_hex(4)}"


def is_name(text: str) -> bool:
    """Return whether this may be the name of an original: what is called otherwise is not ours."""
    return _NAME.fullmatch(text) is not None


def place(stored: str) -> str:
    """Return where an original lies, below a folder or the prefix of a bucket."""
    return f"{stored[:2]}/{stored}"
