"""Settings that are secrets, kept encrypted in the data folder instead of the environment or a file."""

from __future__ import annotations

import structlog
from pydantic import SecretStr, ValidationError

from services.core.errors import BadInputError
from services.core.i18n import _
from services.core.secret_box import UnreadableSecretError
from services.core.secret_store import SecretStore
from services.core.settings import Settings
from services.core.shown_settings import register_settings

log = structlog.get_logger(__name__)

STORABLE = ("openai_api_key", "webhook_secret", "webhook_url", "oidc_client_secret", "files_secret_key")


def with_stored(settings: Settings, secrets: SecretStore) -> Settings:
    """Return the settings with the stored value of each storable one that is not set.

    One that cannot be decrypted is logged and stays empty.
    """
    found: dict[str, str | SecretStr] = {}
    for name in STORABLE:
        value = getattr(settings, name)
        if (value.get_secret_value() if isinstance(value, SecretStr) else value) or not secrets.has(name):
            continue
        try:
            text = secrets.get(name, name)
        except UnreadableSecretError as error:
            log.error("a stored setting is not used", name=name, reason=str(error))  # noqa: TRY400 - expected, and said
            continue
        found[name] = SecretStr(text) if isinstance(value, SecretStr) else text
    if not found:
        return settings
    changed = settings.model_copy(update=found)
    register_settings(changed)
    return changed


def require_value(name: str, text: str) -> None:
    """Refuse what the setting would not take.

    Raises:
        BadInputError: it would not; the message does not repeat it.
    """
    try:
        Settings(**{name: text})  # type: ignore[arg-type] # each of them takes a text
    except ValidationError as error:
        raise BadInputError(
            _("The setting {name} cannot be used: {reason}.").format(name=name, reason=error.errors()[0]["msg"])
        ) from error
