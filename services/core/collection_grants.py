"""Grants that follow collections: whoever makes one manages it, and its grants go with it. Identity has them."""

from __future__ import annotations

from typing import Protocol

from services.core.actor import Actor


class CollectionGrants(Protocol):
    """The grants on collections, as documents tell of their collections. Thread-safe."""

    def on_collection_created(self, actor: Actor, collection_id: int) -> None:
        """Let `actor` manage the collection that they have made."""

    def on_collection_deleted(self, collection_id: int) -> None:
        """Remove the grants on a collection that is gone."""


class NoGrants:
    """Where there are no accounts: everybody may do everything."""

    def on_collection_created(self, actor: Actor, collection_id: int) -> None:
        """Do nothing."""

    def on_collection_deleted(self, collection_id: int) -> None:
        """Do nothing."""
