"""The pages: names, titles, icons, groups, and who may open them, for the menu and for links."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

import streamlit as st

from console.rules import SIGNED_IN, Rule
from services.core.actor import Actor, Permission
from services.core.i18n import _

_FOLDER = Path(__file__).resolve().parent.parent / "pages"


class PageName(StrEnum):
    """The pages; a value is the file's name and the path of the URL."""

    CHAT = "chat"
    DOCUMENTS = "documents"
    RETRIEVAL = "retrieval"
    MEMORY = "memory"
    OBJECTS = "objects"
    ALLOCATIONS = "allocations"
    COLLECTOR = "collector"
    BUDGET = "budget"
    OVERVIEW = "overview"
    NODES = "nodes"
    AUDIT = "audit"
    PEOPLE = "people"
    SETTINGS = "settings"
    ACCOUNT = "account"


# The buttons on a page ask the services besides, which ask again.
RULES: Mapping[PageName, Rule] = MappingProxyType(
    {
        PageName.CHAT: Rule(Permission.ASK),
        PageName.DOCUMENTS: Rule(Permission.READ),
        PageName.RETRIEVAL: Rule(Permission.READ),
        PageName.MEMORY: Rule(Permission.OPERATE, visitors=True),
        PageName.OBJECTS: Rule(Permission.OPERATE),  # they show values, which may be anybody's
        PageName.ALLOCATIONS: Rule(Permission.OPERATE),
        PageName.COLLECTOR: Rule(Permission.OPERATE, visitors=True),
        PageName.BUDGET: Rule(Permission.OPERATE, visitors=True),
        PageName.OVERVIEW: Rule(Permission.OPERATE, visitors=True),
        PageName.NODES: Rule(Permission.OPERATE, visitors=True),
        PageName.AUDIT: Rule(Permission.AUDIT),
        PageName.PEOPLE: Rule(Permission.PEOPLE),
        PageName.SETTINGS: Rule(Permission.CONFIGURE, visitors=True),
        PageName.ACCOUNT: SIGNED_IN,
    }
)


def may_open(actor: Actor, name: PageName) -> bool:
    """Return whether somebody may open a page."""
    return RULES[name].allows_actor(actor)


def in_menu(actor: Actor, name: PageName) -> bool:
    """Return whether the menu names a page for somebody: those they may open, and an account for those who have one."""
    return may_open(actor, name) and (name is not PageName.ACCOUNT or actor.person_id is not None)


def in_navigation(actor: Actor | None, name: PageName, *, shared: bool) -> bool:
    """Return whether the navigation shows a page to somebody, None while nobody is known.

    That of the nodes is shown where several can share the database (`shared`); by its address it always opens.
    """
    return (actor is None or in_menu(actor, name)) and (shared or name is not PageName.NODES)


_ICONS: Mapping[PageName, str] = MappingProxyType(
    {
        PageName.CHAT: ":material/forum:",
        PageName.DOCUMENTS: ":material/folder_open:",
        PageName.RETRIEVAL: ":material/manage_search:",
        PageName.MEMORY: ":material/memory:",
        PageName.OBJECTS: ":material/account_tree:",
        PageName.ALLOCATIONS: ":material/data_object:",
        PageName.COLLECTOR: ":material/recycling:",
        PageName.BUDGET: ":material/speed:",
        PageName.OVERVIEW: ":material/monitoring:",
        PageName.NODES: ":material/hub:",
        PageName.AUDIT: ":material/policy:",
        PageName.PEOPLE: ":material/group:",
        PageName.SETTINGS: ":material/tune:",
        PageName.ACCOUNT: ":material/account_circle:",
    }
)


def page_titles() -> dict[PageName, str]:
    """Return what the pages are called."""
    return {
        PageName.CHAT: _("Chat"),
        PageName.DOCUMENTS: _("Documents"),
        PageName.RETRIEVAL: _("Retrieval test"),
        PageName.MEMORY: _("Memory"),
        PageName.OBJECTS: _("Objects"),
        PageName.ALLOCATIONS: _("Allocations"),
        PageName.COLLECTOR: _("Garbage collection"),
        PageName.BUDGET: _("Budget"),
        PageName.OVERVIEW: _("Overview"),
        PageName.NODES: _("Nodes"),
        PageName.AUDIT: _("Audit"),
        PageName.PEOPLE: _("People"),
        PageName.SETTINGS: _("Settings"),
        PageName.ACCOUNT: _("My account"),
    }


def page_title(name: PageName) -> str:
    """Return what a page is called."""
    return page_titles()[name]


def page(name: PageName, *, hidden: bool = False) -> st.Page:
    """Return a page for `st.navigation`, `st.page_link` and `st.switch_page`; a hidden one is not in the menu."""
    return st.Page(
        _FOLDER / f"{name}.py",
        title=page_title(name),
        icon=_ICONS[name],
        url_path=name.value,
        default=name is PageName.CHAT,
        visibility="hidden" if hidden else "visible",
    )


def groups(may: Callable[[PageName], bool] = lambda _name: True) -> dict[str, list[st.Page]]:
    """Return the pages by group, in the order of the menu; those that one may not open are hidden.

    They stay known to Streamlit, so that their addresses are answered with a refusal and not with another page.
    """
    names = {
        _("Work"): (PageName.CHAT, PageName.DOCUMENTS, PageName.RETRIEVAL),
        _("Memory"): (
            PageName.MEMORY,
            PageName.OBJECTS,
            PageName.ALLOCATIONS,
            PageName.COLLECTOR,
            PageName.BUDGET,
        ),
        _("System"): (
            PageName.OVERVIEW,
            PageName.NODES,
            PageName.PEOPLE,
            PageName.AUDIT,
            PageName.SETTINGS,
            PageName.ACCOUNT,
        ),
    }
    return {group: [page(name, hidden=not may(name)) for name in members] for group, members in names.items()}


def page_name(url_path: str) -> PageName:
    """Return the page at a path; the first page lies at the root."""
    return PageName(url_path) if url_path else PageName.CHAT
