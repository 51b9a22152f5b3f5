from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.core.actor import SERVICE
from services.core.errors import CancelledError
from services.knowledge.retrieval.language_trust import LanguageTrust
from services.knowledge.text.kinds import TextKind
from services.knowledge.text.scripts import script_shares
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


def rows(chunk: int) -> str:
    """A chunk of a table of orders."""
    header = "| order | customer | article | return fee | date |\n"
    return header + "\n".join(
        f"| WES-{20 * chunk + row} | customer {row * 7 % 90} | garden hose {row} m | {row + 2}.50 | 2026-03-{row:02} |"
        for row in range(1, 7)
    )


COMPANIONS = {
    "table": [rows(chunk) for chunk in range(24)],
    "log": [
        "\n".join(
            f"2026-03-09 14:{chunk:02}:{line:02} INFO pump[{line * 17 % 99}]: took {line} ms" for line in range(6)
        )
        for chunk in range(24)
    ],
    "code": [
        "\n".join(f"def step_{chunk}_{line}(value):\n    return value[{line}] + {chunk};" for line in range(5))
        for chunk in range(24)
    ],
    "keys": [" ".join(f"{(chunk * 97 + word) * 2654435761 % 2**64:016x}" for word in range(6)) for chunk in range(24)],
    "scan": [
        f"0n day {day} thc kccpcr 0pencd fhe 51uice gafe. Thc wafcr 5t00d af {day} irichcs. Hc cl0scd fhc gafc agairi."
        for day in range(24)
    ],
    "diary": [
        f"On day {day} the keeper opened the gate. The water stood at {day} inches. He closed it." for day in range(24)
    ],
}


@pytest.mark.parametrize("companion", COMPANIONS)
def test_one_source_does_not_decide_for_prose(store: IndexedStore, companion: str) -> None:
    """Beside a few pages of prose lies something large that no embedder can tell apart: prose stays trusted, and its
    questions are answered as before, by meaning too.
    """
    for number, (first, second) in enumerate(PAIRS["LATIN"]):
        store.add(f"prose {number}", [f"{first} {second}"])
    questions = ["Where do bees live?", "physician medication", "When does the locomotive come from the capital?"]
    store.retriever.measure_trust()
    before = [store.retriever.search(SERVICE, question).hits[0].document for question in questions]
    store.add(companion, COMPANIONS[companion])
    store.retriever.measure_trust()
    results = [store.retriever.search(SERVICE, question) for question in questions]
    assert [result.dense_trust for result in results] == [pytest.approx(1.0, abs=0.15)] * 3
    assert [result.hits[0].document for result in results] == before
    assert not store.retriever.search(SERVICE, "Capital of Mongolia?").relevant


def test_a_kind_that_the_embedder_cannot_tell_apart_counts_less_by_itself(store: IndexedStore) -> None:
    """Trust is reported for each kind; what no model can know has none, whatever is measured."""
    for number, (first, second) in enumerate(PAIRS["LATIN"]):
        store.add(f"prose {number}", [f"{first} {second}"])
    store.add("code", COMPANIONS["code"])
    store.retriever.measure_trust()
    trust = store.retriever.trust
    measured = {(each.script, each.kind): each for each in store.retriever.measured_trust()}
    assert measured["LATIN", "prose"].trust > 0.8
    assert measured["LATIN", "prose"].samples == len(PAIRS["LATIN"])
    question = "Where do bees live?"
    assert (
        trust.for_kind("unreadable", question)
        == 0
        < trust.for_kind("table", question)
        < trust.for_kind("prose", question)
    )


def test_trust_is_measured_anew_after_a_deletion(tmp_path: Path) -> None:
    """What was measured on documents that are gone is not kept."""
    store = IndexedStore(tmp_path, Multilingual())
    for number, text in enumerate(chinese(10)):
        store.add(f"zh {number}", [text])
    for number, (first, second) in enumerate(PAIRS["GREEK"]):
        store.add(f"el {number}", [f"{first} {second}"])
    trust = store.retriever.trust
    assert {script for script, _kind in trust.measure()} == {"CJK", "GREEK"}
    for number in range(10):
        store.delete(f"zh {number}")
    assert {script for script, _kind in trust.measure()} == {"GREEK"}
    store.close()
