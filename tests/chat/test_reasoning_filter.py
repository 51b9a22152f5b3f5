from __future__ import annotations

import pytest

from services.chat.answer_filter import ReasoningFilter


def shown(pieces: list[str]) -> str:
    thinking = ReasoningFilter()
    return "".join(thinking.feed(piece) for piece in pieces) + thinking.flush()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>\nSeals [1]?\n</think>Twelve months [1].", "Twelve months [1]."),
        ("\n <think></think>Yes", "Yes"),
        ("No thought <think>here</think>.", "No thought <think>here</think>."),
        ("<thin", "<thin"),
        ("<think>never ends", ""),
        ("", ""),
        ("<think>a</think>b<think>c</think>", "b<think>c</think>"),
    ],
)
def test_a_thought_before_the_answer_is_not_shown(text: str, answer: str) -> None:
    """Whether it comes whole or in single characters."""
    assert shown([text]) == answer
    assert shown(list(text)) == answer


def test_thinking_is_not_kept_in_memory() -> None:
    """A model may think for megabytes."""
    thinking = ReasoningFilter()
    for _ in range(100):
        assert thinking.feed("<think>" + "x" * 10_000) == ""
    assert len(thinking._buffer) < 20
