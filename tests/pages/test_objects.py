from __future__ import annotations

import re

import pytest
from streamlit.testing.v1 import AppTest

from console.ui.objects.retention_graph import retention_dot
from console.ui.session_state import Key
from services.app.container import Services
from services.core.errors import UnavailableError
from services.core.memory_report import Owner
from services.memory.objects.inspector import Inspector
from services.memory.objects.types import GraphLink, GraphNode, ObjectView, PathRoot, RetainedSize, RetentionPaths
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


def test_long_names_in_the_graph_are_cut_in_the_middle_and_whole_on_hover() -> None:
    """A label that is cut at its end, or wider than its box, would not say which object it is; quotes stay text."""
    kind = "package." + "very_" * 20 + 'long."Type"'
    found = ObjectView(2, kind, 56, 99, deep_complete=True, text="", name="", owner=Owner.PYTHON, part="")
    nodes = (GraphNode(1, "module", "package", 8, root=True), GraphNode(2, kind, kind, 56, root=False))
    retained = RetainedSize(60, 2, complete=True, most_objects=10, most_seconds=1.0)
    link = GraphLink(1, 2, "['" + "k" * 90 + "']")
    dot = retention_dot(RetentionPaths(found, PathRoot.MODULE, (), nodes, (link,), 1, retained, 0.0, 0.0), dark=False)
    line = next(line for line in dot.splitlines() if line.startswith("n2 ["))
    label, width, tooltip = re.findall(r'label="(.*?[^\\])", width=([\d.]+), tooltip="(.*?[^\\])", URL', line)[0]
    shown, size = label.split("\\n")
    assert "…" in shown
    assert shown.startswith("package.very_")
    assert shown.endswith('long.\\"Type\\"')
    assert len(shown) <= 46
    assert size == "56 B"
    assert float(width) >= 44 * 0.6 * 10 / 72  # as wide as its characters at 10 points
    assert tooltip.startswith(kind.replace('"', '\\"'))
    assert f'labeltooltip="{link.label}"' in dot


@pytest.mark.parametrize("view", ["owners", "repeat", "nonsense"])
def test_every_part_opens_from_its_address(app: AppTest, view: str) -> None:
    """A part that fails before anything was measured would fail for everybody who opens it first."""
    page = open_page(app, "objects", view=view)
    assert not page.exception
    assert not page.error
