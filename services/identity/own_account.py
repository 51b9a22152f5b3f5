"""What people do with their own account: password, second factor, recovery codes."""

from __future__ import annotations

from services.core.actor import Actor
from services.core.auditing import Action, Target, TargetKind
from services.core.errors import BadInputError, ConflictError, ForbiddenError
from services.core.i18n import _
from services.identity.attempts import Attempts
from services.identity.ground import IdentityGround
from services.identity.passwords import check_password
from services.identity.second_factor import SecondFactors
from services.identity.sessions import Sessions
from services.identity.store.people import Credentials
from services.identity.totp import TotpSetup
from services.identity.types import Person, RevocationReason


class OwnAccount:
    """Changes the account of the one who asks. Thread-safe.

    Every method raises ForbiddenError for an actor without an account, or with an API token; and those that take a
    `password` BadInputError when it is wrong, after several times SlowedDownError.
    """

    def __init__(self, ground: IdentityGround, sessions: Sessions, factors: SecondFactors, attempts: Attempts) -> None:
        self._ground = ground
        self._sessions = sessions
        self._factors = factors
        self._attempts = attempts

    def person(self, actor: Actor) -> Person:
        """Return the account."""
        if actor.person_id is None:
            raise ForbiddenError(_("You have no account here."), _("Sign in first."))
        return self._ground.person(actor.person_id)

    def change_password(self, actor: Actor, password: str, new: str) -> None:
        """Change the password; all other sessions of the person end.

        Raises:
            BadInputError: `password` is not the present one, or `new` cannot be used.
        """
        person = self._signed_in(actor)
        text = check_password(new, person.name, person.display_name)
        self._require_password(person, password)
        self._ground.people.update(person.id, password=self._ground.hasher.hash(text))
        self._sessions.drop(person.id, RevocationReason.PASSWORD, but=actor.session_id)
        self._record(actor, person, Action.PASSWORD_CHANGED)

    def begin_second_factor(self, actor: Actor, password: str) -> TotpSetup:
        """Return the secret for an authenticator, which counts once it is confirmed.

        Raises:
            ConflictError: there is a second factor already.
        """
        person = self._signed_in(actor)
        if person.second_factor_since is not None:
            raise ConflictError(
                _("There is a second factor already; nothing was changed."), _("Turn it off first, then on again.")
            )
        self._require_password(person, password)
        return self._factors.begin(person.id, person.name)

    def confirm_second_factor(self, actor: Actor, code: str) -> list[str]:
        """Turn the second factor on and return its recovery codes; errors as for `SecondFactors.confirm`."""
        person = self._signed_in(actor)
        codes = self._factors.confirm(person.id, code)
        self._record(actor, person, Action.SECOND_FACTOR_CHANGED, _("on"))
        return codes

    def remove_second_factor(self, actor: Actor, password: str) -> None:
        """Turn the second factor off."""
        person = self._signed_in(actor)
        self._require_password(person, password)
        self._factors.remove(person.id)
        self._record(actor, person, Action.SECOND_FACTOR_CHANGED, _("off"))

    def new_recovery_codes(self, actor: Actor, password: str) -> list[str]:
        """Return ten new recovery codes instead of the old ones.

        Raises:
            ConflictError: there is no second factor.
        """
        person = self._signed_in(actor)
        if person.second_factor_since is None:
            raise ConflictError(
                _("Without a second factor there are no recovery codes; nothing was changed."), _("Turn it on first.")
            )
        self._require_password(person, password)
        codes = self._factors.new_codes(person.id)
        self._record(actor, person, Action.SECOND_FACTOR_CHANGED, _("new recovery codes"))
        return codes

    def recovery_codes_left(self, actor: Actor) -> int:
        """Return how many recovery codes were not used yet."""
        return self._factors.codes_left(self.person(actor).id)

    def _signed_in(self, actor: Actor) -> Person:
        if actor.scopes is not None:
            raise ForbiddenError(
                _("An API token does not change the account that it belongs to; nothing was changed."),
                _("Sign in and change it there."),
            )
        return self.person(actor)

    def _require_password(self, person: Person, password: str) -> None:
        """Ask for the password once more: a session that was left open is not enough to take an account over.

        People without a password, who come from a provider, are not asked.
        """
        credentials: Credentials | None = self._ground.people.credentials_of(person.id)
        if credentials is None or credentials.password is None:
            return
        own = f"own account {person.id}"  # what others do to the account elsewhere does not matter here
        turn = self._attempts.require_turn(own, own, person_id=None)
        if self._ground.hasher.verify(credentials.password, password):
            self._attempts.succeeded(turn)
            return
        self._attempts.failed(turn)
        raise BadInputError(_("This is not your current password; nothing was changed."), _("Enter it once more."))

    def _record(self, actor: Actor, person: Person, action: Action, detail: str = "") -> None:
        self._ground.audit.audit(actor, action, Target(TargetKind.PERSON, person.id, person.name), detail=detail)
