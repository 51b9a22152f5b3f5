"""Signs models: for the command line alone, since the library takes 49 MB."""

from __future__ import annotations

from pathlib import Path

from services.core.errors import BadInputError, NotFoundError, StorageError, UnavailableError
from services.core.i18n import _
from services.core.model_signatures.verifier import signature_place


def is_encrypted(key: Path) -> bool:
    """Return whether a private key needs a password.

    Raises:
        NotFoundError: the file cannot be read.
    """
    try:
        return b"ENCRYPTED" in key.read_bytes()
    except OSError as error:
        raise NotFoundError(
            _("The private key {path} cannot be read: {reason}.").format(path=key, reason=error.strerror)
        ) from error


def sign(model: Path, key: Path, password: str = "") -> Path:
    """Sign a model, file or folder, with a private key (PEM); return the signature, which replaces one that was there.

    Raises:
        BadInputError: the key is none on the curves P-256, P-384 and P-521, or the password is wrong.
        UnavailableError: the model cannot be read.
        StorageError: the signature cannot be written.
    """
    from model_signing.hashing import Config as Hashing
    from model_signing.signing import Config as Signing

    signature = signature_place(model)
    try:
        signing = Signing()  # type: ignore[no-untyped-call]
        signing.use_elliptic_key_signer(
            private_key=key,
            password=password.encode() if password else None,  # type: ignore[arg-type] # cryptography wants bytes
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInputError(
            _("{key} cannot be used to sign: it is no private key (PEM) on the curves P-256, P-384 or P-521.").format(
                key=key
            ),
            _("Create one with: openssl ecparam -name prime256v1 -genkey -noout -out private.pem"),
        ) from error
    ignored = [signature.relative_to(model)] if model.is_dir() else []
    hashing = Hashing()  # type: ignore[no-untyped-call]
    hashing.set_ignored_paths(paths=ignored, ignore_git_paths=True).set_allow_symlinks(True)
    new = signature.with_name(f"{signature.name}.new")
    if model.is_dir():
        hashing.add_ignored_paths(model_path=model, paths=[new.relative_to(model)])
    try:
        signing.set_hashing_config(hashing).sign(model, new)
        new.replace(signature)
    except ValueError as error:
        raise UnavailableError(_("{model} cannot be signed: {reason}").format(model=model, reason=error)) from error
    except OSError as error:
        raise StorageError(
            _("The signature cannot be written to {path}: {reason}.").format(path=signature, reason=error.strerror)
        ) from error
    return signature
