"""Keys and signatures for tests, made by the libraries that people sign with."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.servers import ROOT, environment


@dataclass(frozen=True)
class KeyPair:
    """The files of a key pair."""

    private: Path
    public: Path


def key_pair(folder: Path, name: str = "owner", private: Any = None) -> KeyPair:
    """Write a key pair on P-256, or the given private key, to files."""
    private = private or ec.generate_private_key(ec.SECP256R1())
    files = KeyPair(folder / f"{name}.private.pem", folder / f"{name}.pem")
    files.private.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return files


def sign_all(*models: tuple[Path, Path, KeyPair]) -> None:
    """Sign models with `model_signing`: (model, signature, keys), in one process of its own."""
    script = (
        "import sys; from pathlib import Path\n"
        "from model_signing.signing import Config; from model_signing.hashing import Config as Hashing\n"
        "for line in sys.stdin:\n"
        "    model, signature, key = map(Path, line.rstrip('\\n').split('\\t'))\n"
        "    ignored = [signature.relative_to(model)] if signature.is_relative_to(model) else []\n"
        "    hashing = Hashing().set_ignored_paths(paths=ignored)\n"
        "    Config().use_elliptic_key_signer(private_key=key).set_hashing_config(hashing).sign(model, signature)\n"
    )
    lines = "".join(f"{model}\t{signature}\t{keys.private}\n" for model, signature, keys in models)
    subprocess.run(
        [sys.executable, "-c", script], input=lines, text=True, check=True, timeout=120, env=environment(), cwd=ROOT
    )


def sign_folder(folder: Path, keys: KeyPair) -> None:
    """Put `model.sig` into a folder."""
    sign_all((folder, folder / "model.sig", keys))
