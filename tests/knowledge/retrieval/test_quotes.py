from __future__ import annotations

import numpy as np
import pytest

from services.knowledge.retrieval.quotes import RankedPassage, quote
from services.knowledge.text.terms import located_terms
from services.knowledge.types import Quote

POND = "The mill was built in 1850. It stands by the pond. Ducks live there. Nobody knows why."


def ask(question: str, *passages: RankedPassage, limit: int = 3, **how) -> list[Quote]:
    located = located_terms(question)
    return quote(question, located, {term: 1.0 for term, _place in located}, passages, limit, **how)


def test_the_sentence_that_covers_the_question_comes_first() -> None:
    """It is copied word for word and names its hit."""
    quotes = ask("When was the mill built?", RankedPassage("Hills are high.", 0.4), RankedPassage(POND, 0.5))
    assert (quotes[0].hit, quotes[0].text) == (1, "The mill was built in 1850.")
    assert all(0 < item.score <= 1 for item in quotes)
    assert [item.score for item in quotes] == sorted((item.score for item in quotes), reverse=True)


def test_chinese_sentences() -> None:
    """Sentences end at Chinese full stops and are compared by pairs of characters."""
    quotes = ask("磨坊建于哪一年？", RankedPassage("水很深。磨坊建于1850年。鸭子住在这里。", 0.5))
    assert quotes[0].text == "磨坊建于1850年。"


def test_never_more_than_asked_for() -> None:
    """The limit holds over all hits together."""
    passages = [RankedPassage(f"The mill number {number} was built. The mill is old.", 0.5) for number in range(6)]
    assert len(ask("mill built", *passages)) == 3
    assert len(ask("mill built", *passages, limit=1)) == 1


def test_a_sentence_in_two_overlapping_chunks_is_quoted_once() -> None:
    """The better hit keeps it."""
    quotes = ask("When was the mill built?", RankedPassage(POND, 0.3), RankedPassage(POND, 0.6))
    texts = [item.text for item in quotes]
    assert len(texts) == len(set(texts))
    assert {item.hit for item in quotes} == {1}


def test_the_better_passage_decides_between_equal_sentences() -> None:
    """Where the words are the same, the passage's score tells."""
    quotes = ask("mill", RankedPassage("The mill burns.", 0.5), RankedPassage("The mill turns.", 0.8))
    assert [item.text for item in quotes] == ["The mill turns.", "The mill burns."]


def test_sentences_far_behind_are_left_out() -> None:
    """A sentence that is worth much less than the best one is no answer."""
    assert [
        item.hit for item in ask("mill built", RankedPassage("The mill was built.", 0.9), RankedPassage("Cats.", 0.1))
    ] == [0]


def test_meaning_counts_as_far_as_the_model_is_trusted() -> None:
    """With trust the sentence that the model finds close wins; without it the model is not even asked."""
    asked: list[str] = []

    def embed(text: str):
        asked.append(text)
        close = "question" in text or "mean" in text
        return np.array([1, 0] if close else [0, 1], np.float32)

    passage = RankedPassage("Plain words here. They mean it.", 0.5)
    assert ask("the question", passage, trust=1.0, embed=embed)[0].text == "They mean it."
    asked.clear()
    assert ask("the question", passage, trust=0.0, embed=embed)[0].text == "Plain words here."
    assert asked == []


def test_nothing_to_quote() -> None:
    """No hits, or hits without a word, give no quotes."""
    assert ask("mill") == []
    assert ask("mill", RankedPassage("—", 0.5)) == []


SLUICE = "How often are the seals of the sluice gate inspected?"
SEALS = "The seals are inspected every fourteen weeks by the keeper."


@pytest.mark.parametrize(
    "filler",
    ["2 The sluice gate", "## 2.1 The sluice gate", "Seals of the sluice gate", "How often are the seals inspected?"],
)
def test_what_only_repeats_the_question_is_not_quoted(filler: str) -> None:
    """A heading or a question says nothing that was not asked, however much of the question it covers."""
    assert [item.text for item in ask(SLUICE, RankedPassage(f"{filler}\n\n{SEALS}", 0.6))] == [SEALS]


def test_a_title_is_not_quoted_for_its_passage_alone() -> None:
    """The manual's name stands in a good passage and says nothing about the question."""
    manual = "水磨坊手册\n\n蓄水池的水位由看守人每天早晨记录在蓝色的册子里。\n\n石磨的刻槽每九十天重新打磨一次。"
    quotes = ask("石磨的刻槽多久打磨一次？", RankedPassage(manual, 0.6))
    assert [item.text for item in quotes] == ["石磨的刻槽每九十天重新打磨一次。"]


def test_a_title_comes_after_a_sentence_with_the_same_words() -> None:
    """A title counts by half: of two pieces with the same words the sentence is first."""
    passage = RankedPassage("The sluice gate inspected seals, new\n\nThe new sluice gate seals inspected.", 0.5)
    assert ask(SLUICE, passage, limit=1)[0].text == "The new sluice gate seals inspected."


def test_a_sentence_of_a_much_weaker_passage_is_left_out() -> None:
    """It shares words with the question, but its passage is about something else."""
    other = "The seals of the gate are often at the zoo."
    assert len(ask(SLUICE, RankedPassage(SEALS, 0.8), RankedPassage(other, 0.7))) == 2
    assert [item.text for item in ask(SLUICE, RankedPassage(SEALS, 0.8), RankedPassage(other, 0.3))] == [SEALS]


def test_an_answer_without_a_word_of_the_question_is_quoted_when_nothing_else_is() -> None:
    """After a question in the text comes its answer."""
    passage = RankedPassage("How often are the seals inspected? Every fourteen weeks.", 0.6)
    assert [item.text for item in ask(SLUICE, passage)] == ["Every fourteen weeks."]


def test_where_all_only_repeat_the_question_they_are_quoted() -> None:
    """Something relevant is shown rather than nothing."""
    assert [item.text for item in ask("the sluice gate", RankedPassage("2 The sluice gate", 0.6))] == [
        "2 The sluice gate"
    ]


def test_a_row_is_quoted_and_understood_by_its_labels() -> None:
    """The row that is asked for comes first; the labels count for every row and are no answer themselves."""
    table = "| Part | Inspected every |\n| --- | --- |\n| Axle | two years |\n| Sluice seals | fourteen weeks |"
    quotes = ask("How often are the sluice seals inspected?", RankedPassage(table, 0.6))
    assert quotes[0].text == "| Sluice seals | fourteen weeks |"
    assert "| Part | Inspected every |" not in [item.text for item in quotes]
    beside = ask(
        "Which part is inspected every week?", RankedPassage("A week is long.", 0.6), RankedPassage(table, 0.6)
    )
    assert beside[0].hit == 1


def test_a_number_is_an_answer() -> None:
    """A figure is news where it does not number a heading."""
    assert ask("mill built", RankedPassage("The mill.\n\nMill built 1850.", 0.5))[0].text == "Mill built 1850."
