"""What the command palette offers: pages, commands, and documents and conversations by their names, as far as somebody
may open them."""

from __future__ import annotations

from typing import TypedDict

from console.navigation import PageName, in_menu, may_open, page_titles
from console.ui.keyboard.shortcuts import LIST, NEW, PAGE
from console.ui.shared.formatting import ago, plain, shorten
from services.app.container import Services
from services.core.actor import Actor
from services.core.i18n import _

DOCUMENT, CONVERSATION = "document", "conversation"
_MOST = 8  # of each kind
_LONGEST = 90


class Entry(TypedDict):
    """A line of the palette, as the browser gets it: the action, what it is called, and what it is."""

    action: str
    label: str
    kind: str


def standing_entries(actor: Actor) -> list[Entry]:
    """Return what can be chosen without a search; the browser finds among them by itself."""
    titles, kind = page_titles(), _("Console page")
    found = [_entry(f"{PAGE}:{name}", titles[name], kind) for name in PageName if in_menu(actor, name)]
    if may_open(actor, PageName.CHAT):
        found.append(_entry(NEW, _("New conversation"), _("Command")))
    found.append(_entry(LIST, _("Keyboard shortcuts"), _("Command")))
    return found


def found_entries(services: Services, actor: Actor, text: str) -> list[Entry]:
    """Return documents whose name and conversations whose title contain `text`, the newest first."""
    found: list[Entry] = []
    if may_open(actor, PageName.DOCUMENTS):
        found += [
            _entry(f"{DOCUMENT}:{each.id}", each.name, f"{_('Document')} · {plain(each.collection)}")
            for each in services.library.documents(actor, query=text, limit=_MOST)
        ]
    if may_open(actor, PageName.CHAT):
        found += [
            _entry(
                f"{CONVERSATION}:{each.id}",
                each.title or _("Untitled"),
                f"{_('Conversation')} · {ago(each.updated_at)}",
            )
            for each in services.conversations.titled(actor, text, limit=_MOST)
        ]
    return found


def _entry(action: str, label: str, kind: str) -> Entry:
    return Entry(action=action, label=plain(shorten(label, _LONGEST)), kind=kind)
