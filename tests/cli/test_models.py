from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from tests.cli.in_one_process import commands
from tests.core.model_signatures.keys import key_pair
from tests.core.model_signatures.test_child import model


def test_models_are_signed_and_verified(tmp_path: Path) -> None:
    """A folder and a file, signed again after a change, with a key that has a password; what is wrong is said."""
    owner, other = key_pair(tmp_path), key_pair(tmp_path, "other", rsa.generate_private_key(65537, 2048))
    private = ec.generate_private_key(ec.SECP384R1())
    locked = key_pair(tmp_path, "locked", private)
    locked.private.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw")))
    folder, file = model(tmp_path / "my model"), tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF" + os.urandom(100))
    (folder / ".gitattributes").touch()

    def sign(path: Path, key: Path, text: str = "") -> tuple[list[str], str]:
        return ["models", "sign", str(path), "--key", str(key)], text

    def verify(path: Path, key: Path) -> tuple[list[str], str]:
        return ["models", "verify", str(path), "--key", str(key)], ""

    done = commands(
        verify(folder, owner.public),
        sign(folder, owner.private),
        verify(folder, owner.public),
        sign(folder, locked.private, "pw\n"),
        verify(folder, locked.public),
        sign(file, owner.private),
        verify(file, locked.public),
        sign(file, other.private),
        sign(file, locked.private, "wrong\n"),
        (["models", "verify", str(file)], ""),
    )
    assert [code for code, _output, _error in done] == [1, 0, 0, 0, 0, 0, 1, 1, 1, 1], done
    assert "is not signed: there is no" in done[0][2]
    assert f"the signature is in {folder / 'model.sig'}" in done[1][1]
    assert "The signature is valid" in done[2][1]
    assert f"the signature is in {file}.sig" in done[5][1]
    assert "signed by somebody else than the owner of" in done[6][2]
    assert "cannot be used to sign" in done[7][2]
    assert "cannot be used to sign" in done[8][2]
    assert "No public key is named" in done[9][2]
