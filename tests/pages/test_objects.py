from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from console.ui.session_state import Key
from services.app.container import Services
from services.core.errors import UnavailableError
from services.memory.objects.inspector import Inspector
from tests.pages.conftest import open_page


def shown(app: AppTest) -> str:
    """Return everything that is written on the page."""
    parts = (*app.markdown, *app.caption, *app.info, *app.warning, *app.error, *app.subheader)
    said = " ".join(f"{getattr(part, 'title', '')} {part.value}" for part in parts)
    return said.replace("\\", "").replace("\u2060", "")  # what keeps Markdown from reading it


def test_before_the_first_look_the_page_says_so_and_what_one_costs(app: AppTest, services: Services) -> None:
    """An empty table would look like a process without objects; the pause is to be known before the click."""
    for snapshot in services.memory.objects.snapshots():
        services.memory.objects.delete(snapshot.name)
    page = open_page(app, "objects")
    assert not page.exception
    assert "Two snapshots show what grew." in shown(page)
    assert "Making the copy pauses this one for" in shown(page)
    assert not page.dataframe


def test_a_snapshot_that_fails_shows_what_to_do(
    app: AppTest, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the process cannot be copied, the page must say so instead of breaking."""

    def refuse(_self: Inspector, *_arguments: object, **_more: object) -> None:
        raise UnavailableError("The process could not be copied.", "Free some memory.")

    monkeypatch.setattr(Inspector, "take_snapshot", refuse)
    page = open_page(app, "objects")
    page.button(Key.OBJECTS_SNAPSHOT).click().run()
    assert not page.exception
    assert "Free some memory" in shown(page)


def test_two_snapshots_are_compared_and_a_deleted_object_is_reported(app: AppTest, services: Services) -> None:
    """A link opens the same comparison; an address that belongs to nothing any more has a face of its own."""
    first, second = services.memory.objects.take_snapshot("one"), services.memory.objects.take_snapshot("two")
    page = open_page(app, "objects", since=first.name, snapshot=second.name)
    assert not page.exception
    table = page.dataframe[0].value
    assert {"type", "count", "bytes", "delta_count", "delta_bytes", "new_count", "gone_count", "survived_count"} == set(
        table.columns
    )
    page = open_page(app, "objects", view="containers", type="dict", object="4096")
    assert not page.exception
    assert "Reload the objects of its type" in shown(page)
    services.memory.objects.delete(first.name)
    page = open_page(app, "objects", since=first.name, snapshot="20240102-030405-678")
    assert not page.exception
    assert "was removed: somebody deleted it" in shown(page)
    assert "The snapshot of 2024-01-02 03:04:05 UTC was removed." in shown(page)
    assert "Watching: " in shown(page)


@pytest.mark.parametrize("view", ["owners", "repeat", "nonsense"])
def test_every_part_opens_from_its_address(app: AppTest, view: str) -> None:
    """A part that fails before anything was measured would fail for everybody who opens it first."""
    page = open_page(app, "objects", view=view)
    assert not page.exception
    assert not page.error
