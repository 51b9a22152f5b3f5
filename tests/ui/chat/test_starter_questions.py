from __future__ import annotations

import pytest

from console.ui.chat.starter_questions import starter_questions
from services.core.i18n import speaking
from services.knowledge.types import DocumentTopics


def about(*headings: str) -> DocumentTopics:
    return DocumentTopics("handbook.md", tuple(("Handbook", each) for each in headings))


def test_each_document_has_its_turn() -> None:
    """Three questions about the first of many documents would hide that there are others."""
    mill, pond = about("The wheel", "The axle", "The roof"), about("The heron")
    assert starter_questions([mill, pond], 3) == [
        "Tell me about “The wheel”.",
        "Tell me about “The heron”.",
        "Tell me about “The axle”.",
    ]
    assert starter_questions([], 3) == []


@pytest.mark.parametrize(
    ("heading", "question"),
    [
        ("1.2 Seal inspection", "Tell me about “Seal inspection”."),
        ("IV. Scope of delivery:", "Tell me about “Scope of delivery”."),
        ("2024 results", "Tell me about “2024 results”."),
        ("Section leaders", "Tell me about “Section leaders”."),
        ("How is a seal replaced?", "How is a seal replaced?"),
        ("第三章 保修条款", "请介绍一下“保修条款”。"),
        ("（二）水位", "请介绍一下“水位”。"),
    ],
)
def test_a_heading_becomes_a_question_in_its_language(heading: str, question: str) -> None:
    """Numbers of chapters are no words to search for, and a Chinese document is asked in Chinese."""
    assert starter_questions([about(heading)], 3) == [question]


@pytest.mark.parametrize("empty", ["Introduction", "1. OVERVIEW", "目录", "3.1", "…", "x" * 80, "第一章 概述"])
def test_headings_that_name_nothing_are_left_out(empty: str) -> None:
    """A document that has no others is asked for as a whole, by its name."""
    assert starter_questions([about(empty)], 3) == ["Summarise the document “handbook”."]


def test_a_reader_of_chinese_asks_english_documents_in_english() -> None:
    """The question would hardly be found in the document otherwise, nor sound like one question."""
    with speaking("zh_TW"):
        assert starter_questions([about("The wheel"), about("保修條款")], 3) == [
            "Tell me about “The wheel”.",
            "請介紹一下「保修條款」。",
        ]
