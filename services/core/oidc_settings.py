"""The settings of an OpenID Connect provider that people sign in with."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from services.core.actor import Role
from services.core.networks import listed

HERE = frozenset({"localhost", "127.0.0.1", "::1"})
# Where somebody has several, the first of these counts.
PRECEDENCE = (Role.ADMIN, Role.OPERATOR, Role.AUDITOR, Role.USER)


class OidcSettings(BaseSettings):
    """Part of `Settings`; docs/sign-in.md says what they are at common providers."""

    oidc_issuer: str = Field(
        "",
        description="Issuer of the OpenID Connect provider that people sign in with, such as "
        "https://id.example.org/realms/main; empty: none. See docs/sign-in.md",
    )
    oidc_client_id: str = Field("", description="Name under which the provider knows this console")
    oidc_client_secret: SecretStr = Field(
        SecretStr(""), description="Secret that the provider gave for it; empty: a public client (PKCE alone)"
    )
    oidc_label: str = Field("", description="What the button on the sign-in page says; empty: the provider's host")
    oidc_scopes: str = Field("openid profile email groups", description="Scopes that the provider is asked for")
    oidc_groups_claim: str = Field("groups", description="Claim in which the provider lists a person's groups")
    oidc_roles: str = Field(
        "",
        description="Roles by groups of the provider, such as millpond-admins=admin, millpond-ops=operator: at each "
        "sign-in the highest counts, without one a person is a user; empty: the provider changes no role",
    )
    oidc_groups: str = Field(
        "",
        description="Groups of the provider that are groups here: beginnings of their names, separated by commas, or "
        "*; who is in them is taken over at each sign-in. Empty: none",
    )
    oidc_create: bool = Field(
        False, description="Create an account for people who come from the provider for the first time"
    )
    oidc_redirect_uri: str = Field(
        "",
        description="Address of the way back, as registered at the provider; empty: the address that the browser used, "
        "with the base path and /sign-in/oidc/callback",
    )

    @field_validator("oidc_issuer", "oidc_redirect_uri")
    @classmethod
    def _is_safe_address(cls, value: str) -> str:
        """Refuse an address over which sign-ins could be read or answered by somebody on the way."""
        parts = urlsplit(value)
        safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in HERE)
        if value and not (
            safe and parts.hostname and not parts.query and not parts.fragment and "@" not in parts.netloc
        ):
            raise ValueError("must begin with https:// (http:// on this machine alone), without ? and #")
        return value

    @field_validator("oidc_roles")
    @classmethod
    def _are_roles(cls, value: str) -> str:
        """Refuse what gives no role to a group."""
        role_by_group(value)
        return value

    @model_validator(mode="after")
    def _has_client(self) -> OidcSettings:
        """Refuse a provider that cannot know who asks it."""
        if self.oidc_issuer and not self.oidc_client_id:
            raise ValueError("oidc_issuer needs oidc_client_id, the name under which the provider knows this console")
        return self


def role_by_group(value: str) -> Mapping[str, Role]:
    """Return the role of each group of the provider in a list such as `millpond-admins=admin, millpond-ops=operator`.

    Raises:
        ValueError: an entry is none.
    """
    roles = {}
    for entry in listed(value):
        group, separator, role = entry.rpartition("=")
        if not (separator and group.strip() and role.strip() in set(Role)):
            raise ValueError(f"{entry[:60]} gives no role ({', '.join(Role)}) to a group, as group=role does")
        roles[group.strip()] = Role(role.strip())
    return roles
