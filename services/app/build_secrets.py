"""Builds what keeps secrets encrypted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from services.core.errors import MillpondError
from services.core.secret_box import SecretBox
from services.core.secret_store import SecretStore

if TYPE_CHECKING:
    from services.core.preferences import Preferences
    from services.core.settings import Settings

log = structlog.get_logger(__name__)


def build_secrets(settings: Settings, preferences: Preferences) -> SecretStore:
    """Return the stored secrets, encrypted with the first of the configured keys from now on.

    Those that cannot be decrypted are logged by name and kept: what needs one says so.

    Raises:
        BadInputError: the configured key must not be used, since others can read it, for example.
    """
    box = SecretBox.of(settings)
    box.check()
    secrets = SecretStore(preferences, box)
    try:
        secrets.reseal(failed=lambda name: log.error("a stored secret cannot be decrypted; it is kept", name=name))
    except MillpondError as error:
        log.error("stored secrets keep their old key", reason=str(error))  # noqa: TRY400 - expected, and said
    return secrets
