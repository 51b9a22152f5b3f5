"""The token of a running server, in its data folder: commands on the same machine act with it as the administrator.

Whoever can read the data folder owns what is in it anyway. The token is new at each start and removed at the end.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

from services.core.errors import StorageError
from services.core.i18n import _
from services.core.private_files import create_file

LOCAL_TOKEN_FILE = "local.token"  # noqa: S105 - a name
_LONGEST = 200


def write_local_token(folder: Path) -> str:
    """Write a new token into the data folder and return it.

    Raises:
        StorageError: it cannot be written.
    """
    token = secrets.token_urlsafe(32)
    try:
        # Removed first: somebody who has the old file open does not read the new token.
        (folder / LOCAL_TOKEN_FILE).unlink(missing_ok=True)
        with create_file(folder / LOCAL_TOKEN_FILE, exclusive=True) as stream:
            stream.write(token.encode())
    except OSError as error:
        raise StorageError(
            _("{path} cannot be written: {reason}.").format(path=folder / LOCAL_TOKEN_FILE, reason=error.strerror),
            _("Make room in the data folder, and check its permissions."),
        ) from error
    return token


def read_local_token(folder: Path) -> str:
    """Return the token of the server that runs on a data folder, "" if it is not there or cannot be read."""
    with suppress(OSError, UnicodeDecodeError), (folder / LOCAL_TOKEN_FILE).open("rb") as stream:
        return stream.read(_LONGEST).decode("ascii").strip()
    return ""


def remove_local_token(folder: Path) -> None:
    """Remove the token: the server ends."""
    with suppress(OSError):
        (folder / LOCAL_TOKEN_FILE).unlink(missing_ok=True)
