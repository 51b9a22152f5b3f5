"""`models`: signs models of your own, and verifies signatures as the console does before it loads them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from services.core.errors import BadInputError
from services.core.i18n import _, use_terminal_language
from services.core.model_signatures.verifier import ModelVerifier
from services.core.settings import Settings


def sign_model(settings: Settings, model: Path, key: Path) -> int:
    """Sign `model` with the private key and print where the signature is; returns the exit code."""
    use_terminal_language(settings.language)
    from services.core.model_signatures.signing import is_encrypted, sign

    password = click.prompt(_("Password of the private key"), hide_input=True) if is_encrypted(key) else ""
    signature = sign(model, key, password)
    click.echo(_("Signed; the signature is in {path}").format(path=signature))
    return 0


def verify_model(settings: Settings, model: Path, key: Path | None) -> int:
    """Verify the signature of `model` and print the result; returns the exit code."""
    use_terminal_language(settings.language)
    key_file = str(key or settings.model_key)
    if not key_file:
        raise BadInputError(_("No public key is named."), _("Name one with --key, or in MILLPOND_MODEL_KEY."))
    with tempfile.TemporaryDirectory(prefix="millpond-") as folder:
        verifier = ModelVerifier(key_file, Path(folder))
        try:
            verifier.verified(model)
        finally:
            verifier.close()
    click.echo(_("The signature is valid: signed by the owner of {key}, and unchanged").format(key=key_file))
    return 0
