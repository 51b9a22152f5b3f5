"""Texts are said in the language of whoever reads them, also when they were made, kept or sent before."""

from __future__ import annotations

import copy
import json
import pickle
import threading
import tracemalloc

import pytest

from services.core.errors import BadInputError
from services.core.i18n import (
    _,
    _catalogue,
    gap,
    in_english,
    joined,
    language,
    listed,
    localized,
    plural,
    speaking,
    use_terminal_language,
)
from services.core.kept_text import kept, read_kept
from services.core.languages import (
    PSEUDO,
    SIMPLIFIED,
    TRADITIONAL,
    accepted_language,
    language_of_environment,
    matching_language,
)
from services.core.machine import MEGABYTE


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("zh", "zh_CN"),
        ("zh-CN", "zh_CN"),
        ("zh-Hans", "zh_CN"),
        ("zh-SG", "zh_CN"),
        ("zh-Hans-HK", "zh_CN"),
        ("zh_CN.UTF-8", "zh_CN"),
        ("zh-TW", "zh_TW"),
        ("zh-HK", "zh_TW"),
        ("zh-Hant", "zh_TW"),
        ("zh_TW.Big5@radical", "zh_TW"),
        ("EN-gb", "en"),
        ("de", None),
        ("C", None),
        ("", None),
    ],
)
def test_tags_and_locales_name_languages(tag: str, language: str | None) -> None:
    """Browsers and systems name the same language in many ways; a reader of Hong Kong wants traditional characters."""
    assert matching_language(tag) == language


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh_CN"),
        ("en;q=0.5, zh-TW;q=0.7", "zh_TW"),
        ("de, zh;q=0.1, en;q=0", "zh_CN"),
        ("de", None),
        ("", None),
        ("*", None),
        ("zh;q=none, en;q=0.1", "en"),
        ("," * 100_000, None),
    ],
)
def test_the_best_accepted_language_is_taken(header: str, language: str | None) -> None:
    """The header has weights, and may be anything that somebody sends."""
    assert accepted_language(header) == language


def test_a_terminal_speaks_by_its_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC_ALL wins over LC_MESSAGES over LANG, and the setting counts where none of them names a language."""
    assert language_of_environment({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}) == "en"
    assert language_of_environment({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW.UTF-8"}) == "zh_TW"
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.setenv(name, "C")
    with speaking("en"):
        use_terminal_language("zh_CN")
        assert language() == "zh_CN"


def test_a_text_that_was_kept_is_said_again_for_its_reader() -> None:
    """An error raised in one language is read in another, with the texts inside it."""
    with speaking(SIMPLIFIED):
        error = BadInputError(_("{name}: {level}").format(name="内存", level=_("Memory")), _("Ask again."))
    assert (error.message, str(error)) == ("内存: Memory", "内存: Memory Ask again.")
    with speaking(PSEUDO):
        assert error.message == "⟦内存: ⟦Memory⟧⟧"
        assert localized(str(error)) == "⟦内存: ⟦Memory⟧⟧ ⟦Ask again.⟧"


def test_sentences_and_lists_are_joined_as_the_language_does() -> None:
    """Chinese has no space between sentences, and another mark in lists."""
    text = _("Ask again.") + gap() + _("Ask again.")
    names = listed(["a.txt", "b.txt"])
    assert (text, names) == ("Ask again. Ask again.", "a.txt, b.txt")
    with speaking(SIMPLIFIED):
        assert localized(text) == localized(_("Ask again.")) * 2
        assert localized(names) == "a.txt、b.txt"
        assert joined([_("Memory"), "", _("Memory")], ": ") == localized(_("Memory") + ": " + _("Memory"))


def test_threads_without_a_reader_speak_english() -> None:
    """What work in the background says goes into the log; whoever reads it later hears it in their language."""
    said: list[str] = []
    with speaking(SIMPLIFIED):
        thread = threading.Thread(target=lambda: said.append(_("Memory")))
        thread.start()
        thread.join()
        assert said == ["Memory"]
        assert localized(said[0]) == _("Memory") != "Memory"
        assert in_english(_("Memory")) == "Memory"


def test_a_text_is_a_string_for_everybody_else() -> None:
    """Copies, JSON and pickles of libraries get a plain string."""
    text = _("{count} of it").format(count=3)
    assert copy.deepcopy(text) is text
    assert json.dumps({"a": text}) == '{"a": "3 of it"}'
    assert type(pickle.loads(pickle.dumps(text))) is str
    assert (text + "!", "a " + text, text[2:], f"{text}") == ("3 of it!", "a 3 of it", "of it", "3 of it")


def test_what_is_asked_of_a_value_is_kept_or_the_text_is_plain() -> None:
    """A format that needs the object itself cannot be said again: the text stays as it was."""
    with speaking(SIMPLIFIED):
        assert _("{ratio:.2f} left").format(ratio=0.5) == "0.50 left"
        text = _("{error.args}").format(error=ValueError(1))
    with speaking(PSEUDO):
        assert localized(text) == "(1,)"


def test_texts_are_kept_in_english_and_read_in_any_language() -> None:
    """A database shows sentences to whoever opens it, and the console shows them in the reader's language."""
    with speaking(SIMPLIFIED):
        text = joined([plural("{count} document", "{count} documents", 2), _("Memory")], ": ")
        stored = kept(text)
    assert stored.startswith("2 documents: Memory")
    assert read_kept(stored) == "2 documents: Memory"
    with speaking(PSEUDO):
        assert read_kept(stored) == "⟦2 documents⟧: ⟦Memory⟧"
    assert read_kept("from before") == "from before"
    assert "\x1f" not in kept("somebody's name\x1f{}")


@pytest.mark.parametrize(
    "hostile",
    [
        '{"text":"{a:999999999}","values":{"a":"1"}}',
        '{"text":"{a.__class__.__mro__}","values":{"a":"1"}}',
        '{"text":"{a!r:>9999}","values":{"a":"1"}}',
        '{"text":"{a:{b}}","values":{"a":"1","b":"9999999"}}',
        '{"text":"{b}","values":{"a":"1"}}',
        '{"text":"x","plural":"{a:99999999}","count":2,"values":{"a":"1"}}',
        '{"text":"{a}","values":{"a":[1]}}',
        '{"parts":[' * 50 + '"x"' + "]}" * 50,
        '{"parts":[' * 100_000,
        '{"parts":"letters"}',
        "[1]",
        "{",
    ],
)
def test_what_a_child_process_sends_cannot_grow_or_look_around(hostile: str) -> None:
    """A reader of a hostile file may send anything as its error's text: the English words before it are shown then."""
    assert read_kept(f"It failed.\x1f{hostile}") == "It failed."


def test_both_catalogues_take_less_than_three_megabytes() -> None:
    """The memory of a ready process is a budget; a catalogue is loaded when its first reader comes."""
    tracemalloc.start()
    try:
        before, _peak = tracemalloc.get_traced_memory()
        kept_alive = [_catalogue.__wrapped__(name) for name in (SIMPLIFIED, TRADITIONAL)]
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all(catalogue.gettext("Memory") != "Memory" for catalogue in kept_alive)
    assert after - before < 3 * MEGABYTE
    assert peak - before < 5 * MEGABYTE
