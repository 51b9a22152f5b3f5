"""The face: to the provider, back from it, and out there, too."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from services.core.actor import Actor
from services.core.errors import MillpondError, UnauthorizedError
from services.core.i18n import _, joined
from services.identity.identity import Identity
from services.identity.oidc.flow import Flows, SignInFlow
from services.identity.oidc.id_token import verified_claims
from services.identity.oidc.oidc_rules import OidcRules, ProviderRefusalError
from services.identity.oidc.provided_accounts import ProvidedAccounts, claim_value
from services.identity.oidc.provider import OidcProvider, ProviderTokens
from services.identity.oidc.provider_requests import ProviderDownError
from services.identity.types import SignedIn, SignInWay

_MOST_HINTS, _LONGEST_HINT = 1000, 4000  # 4 MB at most
_LONGEST = 4000  # characters of a parameter that comes back
# What RFC 6749 and OpenID Connect Core name; others are none that a provider sends.
_NO = {
    "access_denied",
    "account_selection_required",
    "consent_required",
    "interaction_required",
    "invalid_request",
    "invalid_scope",
    "login_required",
    "unauthorized_client",
    "unsupported_response_type",
}
_LATER = {"server_error", "temporarily_unavailable"}


@dataclass(frozen=True, slots=True)
class ProviderAddress:
    """Where the browser goes; `flow` is for its cookie."""

    url: str
    state: str
    flow: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who comes back: from where, with which device and which session (an `Actor`), if any."""

    address: str
    device: str
    known_device: str = field(default="", repr=False)
    actor: Actor | None = None


class SingleSignOn:
    """Signs people in who come from the provider. Thread-safe; methods may wait for it some seconds."""

    def __init__(self, rules: OidcRules, identity: Identity, now: Callable[[], float] = time.time) -> None:
        self._rules = rules
        self._identity = identity
        self._now = now
        self._provider = OidcProvider(rules)
        self._accounts = ProvidedAccounts(identity, rules)
        self._hints: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()
        self.flows = Flows(now, identity.flow_key())

    def begin(self, place: str, redirect_uri: str, link: str = "") -> ProviderAddress:
        """Return where the browser goes; `link`: the session of somebody who links their account.

        Raises:
            ProviderDownError: the provider does not answer.
        """
        metadata = self._provider.metadata()
        flow = self.flows.begin(place, redirect_uri, link)
        query = {
            "response_type": "code",
            "client_id": self._rules.client_id,
            "redirect_uri": redirect_uri,
            "scope": self._rules.scopes,
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": flow.challenge,
            "code_challenge_method": "S256",
        }
        separator = "&" if "?" in metadata.authorization else "?"
        return ProviderAddress(
            f"{metadata.authorization}{separator}{urlencode(query)}", flow.state, self.flows.sealed(flow)
        )

    def complete(self, answer: Mapping[str, str], cookie: str, visitor: Visitor) -> tuple[SignedIn | None, str]:
        """Return who came back (None: they had a session, and linked their account) and where they want to go.

        Raises:
            MillpondError: nobody is signed in: somebody made this up, or the provider says no, or does not answer.
        """
        person_id = None
        try:
            flow = self._flow(answer, cookie)
            claims = self._claims(answer, flow)
            if flow.link:
                return self._linked(flow, claims, visitor)
            person_id = self._identity.links.at_provider(self._rules.issuer, str(claims["sub"]))
            signed_in, tokens = self._entered(claims, visitor), claims.get(_TOKEN, "")
        except ProviderRefusalError as error:
            self._identity.sign_in_refused(person_id, joined((SignInWay.OIDC.value, error.reason), ": "))
            raise
        except UnauthorizedError as error:
            self._identity.sign_in_refused(person_id, joined((SignInWay.OIDC.value, error.message), ": "))
            raise
        self._remember(signed_in.actor.session_id, str(tokens))
        return signed_in, flow.place

    def sign_out_address(self, session_id: str, back: str) -> str:
        """Return where the browser ends its session at the provider as well, "" where there is none.

        Asked before the session ends here; nobody waits for the provider.
        """
        metadata = self._provider.known
        if metadata is None or not metadata.end_session or not self._identity.sessions.is_by_provider(session_id):
            return ""
        with self._lock:
            hint = self._hints.pop(session_id, "")
        query = {"client_id": self._rules.client_id, "post_logout_redirect_uri": back}
        if hint:
            query["id_token_hint"] = hint
        return f"{metadata.end_session}{'&' if '?' in metadata.end_session else '?'}{urlencode(query)}"

    def _flow(self, answer: Mapping[str, str], cookie: str) -> SignInFlow:
        flow = self.flows.opened(cookie, answer.get("state", ""))
        if flow is None:
            raise ProviderRefusalError(
                _("This sign-in did not begin in this browser, took too long, or has ended already."),
                _("Start again."),
                "state",
            )
        return flow

    def _claims(self, answer: Mapping[str, str], flow: SignInFlow) -> dict[str, Any]:
        issuer = answer.get("iss")
        if issuer != self._rules.issuer and (issuer is not None or self._provider.metadata().issuer_in_answer):
            raise _not_as_it_should("iss")
        if error := answer.get("error"):
            raise _said_no(error)
        code = answer.get("code", "")
        if not 0 < len(code) <= _LONGEST or not code.isascii() or not code.isprintable():
            raise _not_as_it_should("code")
        tokens = self._provider.exchange(code, flow.verifier, flow.redirect_uri)
        claims = verified_claims(tokens, self._provider, self._rules, nonce=flow.nonce, now=self._now())
        return self._completed(claims, tokens) | {_TOKEN: tokens.id_token}

    def _completed(self, claims: dict[str, Any], tokens: ProviderTokens) -> dict[str, Any]:
        """Return the claims with those that the provider only tells on request."""
        lacks_groups = self._rules.needs_groups and claim_value(claims, self._rules.groups_claim) is None
        if not lacks_groups and ("preferred_username" in claims or "email" in claims):
            return claims
        more = self._provider.userinfo(tokens.access_token)
        if more is None:
            return claims
        if more.get("sub") != claims["sub"]:
            raise _not_as_it_should("sub of userinfo")
        return more | claims

    def _entered(self, claims: Mapping[str, Any], visitor: Visitor) -> SignedIn:
        person_id = self._accounts.entered(claims)
        return self._identity.open_session(
            person_id,
            way=SignInWay.OIDC,
            address=visitor.address,
            device=visitor.device,
            known_device=visitor.known_device,
        )

    def _linked(self, flow: SignInFlow, claims: Mapping[str, Any], visitor: Visitor) -> tuple[None, str]:
        if visitor.actor is None or visitor.actor.session_id != flow.link:
            raise UnauthorizedError(
                _("The session that wanted to link its account has ended; nothing was changed."), _("Sign in again.")
            )
        self._accounts.link(visitor.actor, claims)
        return None, flow.place

    def _remember(self, session_id: str, id_token: str) -> None:
        with self._lock:
            if len(id_token) <= _LONGEST_HINT:
                self._hints[session_id] = id_token
            while len(self._hints) > _MOST_HINTS:
                self._hints.popitem(last=False)


_TOKEN = "\0id_token"  # noqa: S105 - beside the claims, under a name that none has


def _said_no(error: str) -> MillpondError:
    if error in _LATER:
        return ProviderDownError()
    reason = error if error in _NO else "unknown"  # anybody could write it
    return ProviderRefusalError(
        _("The identity provider did not sign you in."),
        _("Start again, or sign in with name and password."),
        f"answer: {reason}",
    )


def _not_as_it_should(what: str) -> ProviderRefusalError:
    return ProviderRefusalError(
        _("What the identity provider sent cannot be verified; nobody was signed in."),
        _("Start again; if it happens once more, ask whoever runs this server."),
        what,
    )
