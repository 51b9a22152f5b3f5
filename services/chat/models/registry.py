"""Which chat model is chosen, and the way to it."""

from __future__ import annotations

import threading
from dataclasses import replace

from services.chat.models.base import Backend
from services.chat.types import BackendChoice, BackendKind, BackendStatus
from services.errors import NotFoundError
from services.held import HeldResource
from services.preferences import Preferences
from services.settings import Settings
from services.texts import _

PREFERENCE = "chat model"
MODEL_NAME = "millpond"


class ChatModels:
    """The chosen back end, kept in the preferences; switching needs no restart."""

    def __init__(self, preferences: Preferences, settings: Settings) -> None:
        self._preferences = preferences
        self._settings = settings
        self._lock = threading.RLock()

    def choice(self) -> BackendChoice:
        """Return the choice without its key, which is never shown again."""
        return replace(BackendChoice(), api_key="")

    def status(self) -> BackendStatus:
        return BackendStatus(BackendKind.NONE, _("No language model"), "off")

    def backend(self) -> Backend | None:
        """Return the way to the chosen model, None where none is chosen."""
        return None

    def check_name(self, name: str | None) -> None:
        """Accept the names that a client of the API may ask for."""
        if name and name not in {MODEL_NAME, self.choice().model}:
            raise NotFoundError(
                _("There is no model named {name}.").format(name=name[:100]),
                _("Ask for {name}.").format(name=MODEL_NAME),
            )

    def resource(self) -> HeldResource | None:
        return None

    def close(self) -> None:
        """Unload what is loaded."""
