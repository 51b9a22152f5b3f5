"""Chat models: the chosen one, its status, and the back end to reach it."""

from services.chat.models.base import Backend, TextDelta, stream
from services.chat.models.registry import ChatModels

__all__ = ["Backend", "ChatModels", "TextDelta", "stream"]
