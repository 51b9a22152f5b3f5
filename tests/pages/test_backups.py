from __future__ import annotations

import time
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from services.app.container import Services
from services.backup.backup_types import BackupGeneration, BackupStage, BackupStatus
from services.core.errors import ConflictError
from tests.pages.conftest import open_page
from tests.pages.test_overview import texts


def status(stage: BackupStage = BackupStage.IDLE, *, warning: str = "", made: int = 2) -> BackupStatus:
    """What is told with some backups; making them is in `tests/backup`."""
    now = time.time()
    generations = tuple(
        BackupGeneration(
            f"2026010{number}T000000Z-abcdef",
            now - number * 7200,
            size=3_000_000,
            copied=1_000_000,
            files=12,
            counts={"documents": 9},
            schema="0007",
            engine="sqlite",
            left_out=0,
            key="k",
            verified_at=now if number == 1 else None,
            problems=2 if number == 0 else 0,
        )
        for number in range(made)
    )
    return BackupStatus(
        destination="/mnt/*backups*",
        hours=24.0,
        stage=stage,
        done=500_000,
        total=2_000_000,
        last_at=now - 7200 if made else None,
        made_by="",
        due_at=now,
        failed_at=now if warning else None,
        error="",
        hint="Free some *disk* space.",
        warning=warning,
        generations=generations,
    )


def test_without_a_folder_the_page_says_how_to_set_one(app: AppTest) -> None:
    """People would look for backups that nobody makes."""
    open_page(app, "overview")
    assert not app.exception
    assert "MILLPOND_BACKUP_DESTINATION" in texts(app)
    assert not [button for button in app.button if str(button.key).startswith("backup-")]


@pytest.mark.parametrize("folder", ["/mnt/backups", ""])
def test_each_node_tells_which_one_made_the_newest(
    app: AppTest, services: Services, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """At a node without the folder people would read that there are no backups, though another node makes them."""
    told = replace(status(), made_by="two", destination=folder)
    monkeypatch.setattr(type(services.backups), "status", lambda _self: told)
    open_page(app, "overview")
    assert not app.exception
    assert "two" in texts(app)
    assert "2 h ago" in texts(app)
    assert app.button(key="backup-make").disabled is (not folder)


def test_backups_are_listed_with_age_and_verification(
    app: AppTest, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The age, or that one is damaged, would not be seen."""
    monkeypatch.setattr(type(services.backups), "status", lambda _self: status())
    asked: list[str] = []
    monkeypatch.setattr(type(services.backups), "start_backup", lambda _self, actor: asked.append(actor.name))
    open_page(app, "overview")
    assert not app.exception
    assert "/mnt/*backups*" in texts(app)
    assert "made 2 h ago" in texts(app)
    table = next(frame.value for frame in app.dataframe if "Verified" in frame.value.columns)
    assert list(table["Documents"]) == [9, 9]
    assert table["Verified"][0] == "2 damaged files"
    assert table["Verified"][1].startswith("whole")
    app.button(key="backup-make").click().run()
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        (BackupStage.FILES, "Copying originals"),
        (BackupStage.DATABASE, "Copying the database"),
        (BackupStage.TIDYING, "Removing old backups"),
        (BackupStage.VERIFYING, "Verifying"),
    ],
)
def test_what_is_done_is_shown_and_nothing_else_begun(
    app: AppTest, services: Services, monkeypatch: pytest.MonkeyPatch, stage: BackupStage, told: str
) -> None:
    """A second one could be asked for, which the service refuses, or nobody would see that one is made."""
    monkeypatch.setattr(type(services.backups), "status", lambda _self: status(stage, made=0))
    open_page(app, "overview")
    assert not app.exception
    assert "No backup has been made yet" in texts(app)
    assert told in str([element.proto for element in app.main])
    assert all(app.button(key=f"backup-{name}").disabled for name in ("make", "verify"))


def test_a_warning_and_a_refusal_are_told(app: AppTest, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup that fails every night would be noticed when it is needed."""
    monkeypatch.setattr(
        type(services.backups), "status", lambda _self: status(warning="The last backup failed: *full*")
    )

    def refuse(_self: object, _actor: object) -> None:
        raise ConflictError("A backup is being made or verified already.")

    monkeypatch.setattr(type(services.backups), "start_backup", refuse)
    open_page(app, "overview")
    assert any("Free some" in warning.value for warning in app.warning)
    app.button(key="backup-make").click().run()
    assert not app.exception
    assert "already" in str([element.proto for element in app.main]) + str(app.error)
