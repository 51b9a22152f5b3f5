"""Figures of memory: RSS, owners, the verdict, the collector, the budget."""

from __future__ import annotations

from collections.abc import Iterator

from console.ui.shared.formatting import count, milliseconds, size
from services.core.machine import MEGABYTE
from services.core.memory_report import Owner
from services.memory.types import Series, owner_column
from tests.figures.doors import Told
from tests.figures.rows import Door, Figure, Value, api, command, counted, metric, strip, tile, total_of, words


def memory_figures(told: Told) -> Iterator[Figure]:
    """Yield the rows; some depend on what there is, such as generations."""
    yield from _memory()
    yield from _owners()
    yield from _watching()
    yield from _collector(told)
    yield from _budget(told)


def _memory() -> Iterator[Figure]:
    yield Figure(
        "RSS",
        (
            api("/api/memory/rss_bytes"),
            api("/api/memory/latest/rss"),
            api("/api/status/rss_bytes"),
            api("/api/requests/rss"),
            api("/api/budget/rss_bytes"),
            metric("millpond_rss_bytes"),
            metric("process_resident_memory_bytes"),
            tile("overview", "RSS", size),
            tile("memory", "RSS", size),
            words("memory", lambda value: f": {size(value)}, "),
            strip(lambda value: f"RSS {size(value)}"),
            command(lambda value: f"RSS: {(value or 0) / MEGABYTE:.0f} MB"),
            Door("log line", shows=lambda told, value: told.log_line["rss_mb"] == round((value or 0) / MEGABYTE, 1)),
            Door(
                "owners with what came since the ledger",
                lambda told: (
                    sum(owner["bytes"] for owner in told.at("/api/memory/owners"))
                    + told.at("/api/memory/since_ledger_bytes")
                ),
            ),
        ),
    )
    yield Figure(
        "when RSS was read",
        (
            api("/api/memory/time"),
            api("/api/status/measured_at"),
            api("/api/requests/measured_at"),
            api("/api/budget/measured_at"),
            metric("millpond_sample_timestamp_seconds"),
        ),
    )
    yield Figure(
        "memory limit",
        (
            api("/api/memory/limit_bytes"),
            api("/api/memory/latest/limit"),
            api("/api/budget/limit_bytes"),
            metric("millpond_memory_limit_bytes"),
            Door("millpond_budget_limit_bytes", _limit),
            strip(lambda value: f" of {size(value)}"),
            words("budget", lambda value: f" of {size(value)}"),
            words("budget", lambda value: f"the limit of {size(value)} is"),
        ),
    )
    for series, tile_label in _TILES.items():
        name = f"millpond_{_METRIC_NAMES.get(series, f'{series}_bytes')}"
        doors = [api(f"/api/memory/latest/{series}"), metric(name)]
        if tile_label:
            doors.append(tile("memory", tile_label, size))
        yield Figure(series.value, tuple(doors))
    yield Figure(
        "open descriptors",
        (api("/api/memory/latest/descriptors"), metric("millpond_descriptors"), metric("process_open_fds")),
    )
    yield Figure(
        "traced memory",
        (api("/api/tracing/traced"), api("/api/memory/latest/traced"), metric("millpond_traced_bytes")),
    )
    yield Figure("threads", (api("/api/memory/latest/threads"), metric("millpond_threads")))
    yield Figure("CPU", (api("/api/memory/latest/cpu"), metric("millpond_cpu_cores")))
    yield Figure("memory pressure", (api("/api/memory/latest/pressure"), metric("millpond_memory_pressure_ratio")))
    yield Figure("browser tabs", (api("/api/memory/latest/sessions"), metric("millpond_sessions")))
    verdict = "/api/memory/verdict"
    yield Figure("time of the verdict", (api(f"{verdict}/time"), metric("millpond_verdict_timestamp_seconds")))
    yield Figure("window of the verdict", (api(f"{verdict}/window_seconds"), metric("millpond_verdict_window_seconds")))
    yield Figure("level of the verdict", (api(f"{verdict}/level_bytes"), metric("millpond_verdict_level_bytes")))
    yield Figure(
        "growth",
        (
            Door("an hour's growth", lambda told: _per_second(told.at(f"{verdict}/slope_bytes_per_hour"))),
            metric("millpond_verdict_growth_bytes_per_second"),
        ),
    )
    yield Figure(
        "growth per request",
        (api(f"{verdict}/bytes_per_request"), metric("millpond_verdict_growth_bytes_per_request")),
    )
    yield Figure(
        "time to the limit",
        (api(f"{verdict}/seconds_to_limit"), metric("millpond_verdict_time_to_limit_seconds")),
    )


def _per_second(per_hour: float | None) -> float | None:
    return None if per_hour is None else per_hour / 3600.0


# The columns that are told in bytes, with the label of the page's tile.
_TILES: dict[Series, str] = {
    Series.USS: "",
    Series.PSS: "",
    Series.SWAP: "",
    Series.HEAP_USED: "malloc",
    Series.HEAP_MAPPED: "",
    Series.PYTHON_USED: "pymalloc",
    Series.PYTHON_BLOCKS: "",
    Series.LIVE: "In use",
    Series.AVAILABLE: "",
    Series.GROUP_USED: "",
    Series.GROUP_LIMIT: "",
}
_METRIC_NAMES = {
    Series.PYTHON_BLOCKS: "python_blocks",
    Series.AVAILABLE: "machine_available_bytes",
    Series.GROUP_USED: "cgroup_used_bytes",
    Series.GROUP_LIMIT: "cgroup_limit_bytes",
}


def _limit(told: Told) -> Value:
    found = [value for (name, *_labels), value in told.metrics.items() if name == "millpond_budget_limit_bytes"]
    return found[0] if len(found) == 1 else None


def _owners() -> Iterator[Figure]:
    for owner in Owner:
        yield Figure(
            f"bytes of {owner}",
            (
                Door(f"/api/memory/owners: {owner}", lambda told, owner=owner: _owner(told, owner)),
                api(f"/api/memory/latest/{owner_column(owner)}"),
                metric("millpond_ledger_bytes", owner.value),
            ),
        )
    yield Figure(
        "unnamed memory",
        (
            api("/api/memory/unattributed_bytes"),
            metric("millpond_ledger_unattributed_bytes"),
            Door("/api/memory/owners: unnamed", lambda told: _owner(told, Owner.UNNAMED)),
        ),
    )
    yield Figure(
        "RSS at the ledger",
        (
            api("/api/memory/ledger_rss_bytes"),
            metric("millpond_ledger_rss_bytes"),
            words("memory", lambda value: f"({size(value)}) assigned"),
            Door(
                "the sum of all owners",
                lambda told: sum(told.metrics["millpond_ledger_bytes", owner.value] for owner in Owner),
            ),
        ),
    )
    yield Figure("RSS since the ledger", (api("/api/memory/since_ledger_bytes"), metric("millpond_since_ledger_bytes")))
    yield Figure("time of the ledger", (api("/api/memory/ledger_time"), metric("millpond_ledger_timestamp_seconds")))
    yield Figure(
        "what a ledger takes",
        (
            api("/api/memory/ledger_seconds"),
            metric("millpond_ledger_cost_seconds"),
            words("memory", lambda value: f"in {milliseconds(1000 * (value or 0))}."),
        ),
    )


def _owner(told: Told, owner: Owner) -> Value:
    return next(int(one["bytes"]) for one in told.at("/api/memory/owners") if one["name"] == owner)


def _watching() -> Iterator[Figure]:
    yield Figure(
        "CPU of watching",
        (
            api("/api/memory/watching/cpu_cores"),
            api("/api/memory/sampler_cpu"),
            api("/api/memory/latest/sampler_cpu"),
            metric("millpond_sampler_cpu_cores"),
            words("memory", lambda value: f"Watching costs {100 * (value or 0):.2f} % of one core"),
            Door("millpond_watching_cpu_cores", lambda told: total_of(told, "millpond_watching_cpu_cores")),
            Door("by activity", lambda told: sum(told.at("/api/memory/watching/cpu_by_activity").values())),
        ),
    )
    yield Figure(
        "window of that", (api("/api/memory/watching/window_seconds"), metric("millpond_watching_window_seconds"))
    )
    yield Figure(
        "most of that in a second",
        (
            api("/api/memory/watching/peak_cpu_cores"),
            metric("millpond_watching_peak_cpu_cores"),
            words("memory", lambda value: f"most in one second: {100 * (value or 0):.1f} %"),
        ),
    )
    yield Figure(
        "bytes of watching",
        (
            api("/api/memory/watching/bytes"),
            metric("millpond_ledger_bytes", "watching"),
            words("memory", lambda value: f"it holds {size(value)}."),
        ),
    )


def _collector(told: Told) -> Iterator[Figure]:
    collections = [int(number) for number in told.at("/api/collector/collections")]
    for generation in range(3):
        yield Figure(
            f"collections of generation {generation}",
            (
                api(f"/api/collector/collections/{generation}"),
                api(f"/api/memory/latest/gc_runs_{generation}"),
                metric("python_gc_collections_total", str(generation)),
                tile("collector", "Collections", lambda _value: " / ".join(map(count, collections))),
            ),
        )
        yield Figure(
            f"counts of generation {generation}",
            (
                api(f"/api/collector/counts/{generation}"),
                api(f"/api/memory/latest/gc_count_{generation}"),
                metric("millpond_gc_pending", str(generation)),
            ),
        )
        yield Figure(
            f"threshold of generation {generation}",
            (
                api(f"/api/collector/settings/thresholds/{generation}"),
                metric("millpond_gc_threshold", str(generation)),
            ),
        )
        yield Figure(
            f"pauses of generation {generation}",
            (
                api(f"/api/collector/pauses/total_seconds/{generation}"),
                metric("millpond_gc_pause_seconds_sum", str(generation)),
            ),
        )
        yield Figure(
            f"number of pauses of generation {generation}",
            (
                metric("millpond_gc_pause_seconds_count", str(generation)),
                Door(
                    f"/api/collector/pauses/histogram/{generation}",
                    lambda told, generation=generation: sum(told.at(f"/api/collector/pauses/histogram/{generation}")),
                ),
            ),
        )
    yield Figure(
        "pauses since the start",
        (
            Door("by generation", lambda told: sum(told.at("/api/collector/pauses/total_seconds").values())),
            api("/api/memory/latest/gc_pause"),
            tile("collector", "Pauses since the start", lambda value: milliseconds(1000 * (value or 0))),
            Door("millpond_gc_pause_seconds_sum", lambda told: total_of(told, "millpond_gc_pause_seconds_sum")),
        ),
    )
    yield Figure(
        "uncollectable",
        (
            api("/api/collector/uncollectable"),
            api("/api/memory/latest/gc_uncollectable"),
            tile("collector", "Uncollectable", counted),
        ),
    )
    yield Figure(
        "frozen",
        (api("/api/collector/frozen"), metric("millpond_gc_frozen_objects"), tile("collector", "Frozen", counted)),
    )
    yield Figure("tracked", (api("/api/collector/tracked"), tile("collector", "Tracked objects", counted)))
    yield Figure("long-lived", (api("/api/collector/long_lived"), metric("millpond_gc_long_lived_objects")))
    yield Figure("promoted", (api("/api/collector/pending"), metric("millpond_gc_long_lived_pending_objects")))
    if told.at("/api/collector/effects/effects"):
        newest = "/api/collector/effects/effects/0"
        yield Figure("RSS before", (api(f"{newest}/rss_before_bytes"), tile("collector", "RSS before", size)))
        yield Figure("RSS after", (api(f"{newest}/rss_after_bytes"), tile("collector", "RSS after", size)))


def _budget(told: Told) -> Iterator[Figure]:
    yield Figure(
        "use against the limit",
        (
            api("/api/budget/used_bytes"),
            metric("millpond_budget_used_bytes"),
            words("budget", lambda value: f": {size(value)} of "),
        ),
    )
    yield Figure("peak use", (api("/api/budget/peak_bytes"), metric("millpond_budget_peak_bytes")))
    yield Figure(
        "RSS when ready",
        (
            Door("/api/budget/ready_rss_bytes", lambda told: told.at("/api/budget/ready_rss_bytes") or None),
            metric("millpond_budget_floor_bytes"),
        ),
    )
    yield Figure("reserved", (api("/api/budget/reserved_bytes"), metric("millpond_budget_reserved_bytes")))
    for place, mark in enumerate(told.at("/api/budget/watermarks")):
        yield Figure(
            f"watermark {mark['level']}",
            (
                api(f"/api/budget/watermarks/{place}/reached_bytes"),
                metric("millpond_budget_watermark_bytes", mark["level"]),
                words("budget", lambda value, mark=mark: f"{mark['level']} from {size(value)}"),
            ),
        )
    for reason, number in told.at("/api/budget/refused").items():
        yield Figure(
            f"refused: {reason}",
            (api(f"/api/budget/refused/{reason}"), metric("millpond_refused_total", reason)),
        )
        assert number >= 0
    refused = sum(told.at("/api/budget/refused").values())
    if refused:
        yield Figure(
            "refused",
            (
                Door("/api/budget/refused", lambda _told: refused),
                words("budget", lambda value: f"Refused since the start: {counted(value)},"),
            ),
        )
    yield Figure(
        "pause of ingestion", (api("/api/budget/ingestion_pause_seconds"), metric("millpond_ingestion_rest_seconds"))
    )
    for outcome in ("delivered", "failed", "dropped"):
        yield Figure(
            f"alerts {outcome}", (api(f"/api/budget/webhook/{outcome}"), metric("millpond_alerts_total", outcome))
        )
    yield Figure("alerts waiting", (api("/api/budget/webhook/waiting"), metric("millpond_alerts_waiting")))
