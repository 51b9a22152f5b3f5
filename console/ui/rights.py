"""What the visitor of a page may do with documents: for calls at the moment of a click, and for what is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from console.ui.current_actor import page_actor
from services.core.actor import AccessLevel, Actor, Permission
from services.core.i18n import _
from services.knowledge.library import Library

P = ParamSpec("P")
T = TypeVar("T")


def as_visitor(method: Callable[Concatenate[Actor, P], T]) -> Callable[P, T]:
    """Return a method of a service that is called by who visits the page, with the rights of the moment of the call."""

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return method(page_actor(), *args, **kwargs)

    return call


def may_write(collection_id: int) -> bool:
    """Return whether the visitor may change the documents of a collection."""
    return page_actor().level(collection_id) >= AccessLevel.WRITE


def may_manage(collection_id: int) -> bool:
    """Return whether the visitor may rename, delete and share a collection."""
    return page_actor().level(collection_id) >= AccessLevel.MANAGE


def why_no_upload(library: Library, collection_id: int | None) -> str:
    """Return why the visitor may not add documents to a collection (None: to any), "" where they may."""
    actor = page_actor()
    if collection_id is not None:
        if actor.level(collection_id) >= AccessLevel.WRITE:
            return ""
        return _("You may read this collection, but not add documents to it. Ask somebody who manages it.")
    if library.collections(actor, AccessLevel.WRITE):
        return ""
    return _("There is no collection that you may add documents to. Ask somebody who manages one.")


def why_no_collection() -> str | None:
    """Return why the visitor may not make collections, None where they may."""
    return None if page_actor().may(Permission.WRITE) else _("You may read documents, but not add any.")
