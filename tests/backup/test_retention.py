from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.backup.retention import RetentionRule, kept

TIMES = st.lists(st.integers(1_600_000_000, 1_600_000_000 + 200 * 86_400).map(float), min_size=1, max_size=60)
RULES = st.builds(RetentionRule, st.integers(1, 5), st.integers(0, 10), st.integers(0, 6))


def day(moment: float) -> object:
    return datetime.fromtimestamp(moment, UTC).date()


def week(moment: float) -> object:
    return tuple(datetime.fromtimestamp(moment, UTC).isocalendar())[:2]


@given(TIMES, RULES)
def test_what_the_rule_promises_is_kept_and_no_more(times: list[float], rule: RetentionRule) -> None:
    """The newest one of a day or week would be removed, or backups would be kept for ever."""
    found = kept(times, rule)
    newest_first = sorted(set(times), reverse=True)
    assert set(newest_first[: rule.last]) <= found <= set(times)
    for span, most in ((day, rule.daily), (week, rule.weekly)):
        spans = list(dict.fromkeys(span(each) for each in newest_first))[:most]
        assert {max(each for each in times if span(each) == one) for one in spans} <= found
    assert len(found) <= rule.last + rule.daily + rule.weekly


@given(TIMES, RULES)
def test_keeping_again_removes_nothing_more(times: list[float], rule: RetentionRule) -> None:
    """Each backup would remove some of those that the one before has kept."""
    found = kept(times, rule)
    assert kept(found, rule) == found


@given(TIMES, RULES)
def test_one_after_the_other_keeps_what_all_at_once_would(times: list[float], rule: RetentionRule) -> None:
    """What is removed with each new backup would be missed by the rule later: the last of each week, say."""
    there: set[float] = set()
    for moment in sorted(set(times)):
        there = kept({*there, moment}, rule)
    assert there == kept(times, rule)
