from __future__ import annotations

import re
from collections import Counter

import pytest

from services.core.actor import SERVICE
from services.core.events import EventKind
from services.memory.leaks.headline import headline
from services.memory.leaks.probes import Probes
from services.memory.leaks.types import LeakKind, SuspectKind, VerdictState
from services.memory.objects.types import ContainerCount
from tests.memory.leaks.detectors import MB, START, Process, census

FAST = 30 * MB / 60  # bytes a second


def leaking(age: float) -> dict[str, float]:
    """Python objects: the blocks grow along."""
    grown = FAST * max(0.0, age - 120)
    return {"live": 400 * MB + grown, "python_used": 150 * MB + grown, "limit": 4096 * MB}


def test_young_process_is_not_judged() -> None:
    """Fails if a process is called flat before there is anything to go by."""
    process = Process(lambda _age: {})
    verdict = process.run(300)
    assert verdict.state is VerdictState.UNKNOWN
    assert headline(verdict) == "Too little data yet: 3 of 10 min"


def test_without_samples_nothing_is_said() -> None:
    """Fails if an empty history breaks the detector."""
    assert Process(lambda _age: {}).detector.judge().state is VerdictState.UNKNOWN


def test_flat_process_is_flat() -> None:
    """Fails if noise is watched or named, or the headline has no interval."""
    process = Process(lambda _age: {})
    verdict = process.run(1500)
    assert verdict.state is VerdictState.FLAT
    assert verdict.interval is not None
    assert verdict.interval[0] <= verdict.slope_per_hour <= verdict.interval[1]
    assert re.match(r"Flat since \d\d:\d\d UTC at 60\d MB, ", headline(verdict))


def test_fast_leak_is_named_within_five_minutes() -> None:
    """Fails if 30 MB a minute is named too late, or without kind, growth, limit and evidence."""
    process = Process(leaking)
    verdict = process.run(120 + 300)
    assert verdict.state is VerdictState.LEAK
    assert verdict.kind is LeakKind.PYTHON
    assert verdict.slope_per_hour == pytest.approx(1800 * MB, rel=0.1)
    assert verdict.seconds_to_limit == pytest.approx((4096 - 750) / 1800 * 3600, rel=0.1)
    assert verdict.evidence
    assert verdict.since is not None


def test_native_growth_is_told_by_flat_blocks() -> None:
    """Fails if everything in use that grows is called Python objects."""
    process = Process(lambda age: {**leaking(age), "python_used": 150 * MB})
    assert process.run(420).kind is LeakKind.NATIVE


def test_large_python_objects_are_told_by_the_census() -> None:
    """Fails if bytes and long lists, which malloc holds, are called native memory."""
    process = Process(lambda age: {**leaking(age), "python_used": 150 * MB})

    def take() -> object:
        grown = int(FAST * max(0.0, process.age - 120))
        return census(process.clock.now, {"bytes": (1000 + grown // 10_000, grown)}, large=grown)

    process = Process(process.columns, Probes(census=take))  # type: ignore[arg-type]
    verdict = process.run(450)
    assert verdict.state is VerdictState.LEAK
    assert verdict.kind is LeakKind.PYTHON


def test_big_load_is_no_leak() -> None:
    """Fails if memory that was asked for at once is watched as growth."""
    process = Process(lambda age: {"live": (400 + 600 * min(max(age - 300, 0) / 60, 1)) * MB})
    states = set()
    for _ in range(50):
        states.add(process.run(30).state)
    assert states <= {VerdictState.UNKNOWN, VerdictState.FLAT}


def test_sawtooth_is_no_leak() -> None:
    """Fails if the time between two collections looks like growth."""
    process = Process(lambda age: {"live": (400 + 80 * (age % 300) / 300) * MB})
    states = set()
    for _ in range(60):
        states.add(process.run(30).state)
    assert VerdictState.LEAK not in states


def test_growth_of_rss_alone_is_retention_and_a_trim_settles_it() -> None:
    """Fails if what the allocator keeps is called a leak, or a trim neither settles nor records it."""
    kept = {"amount": 1.0}
    process = Process(lambda age: {"live": 400 * MB, "rss": 600 * MB + 0.5 * age * kept["amount"] * MB})

    def trim() -> None:
        kept["amount"] = 0.0

    def rss() -> int:
        return int((600 + 0.5 * process.age * kept["amount"]) * MB)

    process = Process(process.columns, Probes(trim=trim, rss=rss))
    verdict = process.run(900)
    assert verdict.state is VerdictState.WATCH
    assert verdict.kind is LeakKind.RETENTION
    trimmed = process.detector.trim_and_recheck(SERVICE)
    assert trimmed.freed_bytes == pytest.approx(450 * MB, rel=0.01)
    assert "nothing leaks" in trimmed.words
    assert process.recorded.of(EventKind.TRIM) == [trimmed.words]
    assert process.detector.verdict.kind is None
    assert process.run(600).state is VerdictState.FLAT


def test_trim_that_gives_nothing_back_says_so() -> None:
    """Fails if a trim always clears the allocator, or is believed without looking."""
    process = Process(
        lambda age: {"live": 400 * MB, "rss": 600 * MB + 0.5 * age * MB},
        Probes(trim=lambda: None, rss=lambda: int(1050 * MB)),
    )
    process.run(900)
    assert "only 0 MB" in process.detector.trim_and_recheck(SERVICE).words


def test_growth_of_the_index_is_watched_not_named() -> None:
    """Fails if documents that come in are called a leak."""

    def columns(age: float) -> dict[str, float]:
        grown = FAST * max(0.0, age - 120)
        return {"live": 400 * MB + grown, "owner.index": 20 * MB + grown}

    process = Process(columns)
    states = {process.run(30).state for _ in range(28)}
    assert VerdictState.LEAK not in states
    assert process.detector.verdict.state is VerdictState.WATCH


def test_threads_are_named_with_their_names() -> None:
    """Fails if threads that pile up are missed, or nobody says which."""
    process = Process(lambda age: {"threads": 20 + age // 10})
    probes = Probes(
        threads=lambda: Counter({"MainThread": 1, "executor-N_N": int(process.age // 10), "idle": 8}),
        descriptors=Counter,
    )
    process = Process(process.columns, probes)
    verdict = process.run(900)
    assert verdict.state is VerdictState.LEAK
    assert verdict.kind is LeakKind.THREADS
    assert verdict.suspects[0].kind is SuspectKind.THREAD
    assert verdict.suspects[0].name == "executor-N_N"
    assert "an hour" in headline(verdict)


def test_garbage_is_collected_before_it_is_called_a_leak() -> None:
    """Fails if memory in unreachable cycles is named, or a collection is made for no reason."""
    collected = {"at": 0.0, "runs": 0.0}

    def columns(age: float) -> dict[str, float]:
        grown = FAST * (age - collected["at"])
        return {"live": 400 * MB + grown, "python_used": 150 * MB + grown, "gc_runs_2": collected["runs"]}

    def collect() -> None:
        collected.update(at=process.age, runs=collected["runs"] + 1)

    process = Process(columns, Probes(collect=collect))
    states = {process.run(30).state for _ in range(40)}
    assert VerdictState.LEAK not in states
    assert 1 <= len(process.recorded.of(EventKind.COLLECTION)) <= 4


def test_cycles_are_a_leak_where_the_collector_is_off() -> None:
    """Fails if the detector cleans up behind a program that switched the collector off, and so never names it."""
    collected: list[float] = []
    probes = Probes(collect=lambda: collected.append(1.0), collects=lambda: False)
    process = Process(lambda age: {**leaking(age), "gc_runs_2": 3.0}, probes)
    verdict = process.run(420)
    assert verdict.state is VerdictState.LEAK
    assert not collected
    assert any("switched off" in line for line in verdict.evidence)


def test_collection_does_not_delay_a_real_leak() -> None:
    """Fails if looking for garbage takes the detector past its five minutes."""
    runs = {"count": 0.0}

    def collect() -> None:
        runs["count"] += 1

    process = Process(lambda age: {**leaking(age), "gc_runs_2": runs["count"]}, Probes(collect=collect))
    assert process.run(420).state is VerdictState.LEAK
    assert runs["count"] >= 1


def test_suspects_come_from_censuses_and_ledger() -> None:
    """Fails if the container that grows is not first, or owners are not among the suspects."""
    process = Process(leaking)

    def grown() -> int:
        return int(FAST * max(0.0, process.age - 120))

    def take() -> object:
        count = grown() // 1000
        containers = (ContainerCount(1, "dict", 20 + count, "app.sessions._cache", 50 + count * 1000),)
        types = {"app.Session": (count, count * 600), "dict": (900 + count, count * 400), "str": (5000, 400_000)}
        return census(process.clock.now, types, containers)

    process = Process(
        lambda age: {**leaking(age), "owner.python_objects": 100 * MB + FAST * max(0.0, age - 120)},
        Probes(census=take),  # type: ignore[arg-type]
    )
    suspects = process.run(480).suspects
    assert (suspects[0].kind, suspects[0].name) == (SuspectKind.CONTAINER, "app.sessions._cache")
    assert SuspectKind.OWNER in {suspect.kind for suspect in suspects}
    assert "app.Session" in {suspect.name for suspect in suspects[:3]}
    assert "str" not in {suspect.name for suspect in suspects}


def test_traced_lines_are_suspects() -> None:
    """Fails if tracing is on and the line that leaks is not said."""
    process = Process(leaking, Probes(lines=lambda: [("app/cache.py:12", 1700 * MB), ("app/other.py:3", 1 * MB)]))
    suspects = process.run(420).suspects
    assert [suspect.name for suspect in suspects] == ["app/cache.py:12"]


def test_change_of_state_is_an_event() -> None:
    """Fails if the time line does not show when a leak was named, or shows each judgement."""
    process = Process(leaking)
    process.run(600)
    headlines = process.recorded.of(EventKind.VERDICT)
    assert any(text.startswith("Leak of Python objects") for text in headlines)
    assert len(headlines) <= 3


def test_leak_that_ends_is_taken_back() -> None:
    """Fails if a verdict stays for ever once it was spoken."""
    process = Process(lambda age: leaking(min(age, 480)))
    assert process.run(480).state is VerdictState.LEAK
    assert process.run(1800).state is not VerdictState.LEAK


def test_growth_per_request_has_an_interval() -> None:
    """Fails if growth is not put in relation to the requests that were served."""
    process = Process(lambda age: {**leaking(age), "requests": age * 2})
    verdict = process.run(420)
    assert verdict.per_request == pytest.approx(FAST / 2, rel=0.1)
    low, high = verdict.per_request_interval or (0.0, 0.0)
    assert low <= verdict.per_request <= high


def test_slow_leak_is_named_within_a_day() -> None:
    """Fails if 1 MB an hour stays unnamed for a day."""
    process = Process(lambda age: {"live": 400 * MB + 1.0 * MB * age / 3600})
    verdict = process.run(23 * 3600, step=20, judge=600)
    assert verdict.state is VerdictState.LEAK
    assert verdict.slope_per_hour == pytest.approx(1.0 * MB, rel=0.15)


def test_restart_begins_anew() -> None:
    """Fails if what an earlier process did is judged along."""
    process = Process(leaking)
    process.run(420)
    assert process.history.run_start() == START
    second = Process(lambda _age: {})
    assert second.run(420).state is VerdictState.UNKNOWN
