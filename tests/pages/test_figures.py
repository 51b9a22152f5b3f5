from __future__ import annotations

import fnmatch
import io
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from console.ui import runtime_access
from services.app.container import Services
from services.core.actor import SERVICE, Actor, Role
from services.core.admission import Gate
from services.core.errors import MillpondError
from services.core.machine import MEGABYTE
from services.core.requests import RequestKind
from services.memory.monitor import MemoryMonitor
from services.memory.types import COLUMNS
from tests.figures import alone
from tests.figures.doors import API, Told, listening, read_all
from tests.figures.rows import Figure
from tests.figures.table import figures

ADMIN = Actor("test", Role.ADMIN)


@pytest.fixture(scope="module")
def client(started: Services) -> Iterator[httpx.Client]:
    """The API of the services, over a real connection."""
    with listening(runtime_access.application()) as client:
        yield client


def differing(found: Figure, told: Told) -> list[str]:
    """Return what is told differently under one name, in words."""
    reference = None
    problems = []
    for place, door in enumerate(found.doors):
        if door.read is not None:
            value = door.read(told)
            value = None if value is None else float(value)
            if place == 0:
                reference = value
            elif value != pytest.approx(reference, rel=1e-9, abs=1e-9) if reference is not None else value is not None:
                problems.append(f"{found.name}: {door.name} tells {value}, {found.doors[0].name} {reference}")
        elif reference is not None and door.shows is not None:
            whole = int(reference) if reference == int(reference) else reference
            if not door.shows(told, whole):
                problems.append(f"{found.name}: {door.name} does not tell {reference} as {found.doors[0].name} does")
    return problems


WORK = st.fixed_dictionaries(
    {
        "megabytes": st.integers(0, 40),
        "collect": st.booleans(),
        "freeze": st.booleans(),
        "documents": st.integers(0, 2),
        "searches": st.integers(0, 3),
        "diagnostics": st.integers(0, 3),
        "refuse": st.booleans(),
        "reclaim": st.sampled_from(["", "heap", "answers"]),
        "ledger": st.booleans(),
    }
)


def work(services: Services, plan: dict[str, Any], closing: ExitStack) -> bytearray:
    """Bring the services into the state of a plan; what is open in it is closed with `closing`."""
    held = bytearray(plan["megabytes"] * MEGABYTE)
    held[::4096] = b"x" * len(held[::4096])
    for number in range(plan["documents"]):
        text = f"Pump {number}, seals {plan['megabytes']}: covered for {plan['searches']} months."
        services.library.add(SERVICE, io.BytesIO(text.encode()), f"pump-{number}-{plan['megabytes']}.txt")
    services.ingestion.wait_idle(60)
    for number in range(plan["searches"]):
        services.searches.search(SERVICE, f"How long are seals covered? {number}")
    for _ in range(plan["diagnostics"]):
        closing.callback(services.requests.open(RequestKind.DIAGNOSTIC, "census of objects", user="ann").close)
    if plan["refuse"]:
        services.admission.close(Gate.UPLOADS, "test", "Memory is short.", "Later.")
        closing.callback(services.admission.open, Gate.UPLOADS, "test")
        with pytest.raises(MillpondError):
            services.admission.check(Gate.UPLOADS)
    collector = services.memory.collector
    if plan["freeze"]:
        collector.freeze(ADMIN)
        closing.callback(collector.unfreeze, ADMIN)
    if plan["collect"]:
        collector.collect(ADMIN)
    if plan["reclaim"] in services.memory.reclaimers.names:
        services.memory.reclaimers.release(ADMIN, plan["reclaim"])
    if plan["ledger"]:
        services.memory.ledger.build()
    return held


@contextmanager
def one_moment(memory: MemoryMonitor) -> Iterator[None]:
    """Show a sample that is taken now, and none after it, inside the block; sampling goes on."""
    publish = memory._publish
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "_publish", lambda _sample: None)
        patch.setattr(memory.effects, "_added", lambda: None)
        publish(memory.sampler.sample())
        yield


@settings(
    max_examples=3,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
@given(plan=WORK)
def test_figures_of_one_name_are_equal_at_one_moment(
    started: Services, client: httpx.Client, plan: dict[str, Any]
) -> None:
    """Two figures under one name that differ leave a person to guess which of the pages is wrong."""
    memory = started.memory
    with ExitStack() as closing:
        held = work(started, plan, closing)
        with one_moment(memory):
            told = read_all(runtime_access.application(), started, client)
        del held
    problems = [problem for found in figures(told) for problem in differing(found, told)]
    assert not problems, "\n".join(problems)
    assert told.pages["overview"].text.count("census of objects") >= min(1, plan["diagnostics"])


def test_every_figure_is_in_the_table(started: Services, client: httpx.Client) -> None:
    """A figure that is added somewhere, and not to the table, can differ from its namesakes unnoticed."""
    started.memory._publish(started.memory.sampler.sample())
    started.memory.collector.collect(SERVICE)
    told = read_all(runtime_access.application(), started, client)
    doors = {door.name for found in figures(told) for door in found.doors}
    metrics = {name.split(" ")[0] for name in doors if not name.startswith(("/", "page"))}
    exposed = {family.name for family in started.metrics._parts.families()}
    exposed |= {family.name for family in started.metrics.registry.collect()}
    missing = {
        name
        for name in exposed
        if not {name, f"{name}_total", f"{name}_sum"} & metrics
        and not _listed(name, alone.METRICS)
        and not _listed(f"{name}_total", alone.METRICS)
    }
    assert sorted(missing) == []
    fields = set(_api_numbers(client.get("/openapi.json").json()))
    paths = {re.sub(r"/\d+(?=/|$)", "", name) for name in doors}
    assert sorted(path for path in fields if not _told(path, paths) and not _listed(path, alone.API)) == []
    latest = {column for column in COLUMNS if f"/api/memory/latest/{column}" not in doors}
    assert {column for column in latest if not _listed(column, alone.COLUMNS)} == set()
    for page, shown in told.pages.items():
        tiles = {name.removeprefix(f"page {page}: ") for name in doors if name.startswith(f"page {page}: ")}
        assert {name for name in shown.metrics if name not in tiles and not _listed(name, alone.TILES[page])} == set()


def _listed(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _told(path: str, paths: set[str]) -> bool:
    return any(name == path or name.startswith(f"{path}/") for name in paths)


def _api_numbers(document: dict[str, Any]) -> Iterator[str]:
    """Yield the paths of all numbers that the routes can answer, without the places in lists and the keys of tables."""
    for route in API:
        answer = document["paths"][route]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        yield from _schema_numbers(answer, route, document["components"]["schemas"])


def _schema_numbers(schema: dict[str, Any], path: str, schemas: dict[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        yield from _schema_numbers(schemas[schema["$ref"].rpartition("/")[2]], path, schemas)
    if schema.get("type") in {"integer", "number"}:
        yield path
    inner = [
        *schema.get("anyOf", []),
        *schema.get("prefixItems", []),
        schema.get("items"),
        schema.get("additionalProperties"),
    ]
    for each in inner:
        if isinstance(each, dict):
            yield from _schema_numbers(each, path, schemas)
    for name, each in schema.get("properties", {}).items():
        yield from _schema_numbers(each, f"{path}/{name}", schemas)
