"""Accounts as those who manage people see them: made, changed, disabled, deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from services.core.actor import Actor, Permission, Role
from services.core.auditing import Action, Target, TargetKind
from services.core.errors import BadInputError, ConflictError, NotFoundError
from services.core.i18n import _, listed, plural
from services.identity.ground import IdentityGround, person_not_found
from services.identity.name_rules import checked_name, name_key
from services.identity.passwords import check_password
from services.identity.sessions import Sessions
from services.identity.tokens import ApiTokens
from services.identity.types import Person, RevocationReason

LONGEST_DISPLAY_NAME = 200


class Accounts:
    """Makes, changes and deletes accounts. Thread-safe; a change counts for every request when its method returns."""

    def __init__(
        self,
        ground: IdentityGround,
        sessions: Sessions,
        tokens: ApiTokens,
        *,
        before_first: Callable[[], None] = lambda: None,
        providers: bool = False,
    ) -> None:
        """`before_first` is called before the first account is made; `providers`: people may come from one, too."""
        self._ground = ground
        self._sessions = sessions
        self._tokens = tokens
        self._before_first = before_first
        self._providers = providers
        self._on_first: list[Callable[[Person], None]] = []
        self._on_delete: list[Callable[[Person], None]] = []

    def on_first(self, inherit: Callable[[Person], None]) -> None:
        """Have `inherit` called with the first account: what belonged to nobody becomes theirs."""
        self._on_first.append(inherit)

    def on_delete(self, erase: Callable[[Person], None]) -> None:
        """Have `erase` called for each person who is deleted: their conversations are erased there."""
        self._on_delete.append(erase)

    def all(self, actor: Actor) -> list[Person]:
        """Return everybody by name.

        Raises:
            ForbiddenError: `actor` does not manage people.
        """
        actor.require(Permission.PEOPLE, _("See the accounts"))
        return self._ground.people.all()

    def get(self, actor: Actor, person_id: int) -> Person:
        """Return an account, one's own or (for those who manage people) another one.

        Raises:
            ForbiddenError, NotFoundError: as the other methods.
        """
        if actor.person_id != person_id:
            actor.require(Permission.PEOPLE, _("See the account of somebody else"))
        return self._ground.person(person_id)

    def named(self, actor: Actor, name: str) -> Person:
        """Return the account of that name; errors as for `get`."""
        actor.require(Permission.PEOPLE, _("See the account of somebody else"))
        found = self._ground.people.id_of(name_key(name))
        if found is None:
            raise NotFoundError(
                _("There is no account named {name}.").format(name=name[:100]),
                _("`millpond users list` shows who there is."),
            )
        return self._ground.person(found)

    def add(
        self,
        actor: Actor,
        name: str,
        role: Role | None = None,
        *,
        password: str | None = None,
        display_name: str = "",
    ) -> Person:
        """Return a new account; without a password it can be signed in to by a provider or API tokens alone.

        Without a `role` the first account is an administrator, others are users.

        Raises:
            ForbiddenError: `actor` does not manage people.
            BadInputError: name or password cannot be used, or the first account is not an administrator.
            ConflictError: the name is taken.
        """
        actor.require(Permission.PEOPLE, _("Create an account"))
        shown = checked_name(name)
        display = _checked_display_name(display_name)
        hashed = self._ground.hasher.hash(check_password(password, shown, display)) if password is not None else None
        with self._ground.changing:
            known = self._ground.directory.snapshot.people.values()
            first = not known
            # From a provider a user may come first: what belonged to nobody waits for an administrator.
            inherits = not any(each.role is Role.ADMIN for each in known)
            role = role or (Role.ADMIN if first else Role.USER)
            if first:
                if role is not Role.ADMIN and not self._providers:
                    raise BadInputError(
                        _("The first account must be an administrator: nobody else could make the others."),
                        _("Choose the role {role}; no account was created.").format(role=Role.ADMIN.value),
                    )
                self._before_first()
            added = self._ground.people.insert(
                shown, name_key(shown), display, role, password=hashed, now=self._ground.now()
            )
            if not added:
                raise ConflictError(
                    _("There is already an account named {name}; no account was created.").format(name=shown),
                    _("Choose another name: capitals make no difference."),
                )
            self._ground.directory.reload_person(added)
            person = self._ground.person(added)
            if inherits and role is Role.ADMIN:
                for inherit in self._on_first:
                    inherit(person)
        self._record(actor, Action.PERSON_CREATED, person, role.value)
        return person

    def rename(self, actor: Actor, person_id: int, display_name: str) -> Person:
        """Set the name that is shown; errors as for `add`, or NotFoundError."""
        if actor.person_id != person_id or actor.scopes is not None:
            actor.require(Permission.PEOPLE, _("Change the account of somebody else"))
        display = _checked_display_name(display_name)
        if not self._ground.people.update(person_id, display_name=display):
            raise person_not_found()
        person = self._ground.person(person_id)
        self._record(actor, Action.PERSON_CHANGED, person, _("display name: {name}").format(name=display))
        return person

    def set_role(self, actor: Actor, person_id: int, role: Role) -> Person:
        """Set a person's role; running answers with rights that are gone are ended.

        Raises:
            ForbiddenError, NotFoundError: as the other methods.
            ConflictError: it is the last administrator.
        """
        actor.require(Permission.PEOPLE, _("Change a role"))
        with self._ground.changing:
            person = self._ground.person(person_id)
            if person.role is role:
                return person
            if role is not Role.ADMIN:
                self._require_other_admin(person)
            self._ground.people.update(person_id, role=role.value)
            self._ground.directory.reload_person(person_id)
        self._ground.revocations.publish(person_id, RevocationReason.ROLE)
        detail = _("role: {old}, now {new}").format(old=person.role.value, new=role.value)
        self._record(actor, Action.PERSON_CHANGED, person, detail)
        return self._ground.person(person_id)

    def set_disabled(self, actor: Actor, person_id: int, *, disabled: bool) -> Person:
        """Disable an account, which ends its sessions at once, or enable it; its API tokens do not work meanwhile.

        Raises:
            ForbiddenError, NotFoundError, ConflictError: as for `set_role`.
        """
        actor.require(Permission.PEOPLE, _("Disable or enable an account"))
        with self._ground.changing:
            person = self._ground.person(person_id)
            if (person.disabled_at is not None) is disabled:
                return person
            if disabled:
                self._require_other_admin(person)
            self._ground.people.update(person_id, disabled_at=self._ground.now() if disabled else None)
            self._ground.directory.reload_person(person_id)
        if disabled:
            self._ground.revocations.publish(person_id, RevocationReason.DISABLED)
            self._sessions.drop(person_id, RevocationReason.DISABLED)
        self._record(actor, Action.PERSON_CHANGED, person, _("disabled") if disabled else _("enabled"))
        return self._ground.person(person_id)

    def set_password(self, actor: Actor, person_id: int, password: str) -> Person:
        """Set somebody's password, which ends their sessions; errors as for `add`, or NotFoundError."""
        actor.require(Permission.PEOPLE, _("Set the password of somebody else"))
        person = self._ground.person(person_id)
        hashed = self._ground.hasher.hash(check_password(password, person.name, person.display_name))
        if not self._ground.people.update(person_id, password=hashed):
            raise person_not_found()
        self._sessions.drop(person_id, RevocationReason.PASSWORD)
        self._record(actor, Action.PASSWORD_CHANGED, person)
        return self._ground.person(person_id)

    def reset_second_factor(self, actor: Actor, person_id: int) -> Person:
        """Remove somebody's second factor and recovery codes, as after a lost telephone; errors as for `set_role`."""
        actor.require(Permission.PEOPLE, _("Remove the second factor of somebody else"))
        person = self._ground.person(person_id)
        self._ground.people.remove_second_factor(person_id)
        self._sessions.drop(person_id, RevocationReason.ENDED)
        self._record(actor, Action.SECOND_FACTOR_CHANGED, person, _("removed"))
        return self._ground.person(person_id)

    def delete(self, actor: Actor, person_id: int) -> Person:
        """Delete an account with sessions, tokens, memberships, grants and conversations; return what it was.

        Raises:
            ForbiddenError, NotFoundError, ConflictError: as for `set_role`.
        """
        actor.require(Permission.PEOPLE, _("Delete an account"))
        with self._ground.changing:
            person = self._ground.person(person_id)
            self._require_other_admin(person)
            # First nobody acts as this person any more, then what is theirs is erased.
            if person.disabled_at is None:
                self._ground.people.update(person_id, disabled_at=self._ground.now())
                self._ground.directory.reload_person(person_id)
            sessions = self._sessions.drop(person_id, RevocationReason.DELETED)
            tokens = self._tokens.drop(person_id)
            self._ground.revocations.publish(person_id, RevocationReason.DELETED)
            for erase in self._on_delete:
                erase(person)
            self._ground.people.delete(person_id)
            self._sessions.forget(person_id)
            self._tokens.forget(person_id)
            self._ground.directory.reload_person(person_id)
        ended: Iterable[str] = (
            plural("{count} session ended", "{count} sessions ended", sessions),
            plural("{count} token revoked", "{count} tokens revoked", tokens),
        )
        self._record(actor, Action.PERSON_DELETED, person, listed(ended))
        return person

    def _require_other_admin(self, person: Person) -> None:
        """Refuse what would leave nobody who can manage people.

        Raises:
            ConflictError: it is the only administrator who can sign in.
        """
        if person.role is not Role.ADMIN or person.disabled_at is not None:
            return
        if self._ground.directory.enabled_admins() <= 1:
            raise ConflictError(
                _("{name} is the last administrator; nothing was changed.").format(name=person.name),
                _("Make somebody else an administrator first."),
            )

    def _record(self, actor: Actor, action: Action, person: Person, detail: str = "") -> None:
        self._ground.audit.audit(actor, action, Target(TargetKind.PERSON, person.id, person.name), detail=detail)


def _checked_display_name(name: str) -> str:
    shown = " ".join(name.split())
    if len(shown) > LONGEST_DISPLAY_NAME:
        raise BadInputError(
            _("The name is longer than {count} characters.").format(count=LONGEST_DISPLAY_NAME),
            _("Choose a shorter one."),
        )
    return checked_name(shown[:100]) + shown[100:] if shown else ""
