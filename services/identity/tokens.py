"""API tokens of people: shown once, stored as a hash, limited by scopes and an end date."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from services.core.actor import SCOPES, Actor, Permission
from services.core.auditing import Action, Target, TargetKind
from services.core.database import Database
from services.core.errors import BadInputError, ConflictError, ForbiddenError, NotFoundError, UnauthorizedError
from services.core.i18n import _, listed
from services.core.memory_report import MemoryReport
from services.identity.ground import IdentityGround, require_own
from services.identity.name_rules import checked_name
from services.identity.recent import RecentRows
from services.identity.secret_text import PREFIX, digest, is_api_token, new_api_token
from services.identity.sessions import row_id
from services.identity.store.sessions import StoredToken, TokenStore
from services.identity.types import NewToken, Revocation, RevocationReason, TokenInfo

MOST_RECENT = 10_000  # tokens in memory, about 5 MB
MOST_PER_PERSON = 100  # that are valid
LONGEST_DAYS = 3650
_DAY = 86_400.0
_PREFIX = "t"  # of the ids of tokens: those of sessions differ


class ApiTokens:
    """Makes, finds and revokes API tokens. Thread-safe; a revoked one is not found any more when `revoke` returns."""

    def __init__(self, database: Database, ground: IdentityGround) -> None:
        self._store = TokenStore(database)
        self._ground = ground
        self._recent: RecentRows[StoredToken] = RecentRows(lambda: _("API tokens"), MOST_RECENT)

    def create(
        self, actor: Actor, person_id: int, name: str, scopes: Collection[str], days: float | None = None
    ) -> NewToken:
        """Return a new token of a person, valid for `days` or (None) until it is revoked.

        Raises:
            ForbiddenError: `actor` is somebody else and does not manage people, or comes by an API token.
            BadInputError: a scope does not exist, none is named, or the time is not possible.
            ConflictError: the person has very many already.
            NotFoundError: there is no such person.
        """
        if actor.scopes is not None:  # or a token with few scopes could make one with more
            raise ForbiddenError(
                _("An API token cannot make another one; nothing was changed."), _("Sign in and create it there.")
            )
        require_own(actor, person_id, _("Create an API token for somebody else"))
        chosen = _checked_scopes(scopes)
        shown = checked_name(name)
        if days is not None and not 0 < days <= LONGEST_DAYS:
            raise BadInputError(
                _("A token is valid for at most {count} days; nothing was changed.").format(count=LONGEST_DAYS),
                _("Choose a number of days, or none for a token without an end."),
            )
        with self._ground.changing:
            person = self._ground.person(person_id)
            now = self._ground.now()
            if sum(_is_valid(each, now) for each in self._store.all(person_id)) >= MOST_PER_PERSON:
                raise ConflictError(
                    _("{name} has {count} valid tokens already; nothing was changed.").format(
                        name=person.name, count=MOST_PER_PERSON
                    ),
                    _("Revoke those that are not used any more."),
                )
            token = new_api_token()
            stored = self._store.insert(
                sha256=digest(token),
                person_id=person_id,
                name=shown,
                last_four=token[-4:],
                scopes=" ".join(chosen),
                created_at=now,
                expires=None if days is None else now + days * _DAY,
            )
        self._record(actor, Action.TOKEN_CREATED, stored, " ".join(chosen))
        return NewToken(token, self._info(stored))

    def find(self, token: str) -> StoredToken:
        """Return a valid token and record that it is in use.

        Raises:
            UnauthorizedError: it is misspelt, not known, expired or revoked.
        """
        if not is_api_token(token):
            raise UnauthorizedError(
                _("This is not a complete API token: it has a typing error, or a part of it is missing."),
                _("An API token begins with {prefix}; copy it whole, or create a new one.").format(prefix=PREFIX),
            )
        stored = self._recent.get(digest(token), self._store.find)
        if stored is None:
            raise UnauthorizedError(_("There is no such API token."), _("Create a new one under My account."))
        if stored.revoked_at is not None:
            raise UnauthorizedError(_("This API token was revoked."), _("Create a new one under My account."))
        now = self._ground.now()
        if not _is_valid(stored, now):
            raise UnauthorizedError(_("This API token has expired."), _("Create a new one under My account."))
        self._recent.touch(stored.id, now)
        return stored

    def of_person(self, actor: Actor, person_id: int) -> list[TokenInfo]:
        """Return the tokens of a person, the newest first.

        Raises:
            ForbiddenError: `actor` is somebody else and does not manage people.
        """
        require_own(actor, person_id, _("See the API tokens of somebody else"))
        return [self._info(stored) for stored in self._store.all(person_id)]

    def all(self, actor: Actor) -> list[TokenInfo]:
        """Return everybody's tokens, the newest first.

        Raises:
            ForbiddenError: `actor` does not manage people.
        """
        actor.require(Permission.PEOPLE, _("See the API tokens of others"))
        return [self._info(stored) for stored in self._store.all()]

    def revoke(self, actor: Actor, token_id: str, person_id: int) -> TokenInfo:
        """Revoke a token of a person; one that was revoked before stays so.

        Raises:
            NotFoundError: there is no such token, or it is somebody else's.
        """
        number = row_id(token_id, _PREFIX)
        stored = self._store.get(number) if number else None
        known = actor.person_id == person_id or actor.may(Permission.PEOPLE)
        if stored is None or stored.person_id != person_id or not known:
            raise NotFoundError(_("There is no such API token."), _("Choose one of the list."))
        require_own(actor, stored.person_id, _("Revoke an API token of somebody else"))
        ended = _ended([stored])
        if self._store.revoke(stored.id, self._ground.now(), ended):
            self._recent.remove(lambda each: each.id == stored.id)
            self._ground.revocations.call_listeners(ended)
            self._record(actor, Action.TOKEN_REVOKED, stored)
        return self._info(self._store.get(stored.id) or stored)

    def drop(self, person_id: int) -> int:
        """Revoke all tokens of a person, without asking who wants that; return how many."""
        now = self._ground.now()
        found = [each for each in self._store.all(person_id) if self._store.revoke(each.id, now, _ended([each]))]
        self.forget(person_id)
        if found:
            self._ground.revocations.call_listeners(_ended(found))
        return len(found)

    def forget(self, person_id: int) -> None:
        """Forget what is in memory of a person."""
        self._recent.remove(lambda stored: stored.person_id == person_id)

    def follow(self, ended: Revocation) -> None:
        """Forget what is in memory of tokens that were revoked at another node."""
        if ended.session_ids:
            self._recent.remove(lambda stored: token_name(stored) in ended.session_ids)
        elif ended.ends_sessions and ended.person_id is not None:
            self.forget(ended.person_id)

    def forget_all(self) -> None:
        """Read every token anew with its next use: this node has missed what others revoked."""
        self._recent.clear()

    def write_times(self) -> None:
        """Write when tokens were last used; called about once a minute."""
        times = self._recent.pending()
        self._store.write_last_used(times)
        self._recent.written(times.items())

    def memory_report(self) -> MemoryReport:
        """Return what is kept in memory."""
        return self._recent.memory_report()

    def _info(self, stored: StoredToken) -> TokenInfo:
        used = self._recent.last_use(stored.id, stored.last_used or 0.0)
        return TokenInfo(
            id=token_name(stored),
            person_id=stored.person_id,
            name=stored.name,
            last_four=stored.last_four,
            scopes=tuple(stored.scopes.split()),
            created_at=stored.created_at,
            expires=stored.expires,
            last_used=used or None,
            revoked_at=stored.revoked_at,
        )

    def _record(self, actor: Actor, action: Action, stored: StoredToken, detail: str = "") -> None:
        person = self._ground.directory.person(stored.person_id)
        whose = person.name if person is not None else ""
        detail = f"{whose}: {stored.name} …{stored.last_four} {detail}".strip()
        self._ground.audit.audit(
            actor, action, Target(TargetKind.TOKEN, token_name(stored), stored.name), detail=detail
        )


def token_name(stored: StoredToken) -> str:
    """Return the id under which a token is known: no session has it."""
    return f"{_PREFIX}{stored.id}"


def token_permissions(stored: StoredToken) -> frozenset[Permission]:
    """Return what a token is limited to."""
    return frozenset(permission for name in stored.scopes.split() for permission in SCOPES.get(name, ()))


def _checked_scopes(scopes: Collection[str]) -> list[str]:
    unknown = [name for name in scopes if name not in SCOPES]
    if unknown or not scopes:
        raise BadInputError(
            _("There is no scope named {name}.").format(name=unknown[0][:50])
            if unknown
            else _("An API token needs a scope; nothing was changed."),
            _("There are: {names}.").format(names=listed(SCOPES)),
        )
    return [name for name in SCOPES if name in scopes]


def _ended(tokens: Sequence[StoredToken]) -> Revocation:
    """Return what the end of some tokens of one person means."""
    return Revocation(tokens[0].person_id, frozenset(map(token_name, tokens)), RevocationReason.REVOKED)


def _is_valid(stored: StoredToken, now: float) -> bool:
    return stored.revoked_at is None and (stored.expires is None or now < stored.expires)
