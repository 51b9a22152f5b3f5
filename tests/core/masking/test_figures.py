from __future__ import annotations

import functools

import pytest

from services.core.masking import PersonalKind
from tests.core.masking.figures import Figures, measure, table
from tests.core.masking.held_out_style import HeldOutStyle
from tests.core.masking.second_tuning_style import SecondTuningStyle
from tests.core.masking.tuning_style import TuningStyle

LEAST = 0.98
SAMPLES = 500


@functools.cache
def held_out() -> dict[str, Figures]:
    style = HeldOutStyle(2026)
    return measure(style.sample() for _number in range(SAMPLES))


@pytest.mark.parametrize("kind", ["all", *(kind.value for kind in PersonalKind)])
def test_precision_and_recall_on_texts_in_a_manner_that_was_not_tuned_by(kind: str) -> None:
    """Personal data of a kind stays readable, or order numbers, dates and prices become unreadable."""
    figures = held_out()[kind]
    assert figures.planted >= 40
    assert figures.recall >= LEAST, table(held_out())
    assert figures.precision >= LEAST, table(held_out())


@pytest.mark.parametrize("style", [TuningStyle(77), SecondTuningStyle(77)], ids=["letters", "chats"])
def test_precision_and_recall_on_texts_of_a_new_seed(style: TuningStyle | SecondTuningStyle) -> None:
    """A change for one kind of text makes another one worse."""
    found = measure(style.sample() for _number in range(120))["all"]
    assert found.recall >= LEAST
    assert found.precision >= LEAST
