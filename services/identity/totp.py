"""The second factor: time-based one-time passwords (RFC 6238) by pyotp, which is imported with the first of them."""

from __future__ import annotations

import hmac
import io
from dataclasses import dataclass, field

ISSUER = "Millpond"
STEP_SECONDS = 30
_WINDOW = 1  # steps before and after: clocks differ
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class TotpSetup:
    """What somebody needs to set an authenticator up: shown once. `qr` is a picture of `uri` as SVG."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)
    qr: str = field(repr=False)


def new_setup(name: str) -> TotpSetup:
    """Return a new secret for a person of that name."""
    import pyotp

    secret = pyotp.random_base32()
    uri = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)
    return TotpSetup(secret, uri, _qr_code(uri))


def matching_step(secret: str, code: str, now: float) -> int | None:
    """Return the time step whose code this is, None if it is of none near `now` (seconds since the epoch)."""
    import pyotp

    digits = "".join(code.split())
    if len(digits) != _DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    totp = pyotp.TOTP(secret, digits=_DIGITS, interval=STEP_SECONDS)
    present = int(now) // STEP_SECONDS
    found = None
    for step in range(present - _WINDOW, present + _WINDOW + 1):
        if hmac.compare_digest(totp.generate_otp(step), digits):
            found = step
    return found


def _qr_code(text: str) -> str:
    """Return a QR code as the text of an SVG element."""
    import segno

    stream = io.BytesIO()
    segno.make_qr(text, error="m").save(
        stream, kind="svg", scale=4, border=4, xmldecl=False, svgns=True, nl=False, light="#ffffff"
    )
    return stream.getvalue().decode()
