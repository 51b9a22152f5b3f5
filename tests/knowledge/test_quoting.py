from __future__ import annotations

import numpy as np

from services.knowledge.quoting import Passage, quote
from services.knowledge.segmentation import located_terms
from services.knowledge.types import Quote

POND = "The mill was built in 1850. It stands by the pond. Ducks live there. Nobody knows why."


def ask(question: str, *passages: Passage, limit: int = 3, **how) -> list[Quote]:
    located = located_terms(question)
    return quote(question, located, {term: 1.0 for term, _place in located}, passages, limit, **how)


def test_the_sentence_that_covers_the_question_comes_first() -> None:
    """It is copied word for word and names its hit."""
    quotes = ask("When was the mill built?", Passage("Hills are high.", 0.4), Passage(POND, 0.5))
    assert (quotes[0].hit, quotes[0].text) == (1, "The mill was built in 1850.")
    assert all(0 < item.score <= 1 for item in quotes)
    assert [item.score for item in quotes] == sorted((item.score for item in quotes), reverse=True)


def test_chinese_sentences() -> None:
    """Sentences end at Chinese full stops and are compared by pairs of characters."""
    quotes = ask("磨坊建于哪一年？", Passage("水很深。磨坊建于1850年。鸭子住在这里。", 0.5))
    assert quotes[0].text == "磨坊建于1850年。"


def test_never_more_than_asked_for() -> None:
    """The limit holds over all hits together."""
    passages = [Passage(f"The mill number {number} was built. The mill is old.", 0.5) for number in range(6)]
    assert len(ask("mill built", *passages)) == 3
    assert len(ask("mill built", *passages, limit=1)) == 1


def test_a_sentence_in_two_overlapping_chunks_is_quoted_once() -> None:
    """The better hit keeps it."""
    quotes = ask("When was the mill built?", Passage(POND, 0.3), Passage(POND, 0.6))
    texts = [item.text for item in quotes]
    assert len(texts) == len(set(texts))
    assert {item.hit for item in quotes} == {1}


def test_the_better_passage_decides_between_equal_sentences() -> None:
    """Where the words are the same, the passage's score tells."""
    quotes = ask("mill", Passage("The mill burns.", 0.2), Passage("The mill turns.", 0.8))
    assert [item.text for item in quotes] == ["The mill turns.", "The mill burns."]


def test_sentences_far_behind_are_left_out() -> None:
    """A sentence that is worth much less than the best one is no answer."""
    assert [item.hit for item in ask("mill built", Passage("The mill was built.", 0.9), Passage("Cats.", 0.1))] == [0]


def test_meaning_counts_as_far_as_the_model_is_trusted() -> None:
    """With trust the sentence that the model finds close wins; without it the model is not even asked."""
    asked: list[str] = []

    def embed(text: str):
        asked.append(text)
        close = "question" in text or "mean" in text
        return np.array([1, 0] if close else [0, 1], np.float32)

    passage = Passage("Plain words here. They mean it.", 0.5)
    assert ask("the question", passage, trust=1.0, embed=embed)[0].text == "They mean it."
    asked.clear()
    assert ask("the question", passage, trust=0.0, embed=embed)[0].text == "Plain words here."
    assert asked == []


def test_nothing_to_quote() -> None:
    """No hits, or hits without a word, give no quotes."""
    assert ask("mill") == []
    assert ask("mill", Passage("—", 0.5)) == []
