"""Certificates for tests, made with the library that the program uses for its own signatures."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """A certificate of its own and its key, in PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Put them where they are expected, each file replaced as a whole."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (("tls.crt", self.certificate), ("tls.key", self.key)):
            replace(folder / name, content)
        return folder / "tls.crt", folder / "tls.key"

    def trusted(self) -> ssl.SSLContext:
        """Return a client's context that trusts it."""
        return ssl.create_default_context(cadata=self.certificate.decode())


def replace(path: Path, content: bytes) -> None:
    """Replace a file in one step; only its owner may read it."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.chmod(0o600)
    new.replace(path)


def make_pair(*, days: float = 90.0, name: str = "localhost") -> Pair:
    """Return a certificate for loopback that ends in so many days."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.DNSName(name), x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
