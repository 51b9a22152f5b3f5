"""Held-out scenarios: not used while the detector is tuned, run once at the end."""

from __future__ import annotations

import gc
import importlib
import io
import random
import socket
import subprocess
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

from services.app.container import Services
from services.core.actor import SERVICE
from services.memory.leaks.types import LeakKind
from tests.benchmarks.leaks.real.scenario import Scenario, Step, rows, text

_forms: dict[str, Any] = {}
_clients: list[Any] = []
_trees: list[Any] = []
_cursors: list[Iterator[object]] = []
_children: list[subprocess.Popen[bytes]] = []
_frames: list[Any] = []
_journal: list[Any] = []
_kept: dict[str, Any] = {}


class _Basket:
    """Refers to itself, so that only the collector can end it."""

    def __init__(self, number: int) -> None:
        self.rows = rows(number, 300)
        self.me = self


class _Page:
    """Something big that can be referred to weakly."""

    def __init__(self, number: int) -> None:
        self.rows = rows(number, 1_000)


# Leaks


def models_per_request(_services: Services) -> Step:
    """A pydantic model is made for each request and kept under its name."""
    from pydantic import create_model

    def step(number: int) -> None:
        fields: dict[str, Any] = {f"answer_{i}": (str | None, None) for i in range(8)}
        _forms[f"form-{number}"] = create_model(f"Form{number}", **fields)

    return step


def http_clients(_services: Services) -> Step:
    """An httpx client for each request, each with its own certificates, never closed."""
    import httpx

    return lambda _number: _clients.append(httpx.Client(trust_env=False))


def frozen_garbage(_services: Services) -> Step:
    """gc.freeze() after each request, as somebody read that it makes collections quick: garbage is kept with it."""

    def step(number: int) -> None:
        _Basket(number)
        gc.freeze()

    return step


def parsed_trees(_services: Services) -> Step:
    """Trees of lxml kept for later: all of it lives in libxml2."""
    from lxml import etree

    def step(number: int) -> None:
        _trees.append(etree.fromstring("<book>" + f"<sack no='{number}'>rye</sack>" * 800 + "</book>"))

    return step


def suspended_cursors(_services: Services) -> Step:
    """Generators that were left after their first row."""

    def read(number: int) -> Iterator[object]:
        page = rows(number, 250)
        yield from page

    def step(number: int) -> None:
        cursor = read(number)
        next(cursor)
        _cursors.append(cursor)

    return step


def child_processes(_services: Services) -> Step:
    """Children whose output is a pipe that nobody reads or closes."""
    return lambda _number: _children.append(subprocess.Popen(["true"], stdout=subprocess.PIPE))


def data_frames(_services: Services) -> Step:
    """A data frame of figures for each request, appended to a list for a report that is never written."""
    import numpy as np
    import pandas as pd

    def step(number: int) -> None:
        _frames.append(pd.DataFrame(np.random.default_rng(number).random((6_000, 8))))

    return step


def timers(_services: Services) -> Step:
    """A timer for each request that should have been cancelled."""

    def step(number: int) -> None:
        if number % 2 == 0:
            timer = threading.Timer(36_000, print)
            timer.name = f"autosave-{number}"
            timer.daemon = True
            timer.start()

    return step


# Look-alikes


def late_imports(_services: Services) -> Step:
    """Modules are imported as pages need them, for the first half of the run."""
    names = [
        "pandas",
        "plotly.graph_objects",
        "openpyxl",
        "matplotlib.pyplot",
        "langgraph.graph",
        "streamlit",
        "mammoth",
    ]
    names += ["langchain_openai", "fastapi", "plotly.express", "pptx", "lxml.html", "transformers.models.bert"]

    def step(number: int) -> None:
        if number % 15 == 14 and names:
            importlib.import_module(names.pop(0))

    return step


def records(_services: Services) -> Step:
    """A buffer keeps the largest size that was ever needed; records become rarer."""
    import numpy as np

    sizes = random.Random(11)

    def step(_number: int) -> None:
        needed = int(sizes.paretovariate(2.0) * 1_000_000)
        needed = min(needed, 25_000_000)
        if "buffer" not in _kept or len(_kept["buffer"]) < needed:
            _kept["buffer"] = np.ones(needed)

    return step


def flushed_journal(_services: Services) -> Step:
    """Entries are written out when there are 150 of them: a slow saw."""

    def step(number: int) -> None:
        _journal.append(rows(number, 1_000))
        if len(_journal) >= 150:
            _journal.clear()

    return step


def connection_pool(_services: Services) -> Step:
    """Connections are made as they are needed, up to 60."""
    listener = socket.create_server(("127.0.0.1", 0))
    pool = _kept["pool"] = []

    def step(number: int) -> None:
        if number % 3 == 0 and len(pool) < 60:
            pool.append(socket.create_connection(listener.getsockname()))
            listener.accept()[0].close()

    return step


def weak_cache(_services: Services) -> Step:
    """A weak cache over the last 150 pages."""
    known: weakref.WeakValueDictionary[int, _Page] = weakref.WeakValueDictionary()
    last: deque[_Page] = deque(maxlen=150)
    _kept["known"], _kept["last"] = known, last

    def step(number: int) -> None:
        page = known[number] = _Page(number)
        last.append(page)

    return step


def growing_library(services: Services) -> Step:
    """Documents come in during the first half, and stay: memory that has a reason."""

    def step(number: int) -> None:
        if number < 200 and number % 4 == 0:
            content = text(number, 20_000).encode()
            services.library.add(SERVICE, io.BytesIO(content), f"chronicle-{number}.txt")

    return step


SCENARIOS = (
    Scenario("models per request", models_per_request, LeakKind.PYTHON, ("_forms", "Model", "Form"), per_step=32000),
    Scenario(
        "HTTP clients never closed",
        http_clients,
        LeakKind.NATIVE,
        ("_clients", "SSLContext", "Client", "native"),
        per_step=705000,
    ),
    Scenario("garbage that was frozen", frozen_garbage, LeakKind.PYTHON, ("_Basket", "frozen"), per_step=99000),
    Scenario(
        "parsed trees kept", parsed_trees, LeakKind.NATIVE, ("_trees", "lxml", "_Element", "native"), per_step=397000
    ),
    Scenario("suspended cursors", suspended_cursors, LeakKind.PYTHON, ("_cursors", "generator"), per_step=83000),
    Scenario("pipes of children", child_processes, LeakKind.DESCRIPTORS, ("pipe", "_children", "Popen"), per_step=1),
    Scenario(
        "data frames kept", data_frames, LeakKind.NATIVE, ("_frames", "DataFrame", "ndarray", "native"), per_step=386000
    ),
    Scenario("timers never cancelled", timers, LeakKind.THREADS, ("autosave", "Timer"), per_step=0.5),
    Scenario("imports as they are needed", late_imports),
    Scenario("buffer of the largest request", records),
    Scenario("journal that is flushed", flushed_journal),
    Scenario("connection pool up to its maximum", connection_pool),
    Scenario("weak cache", weak_cache),
    Scenario("library that grows for a while", growing_library),
)
