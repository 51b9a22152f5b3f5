"""Accounts of people who come from the provider: found by its subject alone, made, and their roles and groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from services.core.actor import Actor, Role
from services.core.errors import BadInputError, ConflictError, MillpondError, NotFoundError
from services.core.i18n import _
from services.identity.identity import Identity
from services.identity.oidc.oidc_rules import OidcRules, ProviderRefusalError
from services.identity.oidc.provider_requests import printable
from services.identity.types import Person

log = structlog.get_logger(__name__)

MOST_GROUPS = 500
_NAMES = ("preferred_username", "email", "upn")


class ProvidedAccounts:
    """Keeps accounts as the provider says. Thread-safe.

    Nobody is ever found by name or e-mail: who can choose these at the provider would become somebody else.
    """

    def __init__(self, identity: Identity, rules: OidcRules) -> None:
        self._identity = identity
        self._rules = rules

    def entered(self, claims: Mapping[str, Any]) -> int:
        """Return the account of whom the claims tell of, made if that is allowed, with the roles and groups of now.

        Raises:
            ProviderRefusalError: there is no account, and none is made.
        """
        issuer, subject = self._rules.issuer, str(claims["sub"])
        groups = provided_groups(claims, self._rules.groups_claim) if self._rules.needs_groups else frozenset()
        actor = Actor(_("identity provider"), Role.ADMIN)
        with self._identity.changing:
            person_id = self._identity.links.at_provider(issuer, subject)
            if person_id is None:
                person_id = self._new(actor, claims, self._rules.role(groups) or Role.USER).id
                self._identity.links.link(actor, person_id, issuer, subject)
            else:
                self._follow_role(actor, person_id, self._rules.role(groups))
            if self._rules.groups:
                self._follow_groups(actor, person_id, groups)
        return person_id

    def link(self, actor: Actor, claims: Mapping[str, Any]) -> None:
        """Record who the one who asks is at the provider; errors as for `ProviderLinks.link_own`."""
        self._identity.links.link_own(actor, self._rules.issuer, str(claims["sub"]))

    def _new(self, actor: Actor, claims: Mapping[str, Any], role: Role) -> Person:
        subject = printable(claims["sub"], 255)
        name = next((each for key in _NAMES if isinstance(each := claims.get(key), str) and each.strip()), subject)
        if not self._rules.create:
            raise ProviderRefusalError(
                _("The identity provider knows you, but you have no account here."),
                _(
                    "Ask an administrator for one (your subject is {subject}); if you have one with a password, sign "
                    "in with it and link both on My account."
                ).format(subject=subject),
                _("no account for subject {subject}").format(subject=subject),
            )
        display = claims.get("name")
        try:
            return self._identity.accounts.add(
                actor, name, role, display_name=display[:200] if isinstance(display, str) else ""
            )
        except ConflictError as error:
            raise ProviderRefusalError(
                _("There is already an account named {name}; whether it is yours is not known.").format(
                    name=printable(name)
                ),
                _(
                    "Sign in to it with its password and link both on My account, or ask an administrator (your "
                    "subject is {subject})."
                ).format(subject=subject),
                _("the name is taken; subject {subject}").format(subject=subject),
            ) from error
        except BadInputError as error:
            raise ProviderRefusalError(error.message, _("Ask an administrator."), error.message) from error

    def _follow_role(self, actor: Actor, person_id: int, role: Role | None) -> None:
        if role is None:
            return
        try:
            self._identity.accounts.set_role(actor, person_id, role)
        except ConflictError as error:  # the last administrator: nobody could manage people any more
            log.warning("a role is not taken over from the identity provider", person=person_id, reason=str(error))

    def _follow_groups(self, actor: Actor, person_id: int, names: frozenset[str]) -> None:
        groups = self._identity.groups
        wanted = set()
        for name in sorted(name for name in names if self._rules.is_provided(name)):
            try:
                wanted.add(self._group(actor, name))
            except MillpondError as error:
                log.warning("a group of the identity provider is left out", group=printable(name), reason=str(error))
        for group in groups.all(actor):
            is_member = person_id in self._identity.directory.members(group.id)
            if group.id in wanted and not is_member:
                groups.add_member(actor, group.id, person_id)
            elif is_member and group.id not in wanted and self._rules.is_provided(group.name):
                groups.remove_member(actor, group.id, person_id)

    def _group(self, actor: Actor, name: str) -> int:
        try:
            return self._identity.groups.named(actor, name).id
        except NotFoundError:
            return self._identity.groups.add(actor, name).id


def provided_groups(claims: Mapping[str, Any], claim: str) -> frozenset[str]:
    """Return the groups that the claims list, without the slash that Keycloak puts before them.

    `claim` may be a path with dots, such as `realm_access.roles`.

    Raises:
        ProviderRefusalError: the provider left them out because they are too many.
    """
    found = claim_value(claims, claim)
    left_out = claims.get("_claim_names")
    if (found is None and isinstance(left_out, dict) and claim in left_out) or (
        isinstance(found, list) and len(found) > MOST_GROUPS
    ):
        raise ProviderRefusalError(
            _("You are in more groups than the identity provider can send; nobody was signed in."),
            _("Ask whoever runs it to send the groups of Millpond alone."),
            _("too many groups"),
        )
    listed = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    return frozenset(each.removeprefix("/") for each in listed if isinstance(each, str) and 0 < len(each) <= 200)


def claim_value(claims: Mapping[str, Any], claim: str) -> object:
    """Return a claim by its name, or by a path with dots; None if it is not there."""
    if claim in claims:
        return claims[claim]
    value: object = claims
    for part in claim.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
