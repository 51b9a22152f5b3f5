"""The face of identity: who asks, by session, API token or the machine itself; signing in and out."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from services.core.actor import NOBODY, AccessLevel, Actor, Permission, Role
from services.core.auditing import Action, AuditOutcome, AuditSink, Target, TargetKind
from services.core.database import Database
from services.core.errors import BusyError, UnauthorizedError, UnavailableError
from services.core.i18n import _, joined
from services.core.memory_report import MemoryReport
from services.core.preferences import Preferences
from services.core.secret_box import SecretBox
from services.identity.accounts import Accounts
from services.identity.attempts import AllowedAttempt, Attempts, SlowedDownError
from services.identity.change_lock import ChangeLock
from services.identity.devices import KnownDevices, device_words
from services.identity.directory import Directory, Known
from services.identity.failures import Failures, OwnFailures
from services.identity.ground import IdentityGround
from services.identity.groups import Groups
from services.identity.kept_key import key_of_nodes
from services.identity.links import ProviderLinks
from services.identity.name_rules import name_key
from services.identity.own_account import OwnAccount
from services.identity.passwords import PasswordHasher
from services.identity.revocations import Revocations
from services.identity.second_factor import SecondFactors
from services.identity.sessions import SessionLimits, Sessions, session_name
from services.identity.sharing import Sharing
from services.identity.sign_in_errors import (
    SecondFactorNeededError,
    SignInOverError,
    disabled,
    wrong_code,
    wrong_password,
)
from services.identity.sign_in_steps import SignInSteps
from services.identity.store.grants import GrantStore
from services.identity.store.people import Credentials, PeopleStore
from services.identity.store.sessions import StoredSession
from services.identity.store.told_revocations import RevocationStore, revocation_of
from services.identity.tokens import ApiTokens, token_name, token_permissions
from services.identity.types import Revocation, RevocationReason, SignedIn, SignInWay
from services.identity.usage import Usage

LOCAL = "local"  # the name of whoever uses the machine itself
_FLOW_KEY = "identity: key of sign-ins at the provider"
_FAILURE_KEY = "identity: key of the hashes of failed sign-ins"
_STEP_KEY = "identity: key of sign-ins between password and code"
_LONGEST_NAME = 400  # what is longer belongs to nobody, and need not be normalized


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """What the settings say."""

    session_limits: SessionLimits = field(default_factory=SessionLimits)
    new_collections: AccessLevel = AccessLevel.NONE
    providers: bool = False  # people can come from an OIDC provider


class Identity:
    """Accounts, groups and grants, and who asks. Thread-safe.

    The parts: `accounts` and `groups` (for those who manage people), `sharing` (grants on collections), `account`
    (one's own), `links` (with a provider), `sessions`, `tokens`, `usage`.
    """

    def __init__(
        self,
        database: Database,
        preferences: Preferences,
        box: SecretBox,
        audit: AuditSink,
        rules: IdentityRules,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        collections: Callable[[], Iterable[int]] = lambda: (),
        hasher: PasswordHasher | None = None,
    ) -> None:
        """Read who there is; `collections` returns the ids of the collections that exist."""
        people, grants = PeopleStore(database), GrantStore(database)
        self._rules = rules
        self._people = people
        self._local_token = ""
        self._database = database
        self._preferences = preferences
        self._revocations = Revocations(RevocationStore(database))
        self.directory = Directory(people, grants)
        self._hasher = hasher or PasswordHasher()
        self.changing = ChangeLock(database, self.directory)
        ground = self._ground = IdentityGround(
            people, grants, self.directory, self._hasher, audit, self._revocations, now, self.changing
        )
        failures = self._failures = _counted(database, preferences, monotonic)
        self._steps = SignInSteps(key_of_nodes(database, preferences, _STEP_KEY), failures, now)
        self._devices = KnownDevices(preferences)
        self._factors = SecondFactors(people, box, now)
        self.sharing = Sharing(ground, new_collections=rules.new_collections, collections=collections)
        self.sessions = Sessions(database, ground, rules.session_limits)
        self._attempts = Attempts(monotonic, failures, self.sessions.places)
        self.tokens = ApiTokens(database, ground)
        self.groups = Groups(ground)
        self.usage = Usage(database, now)
        self.links = ProviderLinks(ground)
        self.accounts = Accounts(
            ground, self.sessions, self.tokens, before_first=self.sharing.share_everything, providers=rules.providers
        )
        self.account = OwnAccount(ground, self.sessions, self._factors, self._attempts)

    @property
    def open_mode(self) -> bool:
        """Whether nobody has to sign in: there are neither accounts nor a provider."""
        return not self._rules.providers and not self.directory.snapshot.people

    def local_actor(self) -> Actor:
        """Return who somebody at this machine is while there are no accounts: an administrator."""
        return Actor(LOCAL, Role.ADMIN)

    def command_line(self) -> Actor:
        """Return who a command on this machine is: whoever can read the data folder owns it."""
        return Actor(_("command line"), Role.ADMIN)

    def by_session(self, token: str) -> Actor | None:
        """Return who a session belongs to; None: it has ended, or never was."""
        return self._of_session(self.sessions.find(token))

    def by_session_id(self, session_id: str, *, used: bool = False) -> Actor | None:
        """Return who a session belongs to, for those who were told of it before: the pages of an open tab.

        None: it has ended. `used` is whether its person does something with it now, so that it does not end as idle.
        """
        return self._of_session(self.sessions.find_by_id(session_id, used=used))

    def _of_session(self, session: StoredSession | None) -> Actor | None:
        if session is None:
            return None
        person = self.directory.person(session.person_id)
        if person is None or person.disabled:
            return None
        return self._actor(person, session_name(session))

    def by_api_token(self, token: str, address: str) -> Actor:
        """Return who an API token belongs to, limited to its scopes; the token of this machine: the administrator.

        Raises:
            UnauthorizedError: it is misspelt, not known, expired, revoked, or its person is disabled.
            SlowedDownError: as before, after many wrong ones from that address; the right one is never refused.
        """
        if (local := self.by_local_token(token)) is not None:
            return local
        try:
            stored = self.tokens.find(token)
            person = self._enabled(stored.person_id)
        except UnauthorizedError:
            seconds = self._attempts.failed_token(address)
            if seconds > 0:
                raise SlowedDownError(seconds) from None
            raise
        return self._actor(person, token_name(stored), token_permissions(stored))

    def by_local_token(self, token: str) -> Actor | None:
        """Return the administrator at the command line if this is the token in the data folder, else None."""
        known = self._local_token
        right = bool(known) and hmac.compare_digest(_digestible(token), _digestible(known))
        return self.command_line() if right else None

    def sign_in(
        self, name: str, password: str, code: str = "", *, address: str, device: str, known_device: str = ""
    ) -> SignedIn:
        """Open a session for somebody who knows name, password and, where there is one, a code of the second factor.

        Takes some 30 ms of a core, and waits for those who came before: to be called in a thread.

        Args:
            name: as typed.
            password: as typed.
            code: of the authenticator, or a recovery code; "" before it is asked for.
            address: the client's.
            device: its header `User-Agent`.
            known_device: `SignedIn.known_device` of an earlier sign-in.

        Raises:
            UnauthorizedError: name, password or code is wrong, or the account is disabled.
            SecondFactorNeededError: the password is right, a code is needed.
            SlowedDownError: there were many failures.
            BusyError: too many sign in at this moment.
            UnavailableError: the database does not answer.
        """
        key = name_key(name[:_LONGEST_NAME])
        credentials = self._people.credentials(key)
        person_id = credentials.person_id if credentials is not None else None
        known = self._devices.device(known_device, person_id)
        turn = self._attempts.require_turn(key, address, person_id=person_id, device=known)
        stored = credentials.password if credentials is not None else None
        right = self._hasher.verify(stored, password, favoured=turn.favoured)
        if credentials is None or not right:
            raise self._failure(turn, person_id, _("wrong password"), wrong_password())
        if credentials.disabled:
            raise self._failure(turn, person_id, _("the account is disabled"), disabled())
        if credentials.totp_secret is not None:
            if not code.strip():
                raise SecondFactorNeededError(self._steps.begin(name, password))
            if not self._factors.accepts(credentials, code):
                raise self._failure(turn, person_id, _("wrong code"), wrong_code())
        self._attempts.succeeded(turn)
        self._attempts.remember(credentials.person_id, address)
        self._rehash(credentials, password)
        return self.open_session(
            credentials.person_id, way=SignInWay.PASSWORD, address=address, device=device, known_device=known_device
        )

    def continue_sign_in(self, step: str, code: str, *, address: str, device: str, known_device: str = "") -> SignedIn:
        """Open a session with what `SecondFactorNeededError` brought, at whichever node; arguments as for `sign_in`.

        Raises:
            SignInOverError: that took too long, or there were too many wrong codes.
            UnauthorizedError: as for `sign_in`, and whatever else that raises.
        """
        known = self._steps.find(step)
        if known is None:
            raise SignInOverError(_("That took too long, or there were too many wrong codes."), _("Start again."))
        try:
            entered = code.strip() or "-"
            signed_in = self.sign_in(*known, entered, address=address, device=device, known_device=known_device)
        except UnauthorizedError:
            self._steps.failed(step)
            raise
        self._steps.end(step)
        return signed_in

    def open_session(
        self, person_id: int, *, way: SignInWay, address: str, device: str, known_device: str = ""
    ) -> SignedIn:
        """Open a session for somebody who was authenticated; arguments as for `sign_in`.

        Raises:
            UnauthorizedError: there is no such person, or the account is disabled.
        """
        person = self._enabled(person_id)
        words = device_words(device)
        token, session = self.sessions.open(person_id, address=address, device=words, way=way)
        self._people.update(person_id, last_sign_in=session.created_at)
        # Disabled or deleted while the session was opened: then it was not among those that ended.
        self.directory.refresh()
        actor = self.by_session(token)
        if actor is None:
            self.sessions.sign_out(session_name(session))
            raise disabled()
        self._ground.audit.audit(actor, Action.SIGN_IN, _target(person), detail=joined((way.value, words), ", "))
        proof = known_device if self._devices.device(known_device, person_id) else self._devices.prove(person_id)
        return SignedIn(token, actor, self.sessions.expires(session), proof)

    def sign_in_refused(self, person_id: int | None, reason: str) -> None:
        """Record that somebody who came another way than by password was not let in."""
        person = self.directory.person(person_id) if person_id is not None else None
        target = _target(person) if person is not None else Target(TargetKind.PERSON)
        self._ground.audit.audit(NOBODY, Action.SIGN_IN_FAILED, target, AuditOutcome.REFUSED, reason)

    def sign_out(self, session_id: str) -> None:
        """End the session (`Actor.session_id`) because its person wants to; nothing happens if it has ended."""
        self.sessions.sign_out(session_id)

    def on_revoked(self, listener: Callable[[Revocation], None]) -> None:
        """Have `listener` called, at once and in any thread, when a session, a token or a right ends."""
        self._revocations.add_listener(listener)

    def accept_local_token(self, token: str) -> None:
        """Let this token, which lies in the data folder, stand for the local administrator; "" for none."""
        self._local_token = token

    def write_times(self) -> None:
        """Write when sessions and tokens were last used and what people used, and end sessions whose time is over.

        Called once a minute.
        """
        self.sessions.write_times()
        self.tokens.write_times()
        self.usage.write()
        self._failures.delete_old()
        self._factors.delete_old()
        self._revocations.write_untold()

    def flow_key(self) -> bytes:
        """Return the key of sign-ins under way at a provider: of several nodes the same, else this process's own.

        Raises:
            StorageError: it cannot be stored.
        """
        return key_of_nodes(self._database, self._preferences, _FLOW_KEY)()

    def follow_revoked(self, told: Sequence[Mapping[str, Any]]) -> None:
        """End at this node what ended at others (`Topic.REVOKED`); nobody else is told."""
        for content in told:
            revocation = revocation_of(content)
            self.sessions.follow(revocation)
            self.tokens.follow(revocation)
            self._revocations.call_listeners(revocation)

    def read_anew(self) -> None:
        """Read everything anew: what this node knew may be wrong, and it is told later what others ended."""
        self.directory.load()
        self.sessions.forget_all()
        self.tokens.forget_all()

    def miss_revocations(self) -> None:
        """Read everything anew, and have everybody's pages do so: this node is not told what others ended."""
        self.read_anew()
        self._revocations.call_listeners(Revocation(None, frozenset(), RevocationReason.RIGHTS))

    @property
    def hashes(self) -> int:
        """How many passwords were hashed; see `PasswordHasher.hashes`."""
        return self._hasher.hashes

    def reseal(self) -> int:
        """Encrypt the secrets of second factors with the first key; return how many cannot be decrypted."""
        return self._factors.reseal()[1]

    def memory_reports(self) -> list[MemoryReport]:
        """Return what is kept in memory, and the password hash that is being computed."""
        return [
            self.directory.memory_report(),
            self.sessions.memory_report(),
            self.tokens.memory_report(),
            *self._hasher.memory_reports(),
        ]

    def _enabled(self, person_id: int) -> Known:
        person = self.directory.person(person_id)
        if person is None or person.disabled:
            raise disabled()
        return person

    def _actor(self, person: Known, session_id: str, scopes: frozenset[Permission] | None = None) -> Actor:
        def refused(action: str) -> None:
            self._ground.audit.audit(None, Action.PERMISSION_REFUSED, _target(person), AuditOutcome.REFUSED, action)

        return Actor(
            person.name,
            person.role,
            refused,
            person_id=person.id,
            scopes=scopes,
            rights=self.directory.rights(person.id),
            session_id=session_id,
        )

    def _failure(
        self, attempt: AllowedAttempt, person_id: int | None, reason: str, error: UnauthorizedError
    ) -> UnauthorizedError:
        """Record a sign-in that failed, and return the error.

        A name that does not exist is not recorded: it may be a password that was typed into the wrong field.
        """
        self._attempts.failed(attempt)
        person = self.directory.person(person_id) if person_id is not None else None
        self._ground.audit.audit(
            NOBODY,
            Action.SIGN_IN_FAILED,
            _target(person) if person is not None else Target(TargetKind.PERSON),
            AuditOutcome.REFUSED,
            reason if person is not None else _("no account has this name"),
        )
        return error

    def _rehash(self, credentials: Credentials, password: str) -> None:
        """Store the password with the parameters of now, if it was hashed with others."""
        if credentials.password is not None and self._hasher.needs_rehash(credentials.password):
            with suppress(BusyError, UnavailableError):  # the next sign-in does it
                self._people.update(credentials.person_id, password=self._hasher.hash(password))


def _counted(database: Database, preferences: Preferences, monotonic: Callable[[], float]) -> Failures:
    """Return where failures are counted: by several nodes together, else in this process."""
    if not database.node:
        return OwnFailures(monotonic)
    from services.identity.store.shared_failures import SharedFailures

    return SharedFailures(database, key_of_nodes(database, preferences, _FAILURE_KEY))


def _digestible(token: str) -> bytes:
    """Return the bytes of what a client sent as a token."""
    return token.encode("utf-8", "surrogatepass")


def _target(person: Known) -> Target:
    return Target(TargetKind.PERSON, person.id, person.name)
