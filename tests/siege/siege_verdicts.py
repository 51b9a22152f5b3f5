"""Replayed histories whose sentence a reader of the chart would call wrong: steps, ramps, teeth, restarts, gaps."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

from tests.memory.leaks.chart_reader import complaints
from tests.memory.leaks.histories import SHAPES, make, replay
from tests.siege.report import Report

HISTORIES = 10 * len(SHAPES)
_ZONES = UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Shanghai")


def run(report: Report) -> None:
    wrong = sentences = 0
    for number in range(HISTORIES):
        name, story = make(number)
        found: list[str] = []
        for verdict, begin in replay(story):
            sentences += 1
            found += complaints(verdict, story, begin, _ZONES[number % len(_ZONES)])
        wrong += bool(found)
        for complaint in found[:2]:
            print(f"  {number} {name}: {complaint}", flush=True)
    report("histories with a wrong sentence", wrong, 0, "", f"of {HISTORIES} replayed ones, {sentences} sentences")
