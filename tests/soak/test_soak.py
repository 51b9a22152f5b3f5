from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.soak.__main__ import main
from tests.soak.report import text

TINY = "--questions 40 --conversations 6 --uploads 5 --visits 4 --model-questions 2 --stub-model --blocks 4 --shelf 10"


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_a_tiny_soak_ends_with_a_report(tmp_path: Path) -> None:
    """The soak that proves flat memory runs: all of its work is done, nothing fails, the report has every part."""
    code = main([*TINY.split(), "--floor-seconds", "0.3", "--tabs", "1", "--soak-only", "--output", str(tmp_path)])
    run = json.loads((tmp_path / "figures.json").read_text())
    soak = run["soak"]
    assert soak["failures"] == []
    assert code == 0
    assert soak["finished"]
    assert soak["failed"] == 0
    done = soak["done"]
    assert done["questions"] == 40
    assert done["uploads"] == 5
    assert done["sessions"] == 4
    assert done["model questions"] == 2
    assert len(soak["floors"]) == 4
    assert soak["restarts"] == 0
    assert soak["charts"][0] > 0
    assert done["answers that name the figure"] > done["answers"] // 2
    report = (tmp_path / "report.md").read_text()
    assert "slope of the post-collection floor" in report
    assert str(tmp_path) not in report
    for name in ("rss.png", "floors.png", "latency.png", "threads.png"):
        assert (tmp_path / name).stat().st_size > 5000
        assert name in report
    assert "stub" in soak["model"]
    assert soak["model"] in report


def test_an_interrupted_part_is_said_in_the_report() -> None:
    """Figures of a run that somebody stopped are not taken for those of a whole one."""
    assert "Interrupted" not in text({"interrupted": []}, [])
    assert "**Interrupted (soak):**" in text({"interrupted": ["soak"]}, [])
