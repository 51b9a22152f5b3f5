"""The ID token: its signature by the provider's keys, the claims that OpenID Connect Core 1.0 (3.1.3.7) asks for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from services.core.i18n import _
from services.identity.oidc.oidc_rules import OidcRules, ProviderRefusalError
from services.identity.oidc.provider import OidcProvider, ProviderTokens
from services.identity.oidc.provider_requests import printable

LEEWAY = 60  # seconds by which clocks may differ
_LONGEST_SUBJECT = 255
# Signatures with a key pair alone: with HS256 the public key would be taken for a secret, "none" has no signature.
_ALGORITHMS = {
    "RS256": "RSA",
    "RS384": "RSA",
    "RS512": "RSA",
    "PS256": "RSA",
    "PS384": "RSA",
    "PS512": "RSA",
    "ES256": "EC",
    "ES384": "EC",
    "ES512": "EC",
    "EdDSA": "OKP",
    "Ed25519": "OKP",
}
_LEAST_RSA_BITS = 2048


def verified_claims(
    tokens: ProviderTokens, provider: OidcProvider, rules: OidcRules, *, nonce: str, now: float
) -> dict[str, Any]:
    """Return the claims of an ID token that the provider made for this console, for this sign-in, just now.

    Raises:
        ProviderRefusalError: it did not.
        ProviderDownError: its keys cannot be had.
    """
    claims = _signed(tokens.id_token, provider)
    _check_parties(claims, rules)
    _check_times(claims, now)
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode("utf-8", "replace"), nonce.encode()):
        raise _refused("nonce")
    at_hash = claims.get("at_hash")
    if at_hash is not None and not _is_hash(at_hash, tokens.access_token, str(_header(tokens.id_token)["alg"])):
        raise _refused("at_hash")
    return claims


def _signed(token: str, provider: OidcProvider) -> dict[str, Any]:
    from joserfc import jws  # late: OIDC may be off
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    header = _header(token)
    algorithm = header.get("alg")
    kind = _ALGORITHMS.get(algorithm) if isinstance(algorithm, str) else None
    if kind is None or algorithm not in provider.metadata().algorithms:
        raise _refused(f"algorithm {printable(algorithm, 20)}")
    if "crit" in header or "b64" in header:
        raise _refused("header")
    key_id = header.get("kid", "")
    if not isinstance(key_id, str) or len(key_id) > _LONGEST_SUBJECT:
        raise _refused("kid")
    types: Mapping[str, Any] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    for found in provider.keys(key_id):
        if found.get("kty") != kind or found.get("alg", algorithm) != algorithm:
            continue
        try:
            key = types[kind].import_key(found)
            if kind == "RSA" and key.raw_value.key_size < _LEAST_RSA_BITS:
                continue
            content = jws.deserialize_compact(token, key, algorithms=[str(algorithm)])
            claims = json.loads(content.payload)
        except (JoseError, ValueError, TypeError, RecursionError, binascii.Error):
            continue
        if isinstance(claims, dict):
            return claims
    raise _refused("signature")


def _header(token: str) -> dict[str, Any]:
    first, _dot, _rest = token.partition(".")
    try:
        header = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except (ValueError, RecursionError) as error:
        raise _refused("no token") from error
    if not isinstance(header, dict):
        raise _refused("no token")
    return header


def _check_parties(claims: Mapping[str, Any], rules: OidcRules) -> None:
    if claims.get("iss") != rules.issuer:
        raise _refused("iss")
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or rules.client_id not in audiences:
        raise _refused("aud")
    party = claims.get("azp")
    if (len(audiences) > 1 or party is not None) and party != rules.client_id:
        raise _refused("azp")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
        raise _refused("sub")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires, issued, begins = claims.get("exp"), claims.get("iat"), claims.get("nbf", 0)
    if not (_is_time(expires) and _is_time(issued) and _is_time(begins)):
        raise _refused("times")
    assert isinstance(expires, int | float)  # noqa: S101 - `_is_time` says so, for the type checker
    assert isinstance(issued, int | float)  # noqa: S101 - as above
    if now >= expires + LEEWAY:
        raise _refused("exp", clocks=True)
    if max(float(issued), float(begins)) > now + LEEWAY:
        raise _refused("iat", clocks=True)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e11  # NaN is not


def _is_hash(value: object, access_token: str, algorithm: str) -> bool:
    size = {"384": "sha384", "512": "sha512"}.get(algorithm[-3:], "sha512" if algorithm.startswith("Ed") else "sha256")
    whole = hashlib.new(size, access_token.encode("utf-8", "replace")).digest()
    expected = base64.urlsafe_b64encode(whole[: len(whole) // 2]).rstrip(b"=")
    return isinstance(value, str) and hmac.compare_digest(value.encode("utf-8", "replace"), expected)


def _refused(what: str, *, clocks: bool = False) -> ProviderRefusalError:
    hint = _("The clocks of this server and of the provider differ: ask whoever runs them.")
    return ProviderRefusalError(
        _("What the identity provider sent cannot be verified; nobody was signed in."),
        hint if clocks else _("Start again; if it happens once more, ask whoever runs this server."),
        f"ID token: {what}",
    )
