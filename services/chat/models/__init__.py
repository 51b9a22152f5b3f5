"""The chat models: which one is chosen, whether it answers, and the way to it."""

from services.chat.models.base import Backend, TextDelta, stream
from services.chat.models.registry import ChatModels

__all__ = ["Backend", "ChatModels", "TextDelta", "stream"]
