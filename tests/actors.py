"""People with rights on some collections, made by hand."""

from __future__ import annotations

from collections.abc import Mapping

from services.core.actor import AccessLevel, Actor, CollectionRights, Role


def person(person_id: int, levels: Mapping[int, AccessLevel], role: Role = Role.USER) -> Actor:
    """Return somebody with an account who has reached these levels in these collections, and nothing elsewhere."""
    return Actor(f"person {person_id}", role, person_id=person_id, rights=CollectionRights(dict(levels)))


def reader_of(*collection_ids: int, person_id: int = 7) -> Actor:
    """Return somebody who may read these collections."""
    return person(person_id, dict.fromkeys(collection_ids, AccessLevel.READ))


def writer_of(*collection_ids: int, person_id: int = 8) -> Actor:
    """Return somebody who may change the documents of these collections."""
    return person(person_id, dict.fromkeys(collection_ids, AccessLevel.WRITE))


def manager_of(*collection_ids: int, person_id: int = 9) -> Actor:
    """Return somebody who manages these collections."""
    return person(person_id, dict.fromkeys(collection_ids, AccessLevel.MANAGE))
