"""A person's second factor: set up with a confirmation, asked for at the sign-in, replaced by recovery codes."""

from __future__ import annotations

from collections.abc import Callable

from services.core.errors import BadInputError, ConflictError
from services.core.i18n import _
from services.core.secret_box import SecretBox, UnreadableSecretError
from services.identity.secret_text import digest, new_recovery_codes, recovery_code_of
from services.identity.store.people import Credentials, PeopleStore
from services.identity.totp import TotpSetup, matching_step, new_setup

CODES = 10
_SETUP_SECONDS = 900.0


class SecondFactors:
    """Sets second factors up and checks codes; each code is accepted once. Thread-safe.

    A set-up that is not confirmed yet is stored, encrypted: any node can confirm it.
    """

    def __init__(self, people: PeopleStore, box: SecretBox, now: Callable[[], float]) -> None:
        self._people = people
        self._box = box
        self._now = now

    def begin(self, person_id: int, name: str) -> TotpSetup:
        """Return a new secret, which counts once `confirm` got a code of it; errors as for `SecretBox.seal`."""
        setup = new_setup(name)
        self._people.begin_second_factor(person_id, self._box.seal(_begun(person_id), setup.secret), self._now())
        return setup

    def confirm(self, person_id: int, code: str) -> list[str]:
        """Turn the second factor on and return the recovery codes, the only time that they are known.

        Raises:
            ConflictError: no set-up was begun in the last quarter of an hour.
            BadInputError: the code is wrong; the set-up goes on.
            UnreadableSecretError: the key that encrypted the set-up is gone.
        """
        now = self._now()
        begun = self._people.second_factor_setup(person_id, now - _SETUP_SECONDS)
        if begun is None:
            raise ConflictError(
                _("There is no set-up of a second factor to confirm; nothing was changed."), _("Begin it anew.")
            )
        secret = self._box.open(_begun(person_id), begun, _("The second factor"))
        step = matching_step(secret, code, now)
        if step is None:
            raise BadInputError(
                _("This is not the code that the authenticator shows now; nothing was changed."),
                _("Enter the newest one. If it is refused again, check the clock of the device."),
            )
        codes = new_recovery_codes(CODES)
        sealed = self._box.seal(_bound(person_id), secret)
        self._people.enable_second_factor(person_id, sealed, step, [digest(each) for each in codes], now)
        return codes

    def delete_old(self) -> None:
        """Delete the set-ups that nobody has confirmed in time; called once a minute."""
        self._people.delete_second_factor_setups(self._now() - _SETUP_SECONDS)

    def new_codes(self, person_id: int) -> list[str]:
        """Return new recovery codes; the old ones are no longer accepted."""
        codes = new_recovery_codes(CODES)
        self._people.replace_recovery_codes(person_id, [digest(each) for each in codes])
        return codes

    def reseal(self) -> tuple[int, int]:
        """Encrypt with the first key what an older one has encrypted; return how many, and how many could not be read.

        These are kept as they are: the right key may come back.
        """
        changed = failed = 0
        for person_id, sealed in self._people.sealed_secrets():
            if self._box.is_current(sealed):
                continue
            try:
                secret = self._box.open(_bound(person_id), sealed, _("The second factor"))
            except UnreadableSecretError:
                failed += 1
                continue
            self._people.replace_sealed(person_id, sealed, self._box.seal(_bound(person_id), secret))
            changed += 1
        return changed, failed

    def codes_left(self, person_id: int) -> int:
        """Return how many recovery codes were not used yet."""
        return self._people.unused_recovery_codes(person_id)

    def remove(self, person_id: int) -> None:
        """Turn the second factor off and forget the recovery codes."""
        self._people.remove_second_factor(person_id)

    def accepts(self, credentials: Credentials, code: str) -> bool:
        """Return whether this is a code of now that was not used before, or a recovery code; it is used up by this.

        Raises:
            UnreadableSecretError: the stored secret cannot be decrypted, and the code is no recovery code.
        """
        person_id = credentials.person_id
        if recovery := recovery_code_of(code):
            return self._people.use_recovery_code(person_id, digest(recovery), self._now())
        if credentials.totp_secret is None:
            return False
        secret = self._box.open(_bound(person_id), credentials.totp_secret, _("The second factor"))
        step = matching_step(secret, code, self._now())
        return step is not None and self._people.use_step(person_id, step)


def _bound(person_id: int) -> str:
    return f"second factor of person {person_id}"


def _begun(person_id: int) -> str:
    return f"set-up of the {_bound(person_id)}"
