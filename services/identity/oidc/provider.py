"""The provider as it describes itself: its addresses and keys, kept for an hour; codes exchanged for tokens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlsplit

from services.core.i18n import _
from services.core.oidc_settings import HERE
from services.identity.oidc.oidc_rules import OidcRules, ProviderRefusalError
from services.identity.oidc.provider_requests import (
    RETRY_SECONDS,
    AnsweredError,
    ProviderDownError,
    get_json,
    log,
    post_form,
    printable,
)

KEPT_SECONDS = 3600.0
_KEY_FETCHES, _KEY_SECONDS = 5, 60.0  # of keys that nobody had seen
_MOST_KEYS = 50
_TYPES = {"RSA", "EC", "OKP"}  # no symmetric ones
_LONGEST_TOKEN = 100_000


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """What the provider says of itself (OpenID Connect Discovery 1.0); "" for addresses that it does not have."""

    authorization: str
    token: str
    keys: str
    userinfo: str
    end_session: str
    algorithms: frozenset[str]
    issuer_in_answer: bool
    secret_in_body: bool


@dataclass(frozen=True, slots=True)
class ProviderTokens:
    """What the provider gives for a code."""

    id_token: str
    access_token: str


class OidcProvider:
    """Asks the provider. Thread-safe; each method may take some seconds and is called in a thread."""

    def __init__(self, rules: OidcRules, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rules = rules
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._metadata: ProviderMetadata | None = None
        self._keys: list[dict[str, Any]] = []
        self._metadata_at = self._keys_at = self._failed_at = -KEPT_SECONDS
        self._fetches: list[float] = []

    @property
    def known(self) -> ProviderMetadata | None:
        """What was fetched before, None for nothing; asks nobody."""
        return self._metadata

    def metadata(self) -> ProviderMetadata:
        """Return what the provider says of itself.

        Raises:
            ProviderDownError: it cannot be had; for some seconds it is not asked again.
        """
        with self._lock:
            now = self._monotonic()
            if self._metadata is not None and now < self._metadata_at + KEPT_SECONDS:
                return self._metadata
            if now < self._failed_at + RETRY_SECONDS:
                raise ProviderDownError
            address = f"{self._rules.issuer.rstrip('/')}/.well-known/openid-configuration"
            try:
                self._metadata = _checked(get_json(address, self._rules.outgoing), self._rules.issuer)
            except (ProviderDownError, AnsweredError) as error:
                self._failed_at = self._monotonic()
                raise ProviderDownError from error
            self._metadata_at = now
            return self._metadata

    def keys(self, key_id: str) -> list[dict[str, Any]]:
        """Return the public keys with that name, all of them for ""; keys are fetched anew for a name not seen before.

        Raises:
            ProviderDownError: they cannot be had.
        """
        address = self.metadata().keys
        with self._lock:
            now = self._monotonic()
            found = self._named(key_id)
            if found and now < self._keys_at + KEPT_SECONDS:
                return found
            self._fetches = [each for each in self._fetches if now < each + _KEY_SECONDS]
            if len(self._fetches) >= _KEY_FETCHES:
                return found
            self._fetches.append(now)
            try:
                answer = get_json(address, self._rules.outgoing)
            except AnsweredError as error:
                raise ProviderDownError from error
            listed = answer.get("keys")
            keys = listed[:_MOST_KEYS] if isinstance(listed, list) else []
            self._keys = [each for each in keys if isinstance(each, dict) and _signs(each)]
            self._keys_at = now
            return self._named(key_id)

    def _named(self, key_id: str) -> list[dict[str, Any]]:
        return [each for each in self._keys if not key_id or each.get("kid") == key_id]

    def exchange(self, code: str, verifier: str, redirect_uri: str) -> ProviderTokens:
        """Return the tokens for a code.

        Raises:
            ProviderRefusalError: the provider does not take the code.
            ProviderDownError: it does not answer.
        """
        metadata = self.metadata()
        rules = self._rules
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {}
        if rules.client_secret and not metadata.secret_in_body:
            import base64

            pair = f"{quote_plus(rules.client_id)}:{quote_plus(rules.client_secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            fields["client_id"] = rules.client_id
            if rules.client_secret:
                fields["client_secret"] = rules.client_secret
        try:
            answer = post_form(metadata.token, rules.outgoing, headers, fields)
        except AnsweredError as error:
            if error.code == "invalid_client":
                log.error("the identity provider does not know oidc_client_id, or oidc_client_secret is wrong")
            raise ProviderRefusalError(
                _("The identity provider does not accept this sign-in any more."),
                _("Start again."),
                f"token request: {error.code}",
            ) from error
        id_token, access_token = answer.get("id_token"), answer.get("access_token")
        if not isinstance(id_token, str) or not isinstance(access_token, str) or len(id_token) > _LONGEST_TOKEN:
            log.warning("the identity provider sent no ID token", keys=printable(sorted(answer)))
            raise ProviderDownError
        return ProviderTokens(id_token, access_token)

    def userinfo(self, access_token: str) -> dict[str, Any] | None:
        """Return the claims that the provider tells on request, None if it has no such address.

        Raises:
            ProviderDownError: it does not answer.
        """
        address = self.metadata().userinfo
        if not address or not access_token.isascii() or not access_token.isprintable():
            return None
        try:
            return get_json(address, self._rules.outgoing, {"Authorization": f"Bearer {access_token}"})
        except AnsweredError as error:
            log.warning("the identity provider refuses its userinfo", error=error.code)
            raise ProviderDownError from error


def _signs(key: Mapping[str, Any]) -> bool:
    return key.get("kty") in _TYPES and key.get("use", "sig") == "sig"


def _checked(found: Mapping[str, Any], issuer: str) -> ProviderMetadata:
    if found.get("issuer") != issuer:
        log.error(
            "the identity provider has another name than oidc_issuer",
            said=printable(found.get("issuer")),
            setting=issuer,
        )
        raise ProviderDownError
    names = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint")
    authorization, token, keys, userinfo, end_session = (_address(found.get(name), issuer) for name in names)
    if not (authorization and token and keys):
        log.error("the identity provider does not say where it is asked", needed=list(names[:3]))
        raise ProviderDownError
    methods = found.get("token_endpoint_auth_methods_supported")
    algorithms = found.get("id_token_signing_alg_values_supported")
    return ProviderMetadata(
        authorization,
        token,
        keys,
        userinfo,
        end_session,
        algorithms=frozenset(each for each in algorithms if isinstance(each, str))
        if isinstance(algorithms, list)
        else frozenset({"RS256"}),
        issuer_in_answer=found.get("authorization_response_iss_parameter_supported") is True,
        secret_in_body=isinstance(methods, list)
        and "client_secret_basic" not in methods
        and "client_secret_post" in methods,
    )


def _address(value: object, issuer: str) -> str:
    """Return an address, "" if it is none, or is less safe than the issuer's."""
    if not isinstance(value, str) or len(value) > 2000 or not value.isascii() or not value.isprintable():
        return ""
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        return ""
    safe = parts.scheme == "https" or (parts.scheme == "http" and host in HERE and issuer.startswith("http:"))
    return value if safe and host and "@" not in parts.netloc and not parts.fragment else ""
