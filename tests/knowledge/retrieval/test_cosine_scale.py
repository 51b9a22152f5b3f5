"""What cosines mean: one scale for models that press them together, for pairs of scripts, and across languages."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.actor import SERVICE
from services.knowledge.retrieval.cosine_scale import UNIT, CosineScale, measure_scale
from services.knowledge.retrieval.parallel_texts import QUESTIONS_AND_STATEMENTS
from services.knowledge.text.scripts import main_script, related_scripts, script_shares
from tests.knowledge.encoders import Multilingual
from tests.knowledge.stores import IndexedStore

FACTS = {text: fact for _script, facts in QUESTIONS_AND_STATEMENTS for fact, pair in enumerate(facts) for text in pair}


class Pressed(Multilingual):
    """Knows a few facts in every language; its cosines of unrelated texts are near .8, and lower across scripts."""

    dimension = 64
    fingerprint = "pressed"
    known = FACTS | {"Who feeds the hens?": 10, "母鸡由奶奶喂养。": 10, "The hens are fed by grandmother.": 10}

    def embed_query(self, text):
        vector = np.zeros(self.dimension, np.float32)
        vector[0] = 2.0
        vector[1 + zlib.crc32(main_script(text).encode()) % 8] = 0.5
        chance = np.random.default_rng(zlib.crc32(text.encode()))
        vector[20:] += 0.1 * chance.standard_normal(44).astype(np.float32)
        vector[9 + self.known.get(text, 11 + zlib.crc32(text.encode()) % 40)] += 0.9
        return vector / np.linalg.norm(vector)


def scale_of(model: Multilingual) -> CosineScale:
    return measure_scale(lambda texts: np.stack([model.embed_query(text) for text in texts]), model.embed_chunks)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[IndexedStore]:
    store = IndexedStore(tmp_path, Pressed())
    yield store
    store.close()


def test_unrelated_texts_are_near_nothing_and_answers_far_above() -> None:
    """Within a script and across two, whatever the model's own cosines are."""
    model = Pressed()
    scale = scale_of(model)
    assert scale.is_needed
    for asked, script in (("LATIN", "LATIN"), ("LATIN", "CJK"), ("CJK", "CJK")):
        unrelated = scale.background[asked, script]
        assert unrelated > 0.7
        assert scale.scaled(unrelated, asked, script) == 0.0
        assert scale.scaled(unrelated + scale.spread[asked, script], asked, script) == pytest.approx(UNIT)
        assert scale.knows(asked, script) == 1.0
    assert scale.background["LATIN", "CJK"] < scale.background["LATIN", "LATIN"]


def test_a_model_with_cosines_near_zero_keeps_them(embedder) -> None:
    """MiniLM's are what weights and limits were measured on; that it does not know Chinese is seen."""
    scale = scale_of(embedder)
    assert not scale.is_needed
    assert scale.scaled(0.37, "LATIN", "LATIN") == 0.37
    assert scale.scaled(-0.1, "LATIN", "LATIN") == 0.0
    assert scale.knows("LATIN", "CJK") == 0.0
    assert scale.knows("CJK", "LATIN") == 0.0


def test_scripts_that_were_not_measured_get_the_mean_of_their_like() -> None:
    """A question in Georgian is not left without a scale."""
    scale = scale_of(Pressed())
    assert scale.knows("GEORGIAN", "GEORGIAN") is None
    alike = [value for (one, other), value in scale.background.items() if one == other]
    assert scale.scaled(min(alike) - 0.01, "GEORGIAN", "GEORGIAN") == 0.0
    assert scale.scaled(max(alike) + 0.2, "GEORGIAN", "GEORGIAN") > 0.0
    assert scale.popularity(np.eye(64, dtype=np.float32), "GEORGIAN").shape == (64,)


def test_a_corpus_shifts_the_scale_as_far_as_there_is_of_it() -> None:
    """Long passages of one field have other cosines than short statements; two of them prove nothing."""
    model = Pressed()
    scale = scale_of(model)
    passages = np.stack([model.embed_query(f"passage {number}") for number in range(200)])
    few, many = scale.adapted({"LATIN": passages[:2]}), scale.adapted({"LATIN": passages})
    pair = ("LATIN", "LATIN")
    true = float((model_questions(scale) @ passages.T).mean())
    before = scale.background[pair]
    assert abs(many.background[pair] - true) < 0.2 * abs(before - true)
    assert abs(few.background[pair] - before) < 0.2 * abs(many.background[pair] - before)
    assert many.background["CJK", "CJK"] == scale.background["CJK", "CJK"]


def model_questions(scale: CosineScale) -> np.ndarray:
    return scale.asked["LATIN"]


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Fritz Haber 是谁？", "CJK"),
        ("谁写了 The Origin of Species？", "CJK"),
        ("東京の水車はどこですか", "HIRAGANA"),
        ("What does 水 mean?", "LATIN"),
        ("1912?", ""),
    ],
)
def test_a_name_in_other_letters_does_not_make_a_question_foreign(text: str, script: str) -> None:
    """One Latin name has more letters than a whole question in Chinese."""
    assert main_script(text) == script


@given(st.text(alphabet="abé Яж水车カか한ไท1,，ａ—", max_size=40))
def test_letters_that_outweigh_all_others_decide_as_a_look_at_each_does(text: str) -> None:
    words = {"CJK": 8.0, "HIRAGANA": 8.0, "KATAKANA": 8.0, "HANGUL": 4.0}
    weights = {script: share * words.get(script, 1.0) for script, share in script_shares(text).items()}
    assert weights.get(main_script(text), 0.0) == max(weights.values(), default=0.0)


def test_japanese_and_chinese_share_words() -> None:
    """Lexical silence between the two is evidence, between Chinese and English it is none."""
    assert related_scripts("HIRAGANA", "CJK")
    assert not related_scripts("LATIN", "CJK")


def fill(store: IndexedStore, texts: Sequence[str]) -> None:
    for number, text in enumerate(texts):
        store.add(f"{number}", [text])


OTHERS = [
    "The barn is painted red every fourth year.",
    "The road to the village was closed by snow.",
    "Who buys grain pays at the office.",
    "磨坊的轮子每年春天上油。",
    "村子里的路被雪封住了。",
]


def test_the_scale_follows_what_is_taken_in(store: IndexedStore) -> None:
    """It was adapted once, before the first document, and again when the service was idle: what was asked right after
    an upload was judged by other texts than those there are.
    """
    trust, model = store.retriever.trust, store.embedder
    assert trust is not None
    fill(store, [f"Passage {number} tells of the mill, its wheel and its pond." for number in range(60)])
    store.retriever.search(SERVICE, "Who feeds the hens?")
    pair = ("LATIN", "LATIN")
    adapted = trust.scales.of(model, 60)
    assert adapted.background[pair] != trust.scales.own(model).background[pair]
    assert trust.scales.of(model, 63) is adapted
    assert trust.scales.of(model, 80) is not adapted


def test_a_passage_in_another_script_is_found_by_meaning_alone(store: IndexedStore) -> None:
    """None of the question's words can be in it: that is no reason to put it behind passages that share a word."""
    fill(store, [*OTHERS, "Who sells hens, feeds them until they are sold."])
    store.add("answer", ["母鸡由奶奶喂养。"])
    result = store.retriever.search(SERVICE, "Who feeds the hens?")
    assert result.hits[0].document == "answer"
    assert result.relevant


def test_in_one_script_words_count_as_before(store: IndexedStore) -> None:
    """The passage that has both the meaning and the words is first."""
    fill(store, OTHERS)
    store.add("translation", ["母鸡由奶奶喂养。"])
    store.add("answer", ["The hens are fed by grandmother."])
    hits = store.retriever.search(SERVICE, "Who feeds the hens?", k=9).hits
    found = [hit.document for hit in hits]
    assert found[0] == "answer"
    assert found.index("translation") < min(found.index("3"), found.index("4"))


def test_a_model_that_does_not_know_two_scripts_finds_nothing_across_them(tmp_path: Path, embedder) -> None:
    """MiniLM's cosines with Chinese passages are chance: they do not crowd out what shares the question's words."""
    store = IndexedStore(tmp_path, embedder)
    fill(store, OTHERS)
    store.add("hens", ["Grandmother has fed the hens since spring."])
    hits = store.retriever.search(SERVICE, "Who feeds the hens?").hits
    assert hits[0].document == "hens"
    assert all(hit.score == 0.0 for hit in hits if main_script(hit.text) == "CJK")
    store.close()
