"""What the settings say about the OpenID Connect provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from services.core.actor import Role
from services.core.errors import UnauthorizedError
from services.core.i18n import _
from services.core.networks import listed
from services.core.oidc_settings import PRECEDENCE, role_by_group
from services.core.outgoing import OutgoingRules
from services.core.settings import Settings


class ProviderRefusalError(UnauthorizedError):
    """Somebody who comes from the provider is not let in. `reason` is recorded in the audit log."""

    def __init__(self, message: str, hint: str, reason: str) -> None:
        super().__init__(message, hint)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class OidcRules:
    """The provider, who this console is to it, and what is taken over from it.

    Attributes:
        roles: roles by groups of the provider; empty: it changes no role.
        groups: beginnings of the names of groups that are taken over; "*" for all.
        create: whether somebody new gets an account.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: str
    groups_claim: str
    roles: Mapping[str, Role]
    groups: tuple[str, ...]
    create: bool
    outgoing: OutgoingRules

    @classmethod
    def of(cls, settings: Settings) -> OidcRules:
        """Return what the settings say."""
        scopes = settings.oidc_scopes.replace(",", " ").split()
        return cls(
            issuer=settings.oidc_issuer,
            client_id=settings.oidc_client_id,
            client_secret=settings.oidc_client_secret.get_secret_value(),
            scopes=" ".join(dict.fromkeys(["openid", *scopes])),
            groups_claim=settings.oidc_groups_claim,
            roles=role_by_group(settings.oidc_roles),
            groups=tuple(listed(settings.oidc_groups)),
            create=settings.oidc_create,
            outgoing=OutgoingRules.of(settings),
        )

    @property
    def needs_groups(self) -> bool:
        """Whether anything depends on the groups of the provider."""
        return bool(self.roles or self.groups)

    def role(self, groups: frozenset[str]) -> Role | None:
        """Return the role of somebody in these groups of the provider, None where it does not say."""
        if not self.roles:
            return None
        found = {role for group, role in self.roles.items() if group in groups}
        return next((role for role in PRECEDENCE if role in found), Role.USER)

    def is_provided(self, group: str) -> bool:
        """Return whether who is in a group of that name is for the provider to say."""
        return any(each == "*" or group.startswith(each) for each in self.groups)


def provider_label(settings: Settings) -> str:
    """Return what the button of the provider says."""
    if settings.oidc_label:
        return settings.oidc_label
    return _("Sign in with {provider}").format(provider=urlsplit(settings.oidc_issuer).hostname or "")
