"""What is pressed in the moment of another fragment's tick, as the browser sends it: in one message, one fragment."""

from __future__ import annotations

import pytest

from tests.servers import Server
from tests.visitors import Visitor, visiting


@pytest.fixture(autouse=True)
def document(server: Server) -> None:
    """There is a document to select."""
    server.add("otters.txt", b"Otters live by the pond.")


def another(visitor: Visitor, label: str) -> str:
    """A fragment of the page that the button is not in."""
    return next(fragment for fragment in sorted(visitor.fragments) if fragment != visitor.buttons[label][1])


def test_a_click_outside_of_fragments_is_not_lost_to_a_tick(server: Server) -> None:
    """Nothing would happen, and whoever clicked would click again."""
    with visiting(server.url) as visitor:
        visitor.open("documents")
        visitor.press("New collection", with_tick_of=another(visitor, "New collection"))
        assert set(visitor.dialogs) == {"New collection"}


def test_a_click_in_a_fragment_is_not_lost_to_the_tick_of_another(server: Server) -> None:
    """The same for the live table of documents, while the strip below it ticks."""
    with visiting(server.url) as visitor:
        visitor.open("documents")
        visitor.select_row(0)
        assert "1 selected" in visitor.texts
        visitor.press("Delete", with_tick_of=another(visitor, "Delete"))
        assert set(visitor.dialogs) == {"Delete 1 document?"}


def test_a_selected_row_stays_while_somebody_types(server: Server) -> None:
    """The browser's table may lose its ticks to the field: a bulk action would be switched off, or take other rows."""
    with visiting(server.url) as visitor:
        visitor.open("documents")
        visitor.select_row(0)
        visitor.texts.clear()
        visitor.type_into("Find by name", "otter", rows=())
        assert "1 selected" in visitor.texts
        visitor.texts.clear()
        visitor.select_row()
        assert "1 selected" not in visitor.texts


def test_a_choice_outside_of_fragments_is_not_lost_to_a_tick(server: Server) -> None:
    """The address would name the part that was chosen, and the page show the one from before."""
    with visiting(server.url) as visitor:
        visitor.open("collector")
        for _ in range(2):
            fragment = min(visitor.fragments)
            visitor.buttons.clear()
            visitor.choose("Part", 1, with_tick_of=fragment)
            assert "Release" in visitor.buttons
            visitor.buttons.clear()
            visitor.choose("Part", 0, with_tick_of=fragment)
            assert "Apply and keep" in visitor.buttons
            assert "Release" not in visitor.buttons


def test_a_choice_that_was_made_before_is_none(server: Server) -> None:
    """The browser tells the values of all widgets each time: each tick after a choice would draw the whole page."""
    with visiting(server.url) as visitor:
        visitor.open("collector")
        visitor.choose("Part", 0, with_tick_of="")
        visitor.buttons.clear()
        visitor.tick(min(visitor.fragments))
        assert "Apply and keep" not in visitor.buttons


def test_a_tick_alone_runs_its_fragment_alone(server: Server) -> None:
    """Every tick would otherwise draw the whole page, twenty times a minute for each tab."""
    with visiting(server.url) as visitor:
        visitor.open("documents")
        visitor.select_row(0)
        visitor.buttons.clear()
        for fragment in sorted(visitor.fragments):
            visitor.tick(fragment)
        assert visitor.buttons
        assert "New collection" not in visitor.buttons


def test_a_link_is_not_lost_to_a_tick_of_the_page_that_is_left(server: Server) -> None:
    """The page that was left would run again in place of the one that was asked for, or its end would empty it."""
    with visiting(server.url) as visitor:
        visitor.open("documents")
        for _ in range(5):
            visitor.open("documents")
            fragment = min(visitor.fragments)
            visitor.runs.clear()
            visitor.leave_in_a_tick("memory", fragment)
            visitor.open("memory")
            assert visitor.hashes["memory"] in visitor.runs
            assert visitor.hashes["documents"] not in visitor.runs
