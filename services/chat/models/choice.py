"""The stored choice of the chat model, with its key kept encrypted and for its address alone."""

from __future__ import annotations

from dataclasses import asdict, replace

import structlog

from services.chat.models import servers
from services.chat.types import BackendChoice, BackendKind
from services.core.errors import MillpondError
from services.core.i18n import _
from services.core.known_secrets import register_secret, secret_end
from services.core.preferences import Preferences
from services.core.secret_store import SecretStore
from services.core.settings import Settings

PREFERENCE_KEY = "chat model"
SECRET_NAME = "chat server key"  # noqa: S105 - the name of a secret, not one

log = structlog.get_logger(__name__)


class ChoiceStore:
    """Reads and writes the choice in the preferences, its key in the secrets. Thread-safe."""

    def __init__(self, preferences: Preferences, settings: Settings, secrets: SecretStore) -> None:
        self._preferences = preferences
        self._settings = settings
        self._secrets = secrets

    def current(self) -> BackendChoice:
        """Return the choice without its key: the stored one, else that of the settings."""
        stored = self._preferences.get(PREFERENCE_KEY)
        if stored is not None:
            return BackendChoice(**{**stored, "kind": BackendKind(stored["kind"]), "api_key": ""})
        settings = self._settings
        if settings.openai_base_url and settings.openai_model:
            return self.complete(BackendChoice(BackendKind.OPENAI))
        if settings.gguf_path:
            return self.complete(BackendChoice(BackendKind.GGUF))
        return BackendChoice()

    def complete(self, choice: BackendChoice) -> BackendChoice:
        """Return a choice with missing fields from the settings and without those its kind does not use.

        Raises:
            BadInputError: its address is invalid.
        """
        settings, kind = self._settings, choice.kind
        if kind is BackendKind.OPENAI:
            url = servers.normalized_url(choice.url or settings.openai_base_url)
            model = choice.model.strip() or ("" if choice.url else settings.openai_model)
            return BackendChoice(kind, url, model, choice.api_key.strip())
        if kind is BackendKind.OLLAMA:
            return BackendChoice(kind, servers.normalized_url(choice.url or settings.ollama_url), choice.model.strip())
        if kind is BackendKind.GGUF:
            return BackendChoice(kind, path=choice.path.strip() or settings.gguf_path)
        return BackendChoice()

    def save(self, complete: BackendChoice) -> None:
        """Store a choice; an empty key keeps the stored one of the same address, that of another one is deleted.

        Raises:
            MillpondError: the key cannot be encrypted, or the disk refused; the old choice stays.
        """
        if complete.api_key:
            self._secrets.set(SECRET_NAME, complete.api_key, complete.url)
        stored = {**asdict(complete), "kind": complete.kind.value}
        del stored["api_key"]
        self._preferences.set(PREFERENCE_KEY, stored)
        if complete.kind is not BackendKind.OPENAI or not self._secrets.has(SECRET_NAME, complete.url):
            self._secrets.remove(SECRET_NAME)

    def key(self, complete: BackendChoice) -> str:
        """Return the key for a complete choice: its own, else the stored or configured one of its address, else "".

        Raises:
            UnreadableSecretError: the stored one cannot be decrypted.
        """
        if complete.kind is not BackendKind.OPENAI:
            return ""
        if complete.api_key:
            register_secret(complete.api_key)
            return complete.api_key
        stored = self._secrets.get(SECRET_NAME, _("The key of the chat server"), complete.url)
        return stored or self._plain_key(complete.url) or self._configured_key(complete.url)

    def has_key(self, choice: BackendChoice) -> bool:
        """Return whether a key is stored or configured for the address of `choice`, readable or not."""
        try:
            complete = self.complete(replace(choice, api_key=""))
        except MillpondError:
            return False
        if complete.kind is not BackendKind.OPENAI:
            return False
        return self._secrets.has(SECRET_NAME, complete.url) or bool(self.key(complete))

    def shown_key(self, choice: BackendChoice) -> str:
        """Return the end of the key that is stored or configured for the address of `choice`, "" for none."""
        try:
            return secret_end(self.key(self.complete(replace(choice, api_key=""))))
        except MillpondError:
            return ""

    def encrypt_plain_key(self) -> None:
        """Encrypt a key that an earlier version stored as it was; it leaves all files with the next erasure.

        Where that is not possible it stays in use as it is, and the log says why.
        """
        stored = self._preferences.get(PREFERENCE_KEY)
        if stored is None or "api_key" not in stored:
            return
        if stored["api_key"]:
            try:
                self._secrets.set(SECRET_NAME, str(stored["api_key"]), str(stored["url"]))
            except MillpondError as error:
                log.error("the key of the chat server is stored as it is: it could not be encrypted", reason=str(error))  # noqa: TRY400 - expected, and said
                return
        del stored["api_key"]
        self._preferences.set(PREFERENCE_KEY, stored)

    def _plain_key(self, url: str) -> str:
        """Return the key that an earlier version stored and that could not be encrypted yet."""
        stored = self._preferences.get(PREFERENCE_KEY) or {}
        return str(stored.get("api_key", "")) if stored.get("url") == url else ""

    def _configured_key(self, url: str) -> str:
        settings = self._settings
        try:
            configured = servers.normalized_url(settings.openai_base_url) if settings.openai_base_url else ""
        except MillpondError:  # whoever uses that address is told
            return ""
        return settings.openai_api_key.get_secret_value() if url == configured else ""


def forget_plain_key(preferences: Preferences) -> bool:
    """Delete the key that an earlier version stored as it was; return whether there was one."""
    stored = preferences.get(PREFERENCE_KEY)
    if stored is None or not stored.get("api_key"):
        return False
    preferences.set(PREFERENCE_KEY, {**stored, "api_key": ""})
    return True
