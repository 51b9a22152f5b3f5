from __future__ import annotations

import pytest

from services.core.events import EventKind
from services.core.machine import MEGABYTE
from services.memory.leaks.causes import CauseFinder
from services.memory.leaks.course import Step
from tests.memory.leaks.histories import EPOCH, TimeLine


@pytest.mark.parametrize(
    ("model_megabytes", "kinds"),
    [
        pytest.param(90, [EventKind.MODEL, EventKind.UPLOAD], id="both"),
        pytest.param(160, [EventKind.MODEL], id="the measured one explains it"),
        pytest.param(400, [EventKind.UPLOAD], id="the measured one was another step"),
    ],
)
def test_what_a_measured_cause_leaves_is_told_with_another(model_megabytes: int, kinds: list[EventKind]) -> None:
    """Fails if 100 MB of upload hide behind a model that was loaded in the same minute, or if it is blamed beside one
    that explains everything.
    """
    line = TimeLine()
    line.add(
        EPOCH + 60, EventKind.MODEL, "loaded", rss_before=300.0 * MEGABYTE, rss=(300.0 + model_megabytes) * MEGABYTE
    )
    line.add(EPOCH + 70, EventKind.UPLOAD, "mill.docx", bytes=100.0 * MEGABYTE, documents=1)
    step = Step(EPOCH + 58, EPOCH + 66, EPOCH + 62, 177.0 * MEGABYTE)
    (named,) = CauseFinder(line).name_steps([step])
    assert [cause.kind for cause in named.causes] == kinds
