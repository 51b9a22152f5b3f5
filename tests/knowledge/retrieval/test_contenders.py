"""Of passages that are about as good, the one with a statement that says most of what is asked comes first."""

from __future__ import annotations

from collections import defaultdict

from services.knowledge.retrieval.contenders import STATEMENT_WEIGHT, ranked_by_statement
from services.knowledge.retrieval.scoring import Alternative
from services.knowledge.retrieval.wording import Asked
from services.knowledge.text.stems import question_stems
from services.knowledge.text.terms import located_terms
from services.knowledge.types import Hit

QUESTION = "Who sang the anthem at the final?"
SCATTERED = "The final was long. Somebody wrote an anthem in May. A choir sang in the rain."
TOGETHER = "The evening was cold. Lady Gaga sang the anthem at the opening of the final."
IDF = defaultdict(lambda: 1.0)


def hit(chunk: int, text: str, score: float) -> Hit:
    return Hit(chunk, chunk, f"{chunk}.txt", 1, text, score)


def asked(question: str, *alternatives: Alternative) -> Asked:
    return Asked(question, tuple(located_terms(question)), alternatives)


def ranked(*hits: Hit, foreign: tuple[int, ...] = ()) -> list[int]:
    return [one.chunk_id for one in ranked_by_statement(hits, asked(QUESTION), IDF, {}, foreign)]


def test_a_statement_that_says_it_outdoes_words_all_over_a_passage() -> None:
    assert ranked(hit(1, SCATTERED, 0.50), hit(2, TOGETHER, 0.46)) == [2, 1]


def test_a_much_better_passage_stays_first_with_its_score() -> None:
    hits = [hit(1, SCATTERED, 0.50), hit(2, TOGETHER, 0.50 - STATEMENT_WEIGHT - 0.01)]
    assert ranked_by_statement(hits, asked(QUESTION), IDF, {}) == hits


def test_scores_fall_from_first_to_last_and_stay_below_one() -> None:
    hits = [hit(1, SCATTERED, 0.97), hit(2, TOGETHER, 0.96), hit(3, TOGETHER + " Again.", 0.90), hit(4, "Rain.", 0.60)]
    scores = [one.score for one in ranked_by_statement(hits, asked(QUESTION), IDF, {})]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] <= 1


def test_a_passage_in_another_script_loses_nothing_for_having_none_of_the_words() -> None:
    """Its words cannot be the question's: beside a passage that has some of them, it stays where it is."""
    few = "The final was long, and it rained all evening."
    assert ranked(hit(1, "开幕式上由一位歌手演唱国歌。", 0.50), hit(2, few, 0.48), foreign=(1,)) == [1, 2]
    assert ranked(hit(1, "An opera in a park.", 0.50), hit(2, few, 0.48)) == [2, 1]


def test_another_form_counts_that_shares_only_its_stem() -> None:
    """Сеть and сети share three letters: too few to be told from other words, but their stem is the same."""
    question = "Где сеть?"
    term, places = next(one for one in located_terms(question) if one[0] == "сеть")
    stem = next(one for one in question_stems(question)[term] if one.startswith("ru"))
    hits = [hit(1, "Где это было, знает он.", 0.50), hit(2, "Рыбаки починили сети.", 0.46)]
    known = asked(question, Alternative(stem, places, 0.5))
    idf = defaultdict(lambda: 1.0, {"где": 0.1})
    assert [one.chunk_id for one in ranked_by_statement(hits, known, idf, {2: {stem: 1.0}})] == [2, 1]
    assert [one.chunk_id for one in ranked_by_statement(hits, asked(question), idf, {})] == [1, 2]
