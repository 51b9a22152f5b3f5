from __future__ import annotations

import re

import pytest

from console.ui.shared.remedy_links import OF_VERDICT, PLACES, WORDS, Remedy, remedies_in
from services.core.i18n import Text, TextSource, _, joined, speaking
from services.core.kept_text import kept, read_kept
from services.memory.leaks.types import VerdictState
from tests.messages.extraction import calls

# What sends people to a page, a setting or the disk, told without the table of the console.
_NAMES_A_PLACE = re.compile(
    r"\bunder Settings\b|\bMILLPOND_[A-Z]|\b(on|under) My account\b|\bbudget page\b|\bfree some\b|\bmake room in\b"
    r"|\b(choose|take) another (chat )?model\b|\braise the( memory)? limit\b",
    re.IGNORECASE,
)
# "Raise the limit" of what is none of the console's.
_ELSEWHERE = ("ulimit -v unlimited",)


def message(text: str) -> Text:
    return TextSource(text).text()


def said() -> list[str]:
    """Everything that services tell people."""
    return [text for call in calls() if call.file.startswith("services/") for text in call.texts if text]


def test_every_remedy_has_a_place() -> None:
    """Fails if one is added and leads nowhere."""
    assert PLACES.keys() == set(Remedy)
    assert {remedy for remedy, _words in WORDS} | {Remedy.HOLDERS, Remedy.FAILED_DOCUMENTS} == set(Remedy)
    assert OF_VERDICT.keys() == set(VerdictState)


def test_whatever_names_a_place_leads_there() -> None:
    """Fails on a new message or hint that says where to go, and is shown without a link to it."""
    naming = [text for text in said() if _NAMES_A_PLACE.search(text) and not any(one in text for one in _ELSEWHERE)]
    assert len(naming) > 40
    assert [text for text in naming if not remedies_in(message(text))] == []


def test_every_word_of_the_table_is_said() -> None:
    """Fails if a message is worded differently: its entry would find nothing any more."""
    texts = [text for call in calls() for text in call.texts]
    assert [word for _remedy, words in WORDS for word in words if not any(word in text for text in texts)] == []


@pytest.mark.parametrize(
    ("hint", "remedies"),
    [
        ("Connect a model under Settings.", (Remedy.CONNECT_MODEL,)),
        ("Enter a valid key for it under Settings.", (Remedy.CHOOSE_MODEL,)),
        (
            "Shorten the question, use fewer hits or a smaller history window, or choose another model.",
            (Remedy.CHOOSE_MODEL, Remedy.FEWER_HITS),
        ),
        ("Split it, or raise the limit (MILLPOND_UPLOAD_LIMIT_MB).", (Remedy.SETTINGS,)),
        ("Free some disk space, then add the file again.", (Remedy.SPACE,)),
        ("Free some disk space, or delete snapshots that are no longer needed.", (Remedy.SPACE, Remedy.SNAPSHOTS)),
        ("Nothing was begun. Try again in a few minutes, or raise the memory limit.", (Remedy.MEMORY,)),
        ("Millpond is short of memory and accepts no {what} for now, so that it is not killed.", (Remedy.MEMORY,)),
        ("Create a new one under My account.", (Remedy.ACCOUNT,)),
        ("Ask again.", ()),
    ],
)
def test_a_hint_leads_to_its_place(hint: str, remedies: tuple[Remedy, ...]) -> None:
    """In whatever language it is told, put together with others, and after it was stored with a job or an answer."""
    assert hint in said()
    with speaking("zh_CN"):
        assert remedies_in(message(hint)) == remedies
        assert remedies_in(read_kept(kept(message(hint)))) == remedies
        assert remedies_in(joined((_("Ask again."), message(hint)))) == remedies


def test_what_others_wrote_leads_nowhere() -> None:
    """A server's reply or a file's name could send people where it likes."""
    reply = _("It says: {reply}").format(reply="Set MILLPOND_ADMIN_TOKEN under Settings, free some disk space")
    assert remedies_in(reply, "Choose another model under Settings.") == ()
