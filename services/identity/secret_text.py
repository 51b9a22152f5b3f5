"""Random secrets that people or programs hold, of which only a hash is stored: tokens of sessions, API tokens, codes.

An API token is `mp_`, 256 random bits in base 62, and a checksum of these: typing errors are told from wrong tokens
without a look-up, and programs that search files for secrets find it, as they find GitHub's.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib

PREFIX = "mp_"
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BITS = 256
_RANDOM_CHARACTERS = 43  # 62^43 > 2^256
_CHECK_CHARACTERS = 6  # 62^6 > 2^32
TOKEN_CHARACTERS = len(PREFIX) + _RANDOM_CHARACTERS + _CHECK_CHARACTERS
_CODE_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that is read as something else
_CODE_GROUPS, _CODE_GROUP = 4, 4  # 79 bits


def new_session_token() -> str:
    """Return a new token of a session: 256 random bits."""
    return secrets.token_urlsafe(_BITS // 8)


def new_api_token() -> str:
    """Return a new API token."""
    body = _in_base_62(secrets.randbits(_BITS), _RANDOM_CHARACTERS)
    return f"{PREFIX}{body}{_checksum(body)}"


def is_api_token(text: str) -> bool:
    """Return whether this has the form of an API token, its checksum included."""
    body, check = text[len(PREFIX) : -_CHECK_CHARACTERS], text[-_CHECK_CHARACTERS:]
    return len(text) == TOKEN_CHARACTERS and text.isascii() and text.startswith(PREFIX) and _checksum(body) == check


def new_recovery_codes(count: int) -> list[str]:
    """Return new recovery codes."""
    return [
        "-".join("".join(secrets.choice(_CODE_ALPHABET) for _n in range(_CODE_GROUP)) for _group in range(_CODE_GROUPS))
        for _code in range(count)
    ]


def recovery_code_of(text: str) -> str:
    """Return a recovery code as it was shown, whatever blanks and capitals it was typed with; "" if it is none."""
    letters = [each for each in text.casefold() if each in _CODE_ALPHABET]
    if len(letters) != _CODE_GROUPS * _CODE_GROUP:
        return ""
    return "-".join("".join(letters[start : start + _CODE_GROUP]) for start in range(0, len(letters), _CODE_GROUP))


def digest(secret: str) -> bytes:
    """Return what is stored of a secret: so many random bits need no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _in_base_62(number: int, length: int) -> str:
    digits = []
    for _position in range(length):
        number, rest = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))


def _checksum(body: str) -> str:
    return _in_base_62(zlib.crc32(body.encode()), _CHECK_CHARACTERS)
