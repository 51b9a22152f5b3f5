"""The process that verifies a signature: `model-signing` takes 49 MB, and reads what strangers have written.

Arguments: the model (file or folder), the bundle, the public key. It prints one line of JSON: `signed`, the names of
the files that the signature covers, or `refused`, one of the reasons below, with `names` and `detail`.
"""

from __future__ import annotations

import ast
import base64
import binascii
import json
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

KEY, BUNDLE, SIGNER, CONTENT, FILES = "key", "bundle", "signer", "content", "files"
WHOLE_FILE = "."  # the name of a model that is one file
_PREDICATE = "https://model_signing/signature/v1.0"
_SHARD = re.compile(r"(.*):\d+:\d+")
_MISMATCH = "Signature mismatch: "
_SAID = {
    "extra": re.compile(r"Extra files found in model '.*?': (.*)", re.DOTALL),
    "missing": re.compile(r"Missing files in model '.*?': (.*)", re.DOTALL),
    "changed": re.compile(r"Hash mismatch for '(.*?)': Expected", re.DOTALL),
}
_MOST_NAMES = 20


class _RefusedError(Exception):
    def __init__(self, reason: str, detail: str = "", names: dict[str, list[str]] | None = None) -> None:
        super().__init__(detail)
        self.answer = {"refused": reason, "detail": detail[:500], "names": names or {}}


def verify(model: Path, bundle: Path, key: Path) -> dict[str, Any]:
    """Return the answer, see above."""
    try:
        _check_key(key)
        signed = _signed_names(bundle)
        _verify(model, bundle, key)
    except _RefusedError as error:
        return error.answer
    return {"signed": sorted(signed)}


def _check_key(key: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = key.read_bytes()
    if b"PRIVATE KEY" in content:
        raise _RefusedError(KEY, "private")
    try:
        public = load_pem_public_key(content)
    except ValueError as error:
        raise _RefusedError(KEY, "unreadable") from error
    if not isinstance(public, EllipticCurvePublicKey) or public.curve.name not in {
        "secp256r1",
        "secp384r1",
        "secp521r1",
    }:
        raise _RefusedError(KEY, "type")


def _signed_names(bundle: Path) -> set[str]:
    """Return the names in a bundle; what they are worth its verification tells."""
    try:
        envelope = json.loads(bundle.read_bytes())["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"], validate=True))
        if statement["predicateType"] != _PREDICATE:
            raise _RefusedError(BUNDLE, "version")
        predicate = statement["predicate"]
        names = [str(resource["name"]) for resource in predicate["resources"]]
        sharded = predicate["serialization"]["method"] == "shards"
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise _RefusedError(BUNDLE, type(error).__name__) from error
    if not sharded:
        return set(names)
    return {found[1] for name in names if (found := _SHARD.fullmatch(name)) is not None}


def _verify(model: Path, bundle: Path, key: Path) -> None:
    from cryptography.exceptions import InvalidSignature
    from model_signing.verifying import Config

    try:
        config = Config()  # type: ignore[no-untyped-call]
        config.use_elliptic_key_verifier(public_key=key).verify(model, bundle)
    except InvalidSignature as error:
        raise _RefusedError(CONTENT) from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OSError) as error:
        text = str(error)
        if text.startswith("Key mismatch"):
            raise _RefusedError(SIGNER) from error
        if text.startswith(_MISMATCH):
            raise _RefusedError(FILES, text, _differences(text)) from error
        raise _RefusedError(BUNDLE, text or type(error).__name__) from error


def _differences(text: str) -> dict[str, list[str]]:
    """Return the names of extra, missing and changed files in what the library says, a list of sentences."""
    try:
        sentences = ast.literal_eval(text.removeprefix(_MISMATCH))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return {}
    names: dict[str, list[str]] = {}
    for sentence in sentences:
        for kind, pattern in _SAID.items():
            if found := pattern.match(sentence):
                names.setdefault(kind, []).extend(found[1].split(", "))
    return {kind: listed[:_MOST_NAMES] for kind, listed in names.items()}


def main() -> None:
    """Verify what the arguments name."""
    with redirect_stdout(sys.stderr):  # the library prints warnings
        answer = verify(*(Path(argument) for argument in sys.argv[1:4]))
    print(json.dumps(answer))  # noqa: T201 - the answer to the parent


if __name__ == "__main__":
    main()
