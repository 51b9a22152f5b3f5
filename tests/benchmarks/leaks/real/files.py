"""Files, sockets and connections that nobody closes."""

from __future__ import annotations

import os
import socket
import sqlite3
from pathlib import Path
from typing import Any

from services.app.container import Services
from services.memory.leaks.types import LeakKind
from tests.benchmarks.leaks.real.scenario import Scenario, Step, text

_open: list[Any] = []


def _folder(services: Services, name: str) -> Path:
    folder = services.settings.data_dir / name
    folder.mkdir(exist_ok=True)
    return folder


def open_files(services: Services) -> Step:
    """A log of each request, opened and never closed."""
    folder = _folder(services, "journal")

    def step(number: int) -> None:
        file = (folder / f"journal-{number}.txt").open("w")
        file.write(text(number, 500))
        _open.append(file)

    return step


def raw_descriptors(services: Services) -> Step:
    """os.open without os.close: no Python object holds them, so no garbage collection ends them."""
    folder = _folder(services, "spool")

    def step(number: int) -> None:
        os.open(folder / "spool.bin", os.O_CREAT | os.O_RDWR)

    return step


def sockets(_services: Services) -> Step:
    """Connections that are never closed."""
    listener = socket.create_server(("127.0.0.1", 0))
    _open.append(listener)

    def step(number: int) -> None:
        if number % 2 == 0:
            _open.append(socket.create_connection(listener.getsockname()))
            _open.append(listener.accept()[0])

    return step


def connections(services: Services) -> Step:
    """A connection to SQLite for each request, never closed: a file and a page cache each."""
    folder = _folder(services, "orders")
    with sqlite3.connect(folder / "orders.db") as first:
        first.execute("create table sack (id integer primary key, note text)")
        first.executemany("insert into sack (note) values (?)", [(text(i, 500),) for i in range(300)])

    def step(number: int) -> None:
        if number % 2 == 0:
            connection = sqlite3.connect(folder / "orders.db", check_same_thread=False)
            connection.execute("select count(note) from sack where note like '%thaw%'").fetchall()
            _open.append(connection)

    return step


SCENARIOS = (
    Scenario(
        "files opened and kept", open_files, LeakKind.DESCRIPTORS, ("journal", "_open", "TextIOWrapper"), per_step=1
    ),
    Scenario("os.open without os.close", raw_descriptors, LeakKind.DESCRIPTORS, ("spool",), per_step=1),
    Scenario("sockets kept", sockets, LeakKind.DESCRIPTORS, ("socket", "_open"), per_step=1),
    Scenario(
        "SQLite connections",
        connections,
        LeakKind.DESCRIPTORS,
        ("orders.db", "_open", "Connection"),
        per_step=0.5,
        also=(LeakKind.NATIVE,),
    ),
)
