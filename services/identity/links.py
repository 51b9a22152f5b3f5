"""Who people are at an OpenID Connect provider: always by its subject, never by name or e-mail."""

from __future__ import annotations

from services.core.actor import Actor, Permission
from services.core.auditing import Action, Target, TargetKind
from services.core.errors import BadInputError, ConflictError, NotFoundError
from services.core.i18n import _
from services.identity.ground import IdentityGround, require_own
from services.identity.types import Person, ProviderLink

_LONGEST_ISSUER, _LONGEST_SUBJECT = 500, 255


class ProviderLinks:
    """Links accounts with what a provider calls their people. Thread-safe."""

    def __init__(self, ground: IdentityGround) -> None:
        self._ground = ground

    def at_provider(self, issuer: str, subject: str) -> int | None:
        """Return the account of somebody whom a provider knows under that subject, None without one."""
        return self._ground.people.id_at_provider(issuer, subject)

    def of_person(self, actor: Actor, person_id: int) -> list[ProviderLink]:
        """Return the links of one's own account, or (for those who manage people) of another one.

        Raises:
            ForbiddenError: `actor` is somebody else and does not manage people.
        """
        require_own(actor, person_id, _("See the account of somebody else"))
        return [ProviderLink(issuer, subject) for issuer, subject in self._ground.people.links(person_id)]

    def link(self, actor: Actor, person_id: int, issuer: str, subject: str) -> None:
        """Record under which subject a provider knows a person.

        Raises:
            ForbiddenError: `actor` does not manage people.
            BadInputError: subjects are not like this.
            NotFoundError: there is no such person.
            ConflictError: somebody else is known under it.
        """
        actor.require(Permission.PEOPLE, _("Change an account"))
        self._link(actor, person_id, issuer, subject)

    def link_own(self, actor: Actor, issuer: str, subject: str) -> None:
        """Record who the one who asks is at a provider that said so just now; errors as for `link`."""
        if actor.person_id is None or actor.scopes is not None:
            actor.require(Permission.PEOPLE, _("Change an account"))
        self._link(actor, actor.person_id or 0, issuer, subject)

    def unlink(self, actor: Actor, person_id: int, issuer: str, subject: str) -> None:
        """Remove a link, one's own too: nobody signs in by it any more; sessions go on.

        Raises:
            ForbiddenError: `actor` is somebody else and does not manage people.
            NotFoundError: there is none.
        """
        require_own(actor, person_id, _("Change the account of somebody else"))
        person = self._ground.person(person_id)
        if not _is_possible(issuer, subject) or not self._ground.people.unlink(person_id, issuer, subject):
            raise NotFoundError(_("There is no such link."), _("It may have been removed already."))
        self._record(actor, person, _("no longer linked to {issuer}").format(issuer=issuer))

    def _link(self, actor: Actor, person_id: int, issuer: str, subject: str) -> None:
        if not _is_possible(issuer, subject):
            raise BadInputError(
                _("This is no subject of a provider; nothing was changed."),
                _("The provider's console shows it, as does the audit."),
            )
        with self._ground.changing:
            person = self._ground.person(person_id)
            known = self._ground.people.id_at_provider(issuer, subject)
            if known == person_id:
                return
            if known is not None:
                raise ConflictError(
                    _("The provider knows somebody else under this subject; nothing was changed."),
                    _("Ask an administrator."),
                )
            self._ground.people.link(person_id, issuer, subject, self._ground.now())
        self._record(actor, person, _("linked to {issuer}").format(issuer=issuer))

    def _record(self, actor: Actor, person: Person, detail: str) -> None:
        target = Target(TargetKind.PERSON, person.id, person.name)
        self._ground.audit.audit(actor, Action.PERSON_CHANGED, target, detail=detail)


def _is_possible(issuer: str, subject: str) -> bool:
    lengths_fit = 0 < len(subject) <= _LONGEST_SUBJECT and 0 < len(issuer) <= _LONGEST_ISSUER
    return lengths_fit and issuer.isprintable() and subject.isprintable()
