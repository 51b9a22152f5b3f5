from __future__ import annotations

from services.memory.budget.levels import RefusalLog


def test_a_period_of_refusals_is_reported_twice() -> None:
    """A thousand refusals would be a thousand alerts, or none; and nobody would learn that they have ended."""
    now = [100.0]
    refusals = RefusalLog(lambda: now[0], quiet=30.0)
    assert refusals.poll() == ""
    for _number in range(1000):
        refusals.record("A new file")
    refusals.record("A long question")
    assert refusals.poll() == "Refused for lack of memory: A new file, A long question"
    assert refusals.poll() == ""
    now[0] += 29.0
    refusals.record("A new file")
    now[0] += 29.0
    assert refusals.poll() == ""
    now[0] += 2.0
    assert "1,002 requests were refused" in refusals.poll()
    assert not refusals.active
    assert refusals.poll() == ""
    refusals.record("A new file")
    assert refusals.poll() == "Refused for lack of memory: A new file"


def test_kinds_of_refusals_are_bounded() -> None:
    """Names that come from outside would fill the memory, just when there is none."""
    refusals = RefusalLog(lambda: 0.0, quiet=0.0)
    for number in range(1000):
        refusals.record(f"Work {number}")
    refusals.poll()
    assert len(refusals._counts) <= 21
