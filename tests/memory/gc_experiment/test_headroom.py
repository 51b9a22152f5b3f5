from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from services.app.container import Runtime
from services.app.gc_experiment import offer_experiments
from services.core.access import SERVICE
from services.core.errors import UnavailableError
from services.core.events import NullEventSink
from services.core.settings import Settings
from services.memory.budget.types import BudgetLevel
from services.memory.clock import Clock
from services.memory.gc_experiment.workload import OFF
from services.memory.process import rss_bytes
from tests.memory.gc_experiment.environments import MB


def runtime(folder: Path, limit: int, level: BudgetLevel = BudgetLevel.CALM, *, enabled: bool = True) -> Runtime:
    state = SimpleNamespace(enabled=enabled, level=level, budget=SimpleNamespace(limit=limit))
    built = SimpleNamespace(
        settings=Settings(data_dir=folder),
        clock=Clock(),
        reporter=NullEventSink(),
        governor=SimpleNamespace(state=lambda: state),
    )
    return cast("Runtime", built)


@pytest.mark.parametrize(("room", "level"), [(150 * MB, BudgetLevel.CALM), (100_000 * MB, BudgetLevel.HIGH)])
def test_a_budget_without_room_for_a_child_refuses(tmp_path: Path, room: int, level: BudgetLevel) -> None:
    """A limit 150 MB above RSS, or one whose high watermark is reached, lets no child of several hundred MB begin."""
    service = runtime(tmp_path, rss_bytes() + room, level)
    with ExitStack() as closing:
        offer_experiments(service, closing)
        with pytest.raises(UnavailableError, match="memory budget leaves"):
            service.experiments.start(SERVICE, [OFF])
        assert not service.experiments.running
