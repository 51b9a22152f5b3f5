"""Sessions: opened by a sign-in, found by their token with every request, ended by time or by somebody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.core.actor import Actor, Permission
from services.core.auditing import Action, Target, TargetKind
from services.core.database import Database
from services.core.errors import NotFoundError
from services.core.i18n import _, plural
from services.core.memory_report import MemoryReport
from services.identity.ground import IdentityGround, require_own
from services.identity.recent import RecentRows
from services.identity.revocations import revocations_of
from services.identity.secret_text import digest, new_session_token
from services.identity.store.sessions import SessionStore, StoredSession
from services.identity.types import Revocation, RevocationReason, SessionInfo, SignInWay

MOST_RECENT = 10_000  # sessions in memory, about 5 MB
MOST_PER_PERSON = 50
WRITE_SECONDS = 60.0  # between two calls of `write_times`
_PREFIX = "s"  # of the ids of sessions: those of API tokens differ
_TOKEN_CHARACTERS = 43


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """After how many seconds without use, and in all, a session ends."""

    idle_seconds: float = 12 * 3600.0
    seconds: float = 14 * 86_400.0


class Sessions:
    """Opens, finds and ends sessions. Thread-safe; one that was ended is not found any more when `end` returns."""

    def __init__(self, database: Database, ground: IdentityGround, limits: SessionLimits) -> None:
        self._database = database
        self._store = SessionStore(database)
        self._ground = ground
        self._limits = limits
        self._recent: RecentRows[StoredSession] = RecentRows(lambda: _("Sessions of people"), MOST_RECENT)

    def open(self, person_id: int, *, address: str, device: str, way: SignInWay) -> tuple[str, StoredSession]:
        """Return the token of a new session, and the session; of very many of a person the oldest end."""
        now = self._ground.now()
        token = new_session_token()
        session = self._store.insert(
            sha256=digest(token),
            person_id=person_id,
            created_at=now,
            last_seen=now,
            device=device,
            address=address[:100],
            way=way.value,
        )
        self._recent.add(session)
        self._end(self._store.of_person(person_id)[MOST_PER_PERSON:], RevocationReason.ENDED)
        return token, session

    def find(self, token: str) -> StoredSession | None:
        """Return the session of a token, if it is still valid, and record that it is in use."""
        if len(token) != _TOKEN_CHARACTERS:
            return None
        return self._checked(self._recent.get(digest(token), self._store.find), used=True)

    def find_by_id(self, session_id: str, *, used: bool) -> StoredSession | None:
        """Return a session that is still valid; `used` is whether its person does something with it now."""
        number = row_id(session_id, _PREFIX)
        found = (self._recent.by_id(number) or self._store.get(number)) if number else None
        return self._checked(found, used=used)

    def is_by_provider(self, session_id: str) -> bool:
        """Return whether somebody came from an identity provider for a session that is still valid."""
        session = self.find_by_id(session_id, used=False)
        return session is not None and session.way == SignInWay.OIDC.value

    def _checked(self, session: StoredSession | None, *, used: bool) -> StoredSession | None:
        now = self._ground.now()
        if session is not None and self._database.node and now >= self._end_of(session):
            # It may have been used at another node.
            number, sha256 = session.id, session.sha256
            self._recent.remove(lambda each: each.id == number)
            session = self._recent.get(sha256, self._store.find)
        if session is None:
            return None
        if now >= self._end_of(session):
            self._end([session], RevocationReason.EXPIRED)
            return None
        if used:
            self._recent.touch(session.id, now)
        return session

    def _end_of(self, session: StoredSession) -> float:
        """Return when a session ends if it is not used any more."""
        return min(self.expires(session), self._last_seen(session) + self._idle_seconds)

    @property
    def _idle_seconds(self) -> float:
        """After how many seconds without use a session ends; another node may not have written its last use yet."""
        return self._limits.idle_seconds + (WRITE_SECONDS if self._database.node else 0.0)

    def expires(self, session: StoredSession) -> float:
        """Return when a session ends at the latest, in seconds since the epoch."""
        return session.created_at + self._limits.seconds

    def of_person(self, actor: Actor, person_id: int) -> list[SessionInfo]:
        """Return the sessions of a person, the newest first.

        Raises:
            ForbiddenError: `actor` is somebody else and does not manage people.
        """
        require_own(actor, person_id, _("See the sessions of somebody else"))
        return [self._info(session) for session in self._valid(person_id)]

    def end(self, actor: Actor, session_id: str, person_id: int) -> None:
        """End one session of a person.

        Raises:
            NotFoundError: there is no such session, or it is somebody else's.
            ForbiddenError: it was asked for with an API token.
        """
        session = self._get(session_id)
        if session is None or session.person_id != person_id or not _may_know(actor, person_id):
            raise NotFoundError(_("There is no such session."), _("It may have ended by itself."))
        require_own(actor, session.person_id, _("End a session of somebody else"))
        self._end([session], RevocationReason.ENDED)
        self._record(actor, Action.SESSION_ENDED, session.person_id, self._device(session), session_id)

    def end_all(self, actor: Actor, person_id: int, *, but: str = "") -> int:
        """End the sessions of a person, but that one; return how many.

        Raises:
            ForbiddenError: `actor` is somebody else and does not manage people.
        """
        require_own(actor, person_id, _("End the sessions of somebody else"))
        ended = self.drop(person_id, RevocationReason.ENDED, but=but)
        detail = plural("{count} session", "{count} sessions", ended)
        self._record(actor, Action.SESSION_ENDED, person_id, detail)
        return ended

    def sign_out(self, session_id: str) -> None:
        """End a session because its person wants to; nothing happens if it has ended already."""
        session = self._get(session_id)
        if session is not None:
            self._end([session], RevocationReason.SIGNED_OUT)
            person = self._ground.directory.person(session.person_id)
            name = person.name if person is not None else ""
            self._ground.audit.audit(None, Action.SIGN_OUT, Target(TargetKind.PERSON, session.person_id, name))

    def drop(self, person_id: int, why: RevocationReason, *, but: str = "") -> int:
        """End all sessions of a person but that one, without asking who wants that; return how many."""
        found = [session for session in self._store.of_person(person_id) if session_name(session) != but]
        self._end(found, why)
        return len(found)

    def forget(self, person_id: int) -> None:
        """Forget what is in memory of a person who is gone."""
        self._recent.remove(lambda session: session.person_id == person_id)

    def follow(self, ended: Revocation) -> None:
        """Forget what is in memory of sessions that ended at another node."""
        if ended.session_ids:
            self._recent.remove(lambda session: session_name(session) in ended.session_ids)
        elif ended.ends_sessions and ended.person_id is not None:
            self.forget(ended.person_id)

    def forget_all(self) -> None:
        """Read every session anew with its next use: this node has missed what others ended."""
        self._recent.clear()

    def write_times(self) -> None:
        """Write when sessions were last seen, and end those whose time is over; called about once a minute."""
        times = self._recent.pending()
        self._store.write_last_seen(times)
        self._recent.written(times.items())
        now = self._ground.now()
        self._end(self._store.expired(now - self._limits.seconds, now - self._idle_seconds), RevocationReason.EXPIRED)

    def places(self, person_id: int) -> Iterable[str]:
        """Return the addresses from which a person's sessions were opened, at whichever node."""
        return self._store.places(person_id)

    def memory_report(self) -> MemoryReport:
        """Return what is kept in memory."""
        return self._recent.memory_report()

    def _get(self, session_id: str) -> StoredSession | None:
        number = row_id(session_id, _PREFIX)
        return self._store.get(number) if number else None

    def _valid(self, person_id: int) -> list[StoredSession]:
        now = self._ground.now()
        return [session for session in self._store.of_person(person_id) if now < self._end_of(session)]

    def _last_seen(self, session: StoredSession) -> float:
        return self._recent.last_use(session.id, session.last_seen)

    def _end(self, sessions: Sequence[StoredSession], why: RevocationReason) -> None:
        if not sessions:
            return
        ids = {session.id for session in sessions}
        ended = revocations_of(((session.person_id, session_name(session)) for session in sessions), why)
        self._store.delete(sorted(ids), ended)
        self._recent.remove(lambda session: session.id in ids)
        for revocation in ended:
            self._ground.revocations.call_listeners(revocation)

    def _info(self, session: StoredSession) -> SessionInfo:
        return SessionInfo(
            id=session_name(session),
            person_id=session.person_id,
            created_at=session.created_at,
            last_seen=self._last_seen(session),
            expires=self.expires(session),
            device=session.device,
            address=session.address,
            way=SignInWay(session.way),
        )

    @staticmethod
    def _device(session: StoredSession) -> str:
        return ", ".join(part for part in (session.device, session.address) if part)

    def _record(self, actor: Actor, action: Action, person_id: int, detail: str, session_id: str = "") -> None:
        person = self._ground.directory.person(person_id)
        name = person.name if person is not None else ""
        self._ground.audit.audit(actor, action, Target(TargetKind.SESSION, session_id, name), detail=detail)


def session_name(session: StoredSession) -> str:
    """Return the id under which a session is known outside: not its token, and no token's id."""
    return f"{_PREFIX}{session.id}"


def row_id(name: str, prefix: str) -> int:
    """Return the row's id for a name of a session or token, 0 if it is none."""
    digits = name.removeprefix(prefix)
    if not name.startswith(prefix) or not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        return 0
    return int(digits)


def _may_know(actor: Actor, person_id: int) -> bool:
    """Return whether somebody may learn which sessions a person has."""
    return actor.person_id == person_id or actor.may(Permission.PEOPLE)
