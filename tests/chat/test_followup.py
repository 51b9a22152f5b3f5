from __future__ import annotations

import pytest

from services.chat.answer_generator import depends_on_previous


@pytest.mark.parametrize(
    "question",
    [
        "When did it open?",
        "And in 1998?",
        "Why?",
        "What about them?",
        "How long is that covered?",
        "Who is he?",
        "它多少钱？",
        "那什么时候开始的？",
        "该产品的保修期呢？",
    ],
)
def test_a_question_that_only_points_leans_on_the_one_before(question: str) -> None:
    """Without the question before it nobody knows what to search for."""
    assert depends_on_previous(question)


@pytest.mark.parametrize(
    "question",
    [
        "How long are the seals covered?",
        "Who is the author of this report on marine seals?",
        "What is its relation between oil pressure and pump speed?",
        "Warranty period",
        "Thanks",
        "密封件的保修期是多久？",
        "这份关于密封件保修和阀门更换的报告是谁写的？",
    ],
)
def test_a_question_that_names_its_subject_stands_alone(question: str) -> None:
    """Words of the question before would only lead its search astray."""
    assert not depends_on_previous(question)
