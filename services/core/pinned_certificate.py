"""TLS to a server of which one certificate is expected, whatever name it has: a file here, or known by its hash."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

# Those that follow the first one in the file have signed it, and others.
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL: one that has ended is the same certificate still


def context_for_pinned(certificate: Path) -> ssl.SSLContext:
    """Return a context for clients that trusts the certificate in a file and no other.

    Raises:
        OSError: it cannot be read.
        ValueError: there is no certificate in it; ssl.SSLError: a broken one.
    """
    first = _first(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it is for the name in the network, and asked for at loopback
    context.load_verify_locations(cadata=first)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    return context


def fingerprint_of(certificate: Path) -> str:
    """Return the sha256 of the certificate in a file, as clients get it; errors as for `context_for_pinned`."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(_first(certificate))).hexdigest()


def _first(certificate: Path) -> str:
    body = certificate.read_text(errors="replace").partition(_BEGIN)[2].partition(_END)[0]
    if not body:
        raise ValueError("no certificate in the file")
    return _BEGIN + body + _END + "\n"
