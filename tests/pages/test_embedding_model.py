from __future__ import annotations

from datetime import UTC, datetime

import pytest
from streamlit.testing.v1 import AppTest

from services.app.container import Services
from services.knowledge.model_change.types import ChangeCost, ChangeStage, ModelChangeStatus, ModelFacts
from tests.pages.conftest import open_page

OLD, NEW = ModelFacts("old *model*", "old-1", 384, 256), ModelFacts("new", "new-1", 384, 512)


def status(stage: ChangeStage) -> ModelChangeStatus:
    """What is told at a stage with a second model; the changes themselves are in `tests/knowledge/model_change`."""
    return ModelChangeStatus(
        stage,
        OLD,
        NEW,
        done=250,
        total=1000,
        chunks_per_second=12.5,
        seconds_left=60.0,
        person="anna",
        started_at=datetime.now(UTC),
        changed_at=datetime.now(UTC),
        reason="Memory is short.",
        error="The model is broken.",
        hint="Install it again.",
        brings=("It knows a hundred languages.",),
        cost=ChangeCost(1000, 80.0, 1_632_000, 18_000_000, 396_000, measured=True),
    )


@pytest.mark.parametrize(
    ("stage", "told", "buttons"),
    [
        (ChangeStage.OFFERED, "chunks to embed: 1,000, 12.5 a second", ["Change the model", "Measure"]),
        (ChangeStage.CANCELLED, "Cancelled by anna", ["Change the model", "Measure"]),
        (ChangeStage.EMBEDDING, "12.5 a second, about 1", ["Pause", "Cancel the change"]),
        (ChangeStage.WAITING, "Memory is short", ["Pause", "Cancel the change"]),
        (ChangeStage.PAUSED, "Paused by anna", ["Resume", "Cancel the change"]),
        (ChangeStage.FAILED, "The model is broken", ["Resume", "Cancel the change"]),
        (ChangeStage.SWITCHING, "it answers in a moment", []),
    ],
)
def test_each_stage_is_told_with_what_can_be_done(
    app: AppTest,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    stage: ChangeStage,
    told: str,
    buttons: list[str],
) -> None:
    """A stage breaks the page, says nothing, or offers what the service refuses."""
    monkeypatch.setattr(type(services.model_change), "status", lambda _self: status(stage))
    open_page(app, "settings")
    assert not app.exception
    assert told in str([element.proto for element in app.main]).replace("\\", "")
    own = [button for button in app.button if str(button.key).startswith("embedding-model-")]
    assert [button.label for button in own] == buttons
    open_page(app, "documents")
    assert not app.exception
    shown = "embedding-model-notice" in str([element.proto for element in app.main])
    assert shown or stage is ChangeStage.CANCELLED or not app.progress


def test_a_lost_model_is_told_on_both_pages(app: AppTest, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """People do not learn why dense search finds little."""
    lost = ModelChangeStatus(ChangeStage.LOST, NEW, lost="old *model*")
    monkeypatch.setattr(type(services.model_change), "status", lambda _self: lost)
    for name in ("settings", "documents"):
        open_page(app, name)
        assert not app.exception
        assert any("only their words are searched" in warning.value for warning in app.warning)
