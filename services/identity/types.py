"""What identity is about: people, groups, grants, sessions, API tokens, and their end."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from services.core.actor import AccessLevel, Actor, Role


class SignInWay(StrEnum):
    """How somebody showed who they are."""

    PASSWORD = "password"  # noqa: S105 - a word
    OIDC = "oidc"


class RevocationReason(StrEnum):
    """Why a session, a token or a right ended."""

    SIGNED_OUT = "signed out"
    ENDED = "ended"  # by somebody: one session, or all of a person
    EXPIRED = "expired"
    REVOKED = "revoked"  # an API token
    DISABLED = "disabled"
    DELETED = "deleted"
    PASSWORD = "password"  # noqa: S105 - it was changed, the other sessions ended
    ROLE = "role"  # the sessions go on with other permissions
    RIGHTS = "rights"  # the sessions go on with other rights on collections


# After these the sessions and tokens go on, with other rights; after all others they are no longer valid.
CHANGES_OF_RIGHTS = frozenset({RevocationReason.ROLE, RevocationReason.RIGHTS})


@dataclass(frozen=True, slots=True)
class Revocation:
    """What ended or was taken away.

    Attributes:
        person_id: whose; None: everybody's, as when a right of the group "everyone" was taken away.
        session_ids: the sessions and API tokens concerned (`Actor.session_id`); empty: all of that person.
        why: a `RevocationReason`.
    """

    person_id: int | None
    session_ids: frozenset[str]
    why: str

    @property
    def ends_sessions(self) -> bool:
        """Whether the sessions themselves ended, not only some of their rights."""
        return self.why not in CHANGES_OF_RIGHTS


@dataclass(frozen=True, slots=True)
class Person:
    """An account. Times are seconds since the epoch."""

    id: int
    name: str
    display_name: str
    role: Role
    disabled_at: float | None
    has_password: bool
    second_factor_since: float | None
    created_at: float
    last_sign_in: float | None


@dataclass(frozen=True, slots=True)
class ProviderLink:
    """Under which subject an OpenID Connect provider (`issuer`) knows somebody."""

    issuer: str
    subject: str


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """People who get grants together."""

    id: int
    name: str
    members: int


class GranteeKind(StrEnum):
    """Who can be granted a level of access."""

    PERSON = "person"
    GROUP = "group"
    EVERYONE = "everyone"


@dataclass(frozen=True, slots=True)
class Grantee:
    """Somebody who can be granted a level of access; `id` is 0 for everyone."""

    kind: GranteeKind
    id: int = 0

    @property
    def key(self) -> int:
        """One number for each: positive for people, negative for groups, 0 for everyone."""
        return -self.id if self.kind is GranteeKind.GROUP else self.id

    @classmethod
    def of_key(cls, key: int) -> Grantee:
        """Return whose key this is."""
        if key == 0:
            return EVERYONE
        return cls(GranteeKind.PERSON, key) if key > 0 else cls(GranteeKind.GROUP, -key)


EVERYONE = Grantee(GranteeKind.EVERYONE)


@dataclass(frozen=True, slots=True)
class Grant:
    """A level of access to a collection; `name` is the person's or group's, empty for everyone."""

    collection_id: int
    grantee: Grantee
    level: AccessLevel
    name: str = ""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as it is listed; its token is known to the browser alone."""

    id: str
    person_id: int
    created_at: float
    last_seen: float
    expires: float
    device: str
    address: str
    way: SignInWay


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """An API token as it is listed; of itself only the last four characters are known."""

    id: str
    person_id: int
    name: str
    last_four: str
    scopes: tuple[str, ...]
    created_at: float
    expires: float | None
    last_used: float | None
    revoked_at: float | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """An API token right after it was made: the only moment in which it is known."""

    token: str = field(repr=False)
    info: TokenInfo


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a sign-in gives.

    Attributes:
        token: the secret of the session, for its cookie.
        actor: who signed in.
        expires: when the session ends at the latest, in seconds since the epoch.
        known_device: a second secret for a long-lived cookie: whoever sends it with the next sign-in is not slowed down
            by the failures of others.
    """

    token: str = field(repr=False)
    actor: Actor
    expires: float
    known_device: str = field(default="", repr=False)
