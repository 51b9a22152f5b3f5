from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from services.app.gc_experiment import build_experiments
from services.core.actor import SERVICE
from services.core.errors import UnavailableError
from services.core.events import NullEventSink
from services.core.settings import Settings
from services.knowledge.library import Library
from services.memory.budget.governor import Governor
from services.memory.budget.types import BudgetLevel
from services.memory.clock import Clock
from services.memory.gc_experiment.workload import OFF
from services.memory.process import rss_bytes
from services.operations.request_log import RecentRequests
from tests.memory.gc_experiment.environments import MB


def governor(limit: int, level: BudgetLevel = BudgetLevel.CALM, *, enabled: bool = True) -> Governor:
    state = SimpleNamespace(enabled=enabled, level=level, budget=SimpleNamespace(limit=limit))
    return cast("Governor", SimpleNamespace(state=lambda: state))


@pytest.mark.parametrize(("headroom", "level"), [(150 * MB, BudgetLevel.CALM), (100_000 * MB, BudgetLevel.HIGH)])
def test_a_budget_without_headroom_for_a_child_refuses(tmp_path: Path, headroom: int, level: BudgetLevel) -> None:
    """A limit 150 MB above RSS, or one whose high watermark is reached, lets no child of several hundred MB begin."""
    library = cast("Library", SimpleNamespace(documents=lambda **_limit: []))
    log = RecentRequests(rss_bytes, lambda: None)
    with ExitStack() as closing:
        experiments = build_experiments(
            Settings(data_dir=tmp_path),
            Clock(),
            NullEventSink(),
            governor(rss_bytes() + headroom, level),
            log,
            library,
            closing,
        )
        with pytest.raises(UnavailableError, match="memory budget leaves"):
            experiments.start(SERVICE, [OFF])
        assert not experiments.running
