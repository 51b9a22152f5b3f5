from __future__ import annotations

import pytest

from services.knowledge.retrieval.question_kinds import QuestionKind, content, understand


@pytest.mark.parametrize(
    ("question", "kind", "about"),
    [
        ("Summarise this document", QuestionKind.SUMMARY, ""),
        ("Please give me a short summary of the rental agreement", QuestionKind.SUMMARY, "the rental agreement"),
        ("What is this contract about?", QuestionKind.SUMMARY, "contract"),
        ("When is it open? Summarise this document", QuestionKind.SUMMARY, "When is it open? this document"),
        ("总结租赁合同", QuestionKind.SUMMARY, "租赁合同"),
        ("这份文件讲了什么？", QuestionKind.SUMMARY, ""),
        ("List all error codes", QuestionKind.LISTING, "error codes"),
        ("Which programmes are there?", QuestionKind.LISTING, "programmes"),
        ("列出所有产品的保修期", QuestionKind.LISTING, "产品的保修期"),
        ("有哪些课程？", QuestionKind.LISTING, "课程"),
        ("What is the difference between Eco and Intensive?", QuestionKind.COMPARISON, "Eco|Intensive"),
        ("Compare the bolt with the nut", QuestionKind.COMPARISON, "bolt|nut"),
        ("X100和X200有什么区别？", QuestionKind.COMPARISON, "X100|X200"),
        ("Are dogs allowed?", QuestionKind.DECISION, ""),
        ("可以陪床吗？", QuestionKind.DECISION, ""),
        ("How many employees are there in total?", QuestionKind.CALCULATION, ""),
        ("一共有多少员工？", QuestionKind.CALCULATION, ""),
        ("What does the contract say about pets?", QuestionKind.OPEN, ""),
        ("Can you tell me when it opens?", QuestionKind.OPEN, ""),
        ("When is it open?", QuestionKind.OPEN, ""),
        ("电源灯红色闪烁是什么意思？", QuestionKind.OPEN, ""),
        ("Wann ist geöffnet?", QuestionKind.OPEN, ""),
    ],
)
def test_what_a_question_asks_for(question: str, kind: QuestionKind, about: str) -> None:
    """Its kind, and what is to be summarised, listed or compared; what is not recognised is an open question."""
    understood = understand(question)
    assert (understood.kind, "|".join(understood.sides) or understood.subject) == (kind, about)


def test_the_content_of_a_question() -> None:
    """What is left without the words that make it one."""
    assert content("What should I do when E01 is shown?") == "E01"
    assert content("食堂在哪里？") == "食堂在"
    assert content("What is it?") == ""
