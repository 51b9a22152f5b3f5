from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.core.errors import CancelledError
from services.knowledge.retrieval.language_trust import LanguageTrust, script_shares
from services.knowledge.text.kinds import TextKind
from tests.knowledge.corpora import PAIRS
from tests.knowledge.encoders import Multilingual
from tests.knowledge.stores import IndexedStore

CJK = ("CJK", TextKind.PROSE)
BLIND = ["CYRILLIC", "GREEK", "ARABIC", "HANGUL", "CJK"]


class Blind(Multilingual):
    """Reads nothing, and its tokenizer knows nothing."""

    fingerprint = "blind"

    def embed_query(self, text):
        chance = np.random.default_rng(zlib.crc32(text.encode()))
        vector = chance.standard_normal(self.dimension).astype(np.float32)
        return vector / np.linalg.norm(vector)

    def unknown_share(self, _text):
        return 1.0


class Misjudged(Multilingual):
    """Knows every script, although its tokenizer looks as if it did not."""

    fingerprint = "misjudged"

    def unknown_share(self, _text):
        return 1.0


def chinese(count: int) -> list[str]:
    """Chunks of three sentences that have pairs of characters in common, and share few with other chunks."""
    chance = random.Random(7)
    made = []
    for _number in range(count):
        words = ["".join(chr(0x4E00 + chance.randrange(5000)) for _ in range(2)) for _ in range(6)]
        made.append("".join("的".join(chance.sample(words, 4)) + "。" for _ in range(3)))
    return made


@pytest.fixture
def store(tmp_path: Path, embedder) -> Iterator[IndexedStore]:
    store = IndexedStore(tmp_path, embedder)
    yield store
    store.close()


@pytest.mark.parametrize("script", BLIND)
def test_the_bundled_model_is_found_blind(store: IndexedStore, script: str) -> None:
    """Before and after measuring, scripts that MiniLM did not learn get little trust, and English gets much."""
    question = PAIRS[script][0][0]
    assert store.retriever.trust.for_text(question) < 0.3
    for language in (script, "LATIN"):
        for number, (first, second) in enumerate(PAIRS[language]):
            store.add(f"{language} {number}", [f"{first} {second}"])
    store.retriever.measure_trust()
    assert store.retriever.trust.for_text(question) < 0.3
    assert store.retriever.trust.for_text(PAIRS["LATIN"][0][0]) > 0.8


def test_before_there_are_documents_the_tokenizer_tells(store: IndexedStore) -> None:
    """English is trusted from the first question on, Chinese is not."""
    trust = store.retriever.trust
    assert trust.for_text("Where do bees live?") > 0.8
    assert trust.for_text("蜜蜂住在哪里？") < 0.1
    assert trust.for_text("12345") == 1.0


def test_what_is_measured_outweighs_the_tokenizer(tmp_path: Path) -> None:
    """On the same corpus a model that finds its way in it is trusted, and one that does not is not."""
    store = IndexedStore(tmp_path, Misjudged())
    for number, text in enumerate(chinese(40)):
        store.add(str(number), [text])
    for model, low, high in ((Misjudged(), 0.5, 1.0), (Blind(), 0.0, 0.1)):
        trust = LanguageTrust(store.database, store.chunks, model)
        assert trust.for_text("蜜蜂住在哪里？") == 0.0
        trust.measure()
        assert low <= trust.for_text("蜜蜂住在哪里？") <= high
    store.close()


def test_results_are_kept_per_model(tmp_path: Path) -> None:
    """Another process knows what was measured, and a different model starts anew."""
    model = Multilingual()
    store = IndexedStore(tmp_path, model)
    for number, text in enumerate(chinese(12)):
        store.add(str(number), [text])
    measured = LanguageTrust(store.database, store.chunks, model).measure()
    again = LanguageTrust(store.database, store.chunks, model)
    assert again.for_text("蜜蜂") == measured[CJK].trust
    assert measured[CJK].samples == 12
    assert LanguageTrust(store.database, store.chunks, Blind()).for_text("蜜蜂") == 0.0
    store.close()


def test_learning_again_waits_for_growth(tmp_path: Path) -> None:
    """The same library is not measured twice, one that grew by more than a tenth is; a cancelled run keeps the old."""
    model = Multilingual()
    store = IndexedStore(tmp_path, model)
    store.add("a", chinese(8))
    trust = LanguageTrust(store.database, store.chunks, model)
    assert trust.measure()[CJK].samples == 8
    assert trust.measure(lambda: True)[CJK].samples == 8
    store.add("b", [f"{first} {second}" for first, second in PAIRS["GREEK"]])
    with pytest.raises(CancelledError):
        trust.measure(lambda: True)
    assert trust.measure().keys() == {CJK, ("GREEK", TextKind.PROSE)}
    store.close()


def test_mixed_questions_count_by_letters(store: IndexedStore) -> None:
    """A question half in one script and half in another gets half of each trust."""
    mixed = store.retriever.trust.for_text("abcdefgh 蜜蜂住在哪里呢吗")
    assert 0.3 < mixed < 0.7


def test_scripts_come_from_unicode_names() -> None:
    """Shares are by letters; digits and punctuation are in no script, wide letters in that of the narrow ones."""
    assert script_shares("水 abc，１２") == {"LATIN": 0.75, "CJK": 0.25}
    assert script_shares("ＡＢ") == {"LATIN": 1.0}
    assert script_shares("42!") == {}


def test_pages_that_hardly_differ_do_not_count_against_the_embedder(store: IndexedStore) -> None:
    """A long list of near-identical English texts, which no embedder could tell apart, leaves English trusted."""
    months = ("January", "March", "May", "July", "October", "December")
    diary = [
        f"On day {day} of {months[day % 6]} the index_manager opened the sluice gate. The water stood at {day} inches. "
        f"He closed the gate before the evening and wrote the level into the book. Nothing else happened on day {day}."
        for day in range(200)
    ]
    store.add("diary", diary)
    trust = LanguageTrust(store.database, store.chunks, store.embedder)
    trust.measure()
    assert trust.for_text("When was the sluice gate opened?") > 0.8
