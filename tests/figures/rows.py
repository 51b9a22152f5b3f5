"""Rows of the table of figures: the name of one, and the doors at which it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from console.ui.shared.formatting import count
from tests.figures.doors import Told

Value = float | int | None
Shown = Callable[[Value], str]


@dataclass(frozen=True)
class Door:
    """Where a figure is told: `read` returns it as a number, or `shows` tells whether a text says that number."""

    name: str
    read: Callable[[Told], Value] | None = None
    shows: Callable[[Told, Value], bool] | None = None


@dataclass(frozen=True)
class Figure:
    """One figure under its name, and all doors that tell it; the first one is a number."""

    name: str
    doors: tuple[Door, ...]


def api(path: str) -> Door:
    return Door(path, lambda told: told.at(path))


def metric(name: str, *labels: str) -> Door:
    return Door(" ".join((name, *labels)), lambda told: told.metric(name, *labels))


def tile(page: str, label: str, text: Shown) -> Door:
    return Door(f"page {page}: {label}", shows=lambda told, value: told.pages[page].metrics.get(label) == text(value))


def words(page: str, text: Shown) -> Door:
    return Door(f"page {page}", shows=lambda told, value: text(value) in told.pages[page].text)


def strip(text: Shown) -> Door:
    """The status strip of every page."""
    return Door(
        "status strip",
        shows=lambda told, value: all(any(text(value) in link for link in page.links) for page in told.pages.values()),
    )


def command(text: Shown) -> Door:
    return Door("millpond status", shows=lambda told, value: text(value) in told.command)


def counted(value: Value) -> str:
    return count(int(value or 0))


def total_of(told: Told, name: str) -> float:
    return sum(value for (found, *_labels), value in told.metrics.items() if found == name)
