"""From what went wrong to the place where something can be done about it: one table for all alerts, refusals, verdicts.

Errors, closures and stored failures know the message that they were made of (`services.core.i18n.Text`). By its English
words the place is found, whatever language it is told in; names and replies that were put in are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

import streamlit as st

from console.navigation import RULES, PageName, may_open, page, page_name, page_title
from console.ui.current_actor import page_actor
from console.ui.runtime_access import existing_application
from console.ui.session_state import OpenPage, Query, state_of
from console.ui.shared.formatting import escape
from services.core.actor import Permission
from services.core.errors import MillpondError
from services.core.i18n import Text, _
from services.memory.leaks.types import VerdictState


class Remedy(StrEnum):
    """What can be done."""

    CONNECT_MODEL = "connect-model"
    CHOOSE_MODEL = "choose-model"
    SETTINGS = "settings"
    FEWER_HITS = "fewer-hits"
    MEMORY = "memory"
    HOLDERS = "holders"
    SPACE = "space"
    SNAPSHOTS = "snapshots"
    FAILED_DOCUMENTS = "failed-documents"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class RemedyPlace:
    """Where something can be done: a page, what its address asks for there, and what the link says."""

    page: PageName
    label: Callable[[], str]
    icon: str
    query: Mapping[Query, str] = field(default_factory=dict)


PLACES: Mapping[Remedy, RemedyPlace] = MappingProxyType(
    {
        Remedy.CONNECT_MODEL: RemedyPlace(
            PageName.SETTINGS, lambda: _("Connect one under Settings"), ":material/tune:"
        ),
        Remedy.CHOOSE_MODEL: RemedyPlace(PageName.SETTINGS, lambda: _("Check the chat model"), ":material/tune:"),
        Remedy.SETTINGS: RemedyPlace(PageName.SETTINGS, lambda: _("Settings in force"), ":material/tune:"),
        Remedy.FEWER_HITS: RemedyPlace(
            PageName.RETRIEVAL, lambda: _("Change the number of hits"), ":material/manage_search:"
        ),
        Remedy.MEMORY: RemedyPlace(PageName.BUDGET, lambda: _("Decisions of the memory budget"), ":material/speed:"),
        Remedy.HOLDERS: RemedyPlace(
            PageName.OBJECTS, lambda: _("See what holds the memory"), ":material/account_tree:"
        ),
        Remedy.SPACE: RemedyPlace(
            PageName.DOCUMENTS, lambda: _("Largest documents"), ":material/folder_open:", {Query.ORDER: "largest"}
        ),
        Remedy.SNAPSHOTS: RemedyPlace(PageName.ALLOCATIONS, lambda: _("Stored snapshots"), ":material/data_object:"),
        Remedy.FAILED_DOCUMENTS: RemedyPlace(
            PageName.DOCUMENTS, lambda: _("Failed documents"), ":material/error:", {Query.STATUS: "failed"}
        ),
        Remedy.ACCOUNT: RemedyPlace(PageName.ACCOUNT, lambda: _("My account"), ":material/account_circle:"),
    }
)
# What the English of a message says, and what can be done then.
WORDS: tuple[tuple[Remedy, tuple[str, ...]], ...] = (
    (Remedy.CONNECT_MODEL, ("Connect a model under Settings", "Connect one under Settings", "connect one under")),
    (
        Remedy.CHOOSE_MODEL,
        ("under Settings", "choose another model", "a faster chat model", "server's log", "'s server"),
    ),
    (Remedy.FEWER_HITS, ("fewer hits",)),
    (Remedy.SETTINGS, ("MILLPOND_",)),
    (
        Remedy.SPACE,
        ("Free some space", "Free some disk space", "Make room", "Check the disk", "the disk refuses", "of disk space"),
    ),
    (Remedy.SNAPSHOTS, ("delete snapshots",)),
    (
        Remedy.MEMORY,
        (
            "memory limit",
            "budget page",
            "memory budget",
            "the budget stops",
            "short of memory",
            "Free some memory",
            "free some memory",
        ),
    ),
    (Remedy.ACCOUNT, ("My account",)),
)
OF_VERDICT: Mapping[VerdictState, tuple[Remedy, ...]] = MappingProxyType(
    {
        VerdictState.UNKNOWN: (),
        VerdictState.FLAT: (),
        VerdictState.WATCH: (Remedy.HOLDERS, Remedy.MEMORY),
        VerdictState.LEAK: (Remedy.HOLDERS, Remedy.MEMORY),
    }
)
# By the name of a check (`services.operations.health`). For a damaged store or index there is no page.
OF_COMPONENT: Mapping[str, Remedy] = MappingProxyType(
    {
        "embedder": Remedy.SETTINGS,
        "chat model": Remedy.CHOOSE_MODEL,
        "disk": Remedy.SPACE,
        "accepting": Remedy.MEMORY,
        "certificate": Remedy.SETTINGS,
    }
)


def remedies_in(*texts: str) -> tuple[Remedy, ...]:
    """Return what can be done, by what messages and hints say; nothing for what names no place."""
    messages = [message for text in texts for message in _messages(text)]
    found = [remedy for remedy, words in WORDS if any(each in message for each in words for message in messages)]
    # Who has no model yet is not sent to check it.
    return tuple(each for each in found if each is not Remedy.CHOOSE_MODEL or Remedy.CONNECT_MODEL not in found)


def _messages(text: object) -> Iterator[str]:
    """Yield the English messages that a text was made of."""
    if not isinstance(text, Text):
        return
    source = text.source
    yield from filter(None, (source.message, source.plural))
    for part in (*source.parts, *(source.values or {}).values()):
        yield from _messages(part)


def remedy_links(remedies: Iterable[Remedy]) -> None:
    """Draw a link to each place that the visitor may open; of the others say whom to ask.

    None to the page that is shown already, nor before there are services.
    """
    wanted = tuple(dict.fromkeys(remedies))
    application = existing_application() if wanted else None
    if application is None or not application.ready:
        return
    try:
        actor = page_actor()
    except MillpondError:  # the session has ended: there is nothing to offer
        return
    here = state_of(OpenPage).path
    places = [PLACES[remedy] for remedy in wanted]
    places = [each for each in places if each.query or here is None or page_name(here) is not each.page]
    if not places:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
        for place in (each for each in places if may_open(actor, each.page)):
            st.page_link(
                page(place.page),
                label=place.label(),
                icon=place.icon,
                query_params={name.value: value for name, value in place.query.items()} or None,
            )
        for closed in dict.fromkeys(each.page for each in places if not may_open(actor, each.page)):
            st.caption(escape(_whom_to_ask(closed)), width="content")


def _whom_to_ask(name: PageName) -> str:
    if RULES[name].permission is Permission.OPERATE:
        return _("Ask an operator or an administrator: this is on the page {page}.").format(page=page_title(name))
    return _("Ask an administrator: this is on the page {page}.").format(page=page_title(name))


def show_problem(message: str, hint: str) -> None:
    """Show what went wrong and what to do, with links to where it is done."""
    st.error(escape(hint) or " ", title=escape(message), icon=":material/error:")
    remedy_links(remedies_in(message, hint))
