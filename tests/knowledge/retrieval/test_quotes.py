from __future__ import annotations

from collections.abc import Sequence

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
    quotes = ask("mill", RankedPassage("The mill burns.", 0.75), RankedPassage("The mill turns.", 0.8))
    assert [item.text for item in quotes] == ["The mill turns.", "The mill burns."]


def test_sentences_far_behind_are_left_out() -> None:
    """A sentence that is worth much less than the best one is no answer."""
    assert [
        item.hit for item in ask("mill built", RankedPassage("The mill was built.", 0.9), RankedPassage("Cats.", 0.1))
    ] == [0]


def test_meaning_counts_as_far_as_the_model_is_trusted() -> None:
    """With trust the sentence that the model finds close wins; without it the model is not even asked."""
    asked: list[str] = []

    def embed(texts: Sequence[str]):
        asked.extend(texts)
        return [np.array([1, 0] if "question" in text or "mean" in text else [0, 1], np.float32) for text in texts]

    passage = RankedPassage("Plain words here. They mean it.", 0.5)
    assert ask("the plain question", passage, trust=1.0, embed=embed)[0].text == "They mean it."
    asked.clear()
    assert ask("the plain question", passage, trust=0.0, embed=embed)[0].text == "Plain words here."
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
    other = "The seals are inspected every ten months by the miller."
    assert len(ask(SLUICE, RankedPassage(SEALS, 0.8), RankedPassage(other, 0.8))) == 2
    assert [item.text for item in ask(SLUICE, RankedPassage(SEALS, 0.8), RankedPassage(other, 0.3))] == [SEALS]


def test_an_answer_without_a_word_of_the_question_is_quoted_when_nothing_else_is() -> None:
    """After a question in the text comes its answer, and both are shown."""
    passage = RankedPassage("How often are the seals inspected? Every fourteen weeks.", 0.6)
    assert [(item.text, item.shown) for item in ask(SLUICE, passage)] == [
        ("Every fourteen weeks.", "How often are the seals inspected? Every fourteen weeks.")
    ]


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


def shown(question: str, text: str, *headings: str, document: str = "") -> list[str]:
    """Return how the quotes from one passage are shown."""
    return [one.shown for one in ask(question, RankedPassage(text, 0.6, headings, document))]


FAQ = """How long may I keep a book?

Four weeks. You can extend twice.

What does a lost card cost?

A replacement costs 7.50 EUR.
"""


def test_a_question_of_a_text_is_quoted_with_its_answer() -> None:
    """The answer is the point, however much of the question the other questions share."""
    assert shown("How long can I keep a book?", FAQ) == [
        "How long may I keep a book? Four weeks. You can extend twice."
    ]
    marked = "Q: Is food allowed?\nA: Drinks with a lid are welcome.\n\nQ: Are dogs allowed?\nA: Guide dogs only."
    assert shown("Are dogs allowed inside?", marked) == ["Are dogs allowed? Guide dogs only."]
    assert shown(
        "工资什么时候发？", "问：可以在家办公吗？\n答：每周两天。\n\n问：工资什么时候发放？\n答：每月十日。"
    ) == ["工资什么时候发放？ 每月十日。"]


CODES = "| Code | Meaning |\n| E01 | No water comes in |\n| E15 | Drain pump blocked |\n| E22 | Door not closed |"


def test_a_row_is_shown_with_the_names_of_its_columns() -> None:
    """One row as pairs; a table that is asked for as a whole is shown as one, with the title above."""
    assert shown("What does E15 mean?", CODES) == ["Code: E15 · Meaning: Drain pump blocked"]
    whole = ask("What are the faults?", RankedPassage(CODES, 0.6, ("Faults",)))
    assert whole[0].shown.splitlines()[:3] == ["| Code | Meaning |", "| --- | --- |", "| E01 | No water comes in |"]
    assert (whole[0].label, len(whole[0].shown.splitlines())) == ("Faults", 5)


STEPS = """To clean the filter:

1. Remove the basket.
2. Turn the filter and lift it out.
3. Rinse it.
"""


def test_steps_and_items_stay_together() -> None:
    """A procedure is quoted whole and in order; an item that is asked for with the lead-in of its list."""
    assert shown("How do I clean the filter?", STEPS) == [
        "To clean the filter:\n\n1. Remove the basket.\n2. Turn the filter and lift it out.\n3. Rinse it."
    ]
    effects = "Common side effects are:\n- headache\n- tiredness\n\nRare side effects are:\n- rash"
    assert shown("Is rash a rare side effect?", effects) == ["Rare side effects are: rash"]
    assert shown("What are common side effects?", effects)[0].startswith("Common side effects are:\n\n- headache")


def test_a_sentence_that_refers_back_is_shown_with_the_one_before_it() -> None:
    """ "They cost ..." says nothing without what they are."""
    panels = "The year was dry. Solar panels will be installed in Tampere. They cost 640,000 EUR. Nobody minds."
    assert shown("What do the solar panels cost?", panels) == [
        "Solar panels will be installed in Tampere. They cost 640,000 EUR."
    ]


def test_values_definitions_clauses_and_code() -> None:
    """Each is quoted with its name, its term, its label; code is quoted whole, in a fence."""
    assert shown("What weight has it?", "Noise: 44 dB\nWeight: 38 kg", "Data") == ["Weight: 38 kg"]
    assert shown("What is a halyard?", "Bow\n: The front end.\n\nHalyard\n: A line to hoist a sail.") == [
        "Halyard: A line to hoist a sail."
    ]
    clauses = "4. Rent. It is due on Mondays.\n\n5. Pets. Hamsters are allowed. Dogs need consent."
    assert shown("Are dogs allowed?", clauses) == ["5. Pets. Hamsters are allowed. Dogs need consent."]
    code = "To undo the last run:\n\n```\ntidepool undo\n```"
    assert shown("How do I undo a run?", code) == ["To undo the last run:\n\n```\ntidepool undo\n```"]
    log = "2026-03-02 08:14:02 INFO job started\n2026-03-02 08:52:10 ERROR vault-2 refused: certificate expired"
    assert shown("Why did vault-2 refuse?", log) == [log.splitlines()[1]]


def test_the_form_of_the_answer_counts() -> None:
    """Where the words are equal, the statement with a duration answers "how long"."""
    assert shown("How long is the course?", "The course is long. The course takes nine weeks.")[0].endswith(
        "nine weeks."
    )


def test_what_two_documents_have_is_quoted_once() -> None:
    """The quote names the other hit."""
    quotes = ask("When was the mill built?", RankedPassage(POND, 0.6), RankedPassage(POND, 0.5))
    assert [(item.hit, item.also) for item in quotes] == [(0, (1,))]
