from __future__ import annotations

from services.memory.budget.levels import Refusals


def test_a_stretch_of_refusals_is_told_twice() -> None:
    """A thousand refusals would be a thousand alerts, or none; and nobody would hear that they have ended."""
    now = [100.0]
    refusals = Refusals(lambda: now[0], quiet=30.0)
    assert refusals.sweep() == ""
    for _number in range(1000):
        refusals.note("A new file")
    refusals.note("A long question")
    assert refusals.sweep() == "Refused for want of memory: A new file, A long question"
    assert refusals.sweep() == ""
    now[0] += 29.0
    refusals.note("A new file")
    now[0] += 29.0
    assert refusals.sweep() == ""
    now[0] += 2.0
    assert "1,002 requests were refused" in refusals.sweep()
    assert not refusals.going_on
    assert refusals.sweep() == ""
    refusals.note("A new file")
    assert refusals.sweep() == "Refused for want of memory: A new file"


def test_kinds_of_refusals_are_bounded() -> None:
    """Names that come from outside would fill the memory, just when there is none."""
    refusals = Refusals(lambda: 0.0, quiet=0.0)
    for number in range(1000):
        refusals.note(f"Work {number}")
    refusals.sweep()
    assert len(refusals._counts) <= 21
