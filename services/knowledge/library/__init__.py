"""The facade of the room: documents and collections as pages and API see them."""

from services.knowledge.library.library import Library

__all__ = ["Library"]
