"""Shapes of memory over time, harmless ones and leaks, made anew from each seed: what the detector was tuned on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from services.memory.leaks.types import LeakKind
from services.memory.types import Floats, Series
from tests.benchmarks.leaks.replay import DAY, HOUR, MB, Story

Chance = np.random.Generator
Shape = Callable[[Chance], Story]
MINUTE = 60.0


def ticks(length: float, step: float) -> Floats:
    return np.arange(0.0, length, step)


def between(chance: Chance, low: float, high: float) -> float:
    """Return a number between two others, each order of magnitude as likely as the next."""
    return float(np.exp(chance.uniform(np.log(low), np.log(high))))


def noise(chance: Chance, t: Floats) -> Floats:
    """What every process does: jitter, short-lived buffers of requests, young objects that wait for the collector."""
    jitter = chance.normal(0, between(chance, 0.05, 1.5), len(t))
    spikes = np.where(chance.random(len(t)) < between(chance, 0.005, 0.1), chance.exponential(15, len(t)), 0.0)
    period = between(chance, 5, 120)
    return (jitter + spikes + chance.uniform(0, 6) * ((t + chance.uniform(0, period)) % period) / period) * MB


def daily(t: Floats, peak: float = 14.0, offset: float = 0.0) -> Floats:
    """Load of a day between 0 and 1, highest at `peak` o'clock."""
    return 0.5 + 0.5 * np.cos((t / HOUR + offset - peak) / 24 * 2 * np.pi)


def steps(t: Floats, moments: Floats, sizes: Floats) -> Floats:
    order = np.argsort(moments)
    reached = np.concatenate([[0.0], np.cumsum(np.asarray(sizes)[order])])
    return reached[np.searchsorted(np.asarray(moments)[order], t, side="right")]


def served(chance: Chance, load: Floats, step: float, peak: float) -> Floats:
    """Requests since the start under `load` (0 to 1), `peak` a minute at 1."""
    return np.cumsum(chance.poisson(load * peak * step / MINUTE)).astype(np.float64)


def process(
    chance: Chance,
    t: Floats,
    *,
    python: Floats | float = 0.0,
    native: Floats | float = 0.0,
    rss: Floats | float = 0.0,
    **columns: Floats,
) -> dict[str, Floats]:
    """Columns of a process that holds `python` and `native` bytes beside its usual ones, and `rss` beyond them."""
    base = chance.uniform(150, 900) * MB
    small = 0.3 * base + python + noise(chance, t)
    heap = 0.4 * base + native + 0.3 * noise(chance, t)
    live = small + heap
    kept = 0.5 * (np.maximum.accumulate(live) - live)
    found = {
        Series.LIVE: live,
        Series.RSS: live + kept + 0.4 * base + rss,
        Series.PYTHON_USED: small,
        Series.PYTHON_BLOCKS: np.round(small / 75),
        Series.HEAP_USED: heap,
        Series.LIMIT: np.full(len(t), 16 * 1024 * MB),
        Series.THREADS: 30 + np.round(chance.normal(0, 1, len(t))),
        Series.DESCRIPTORS: 60 + np.round(chance.exponential(4, len(t))),
    }
    return {str(name): values for name, values in {**found, **columns}.items()}


# Harmless ones


def noisy_flat(chance: Chance) -> Story:
    t = ticks(DAY, 5)
    return Story(process(chance, t), 5)


def warm_up(chance: Chance) -> Story:
    t = ticks(6 * HOUR, 2)
    size, pace = between(chance, 100, 600) * MB, between(chance, 20, 400)
    first = steps(t, chance.uniform(0, 600, 4), chance.uniform(5, 60, 4) * MB)
    return Story(process(chance, t, python=size * (1 - np.exp(-t / pace)) + first), 2)


def filling_cache(chance: Chance) -> Story:
    """A cache whose misses become rare."""
    t = ticks(1.5 * DAY, 5)
    begin, pace = chance.uniform(0, 4 * HOUR), between(chance, 2 * MINUTE, 6 * HOUR)
    filled = between(chance, 30, 300) * MB * (1 - np.exp(-np.maximum(0, t - begin) / pace))
    return Story(process(chance, t, python=filled), 5)


def full_cache(chance: Chance) -> Story:
    """A cache that fills at an even pace and is full from one moment to the next."""
    t = ticks(DAY, 5)
    begin, lasts = chance.uniform(0, 4 * HOUR), between(chance, 10 * MINUTE, 8 * HOUR)
    filled = between(chance, 20, 110) * MB * np.clip((t - begin) / lasts, 0, 1)
    return Story(process(chance, t, python=filled), 5)


def single_step(chance: Chance) -> Story:
    t = ticks(12 * HOUR, 5)
    begin, lasts = chance.uniform(HOUR / 4, 8 * HOUR), between(chance, 1, 100)
    return Story(process(chance, t, native=between(chance, 40, 1500) * MB * np.clip((t - begin) / lasts, 0, 1)), 5)


def two_steps(chance: Chance) -> Story:
    t = ticks(12 * HOUR, 5)
    begin = chance.uniform(HOUR / 4, 6 * HOUR)
    moments = np.array([begin, begin + between(chance, 60, 4 * HOUR)])
    return Story(process(chance, t, native=steps(t, moments, chance.uniform(30, 500, 2) * MB)), 5)


def daily_swing(chance: Chance) -> Story:
    t = ticks(4 * DAY, 10)
    load = daily(t, offset=chance.uniform(0, 24)) * chance.uniform(0.85, 1.15, 5)[(t / DAY).astype(int)]
    swing = between(chance, 30, 400) * MB * load
    return Story(process(chance, t, python=swing, requests=served(chance, load, 10, between(chance, 2, 60))), 10)


def unknown_swing(chance: Chance) -> Story:
    """A day's swing of something that nobody counts."""
    t = ticks(4 * DAY, 10)
    return Story(process(chance, t, python=between(chance, 30, 120) * MB * daily(t, offset=chance.uniform(0, 24))), 10)


def weekly_swing(chance: Chance) -> Story:
    t = ticks(16 * DAY, 30)
    weekday = ((t / DAY + chance.integers(0, 7)) % 7).astype(int) < 5
    load = daily(t, offset=chance.uniform(0, 24)) * np.where(weekday, 1.0, 0.2)
    load = np.convolve(np.pad(load, 60, mode="edge"), np.ones(121) / 121, mode="valid")
    swing = between(chance, 30, 300) * MB * load
    return Story(process(chance, t, python=swing, requests=served(chance, load, 30, between(chance, 2, 60))), 30)


def ratchet(chance: Chance) -> Story:
    """Every larger job than before leaves its mark; larger ones become rare."""
    t = ticks(2 * DAY, 5)
    jobs = int(between(chance, 200, 3000))
    moments, sizes = np.sort(chance.uniform(0, 2 * DAY, jobs)), chance.gamma(3, between(chance, 3, 15), jobs) * MB
    marks = np.maximum.accumulate(sizes)
    return Story(process(chance, t, native=steps(t, moments, np.diff(marks, prepend=0))), 5)


def random_walk(chance: Chance) -> Story:
    t = ticks(2 * DAY, 5)
    walk = np.repeat(np.cumsum(chance.normal(0, between(chance, 0.05, 0.6), len(t) // 12 + 1)), 12)[: len(t)]
    return Story(process(chance, t, python=(walk - walk.min()) * MB), 5)


def retention(chance: Chance) -> Story:
    """Fragmentation: RSS creeps up, what is in use does not."""
    t = ticks(DAY, 5)
    kept = between(chance, 100, 3000) * MB * np.sqrt(t / DAY)
    return Story(process(chance, t, rss=kept), 5)


def collector_sawtooth(chance: Chance) -> Story:
    t = ticks(DAY, 5)
    period = between(chance, 60, HOUR)
    height = between(chance, 15, 100) * MB
    return Story(process(chance, t, python=height * ((t % period) / period)), 5)


def batches(chance: Chance) -> Story:
    t = ticks(1.5 * DAY, 5)
    held = np.zeros(len(t))
    for begin in chance.uniform(0, 1.5 * DAY, int(chance.integers(4, 30))):
        ramp, lasts = between(chance, 5, 90), between(chance, 2 * MINUTE, HOUR)
        held += between(chance, 50, 400) * MB * np.clip(np.minimum(t - begin, begin + lasts - t) / ramp, 0, 1)
    return Story(process(chance, t, native=held), 5)


def tracing(chance: Chance) -> Story:
    """tracemalloc is switched on and off: its tables fill while objects are replaced."""
    t = ticks(8 * HOUR, 2)
    begin, lasts = chance.uniform(HOUR / 4, 3 * HOUR), between(chance, 10 * MINUTE, 3 * HOUR)
    on = (t > begin) & (t < begin + lasts)
    tables = between(chance, 50, 400) * MB * (1 - np.exp(-(t - begin) / between(chance, 60, 900))) * on
    reported = np.repeat(tables[::15], 15)[: len(t)]
    return Story(process(chance, t, native=tables, **{"owner.tracing": reported}), 2)


def returns_at_night(chance: Chance) -> Story:
    """What the day piles up is cleared at night."""
    t = ticks(4 * DAY, 10)
    hour = (t / HOUR + chance.uniform(0, 24)) % 24
    piled = np.clip((hour - 7) / chance.uniform(9, 14), 0, 1) * (hour < 23.5)
    load = np.where((hour > 7) & (hour < 21), 1.0, 0.1)
    held = between(chance, 30, 200) * MB * piled
    return Story(process(chance, t, python=held, requests=served(chance, load, 10, between(chance, 2, 60))), 10)


def ingestion(chance: Chance) -> Story:
    """Documents come in for hours and the index grows with them."""
    t = ticks(12 * HOUR, 5)
    begin, lasts = chance.uniform(HOUR / 4, 3 * HOUR), between(chance, 15 * MINUTE, 6 * HOUR)
    codes = between(chance, 50, 800) * MB * np.clip((t - begin) / lasts, 0, 1)
    return Story(process(chance, t, native=codes, **{"owner.index": 20 * MB + np.repeat(codes[::6], 6)[: len(t)]}), 5)


def crowd(chance: Chance) -> Story:
    """Tabs come within half an hour, stay, and go."""
    t = ticks(8 * HOUR, 2)
    begin, ramp, lasts = chance.uniform(HOUR / 4, 2 * HOUR), between(chance, 5 * MINUTE, HOUR), 3 * HOUR
    present = np.clip(np.minimum((t - begin) / ramp, (begin + lasts - t) / ramp), 0, 1)
    sessions = np.round(present * between(chance, 30, 300))
    requests = served(chance, present, 2, between(chance, 30, 300))
    held = sessions * between(chance, 0.5, 3) * MB
    return Story(process(chance, t, python=held, sessions=sessions, requests=requests), 2)


# Leaks


def slow(chance: Chance) -> Story:
    t = ticks(30 * HOUR, 5)
    begin = chance.uniform(0, 4 * HOUR)
    grown = between(chance, 1, 4) * MB * np.maximum(0, t - begin) / HOUR
    return Story(process(chance, t, python=grown), 5, True, LeakKind.PYTHON, begin, DAY)


def fast(chance: Chance) -> Story:
    t = ticks(90 * MINUTE, 1)
    begin = chance.uniform(1, 70 * MINUTE)
    grown = between(chance, 30, 120) * MB * np.maximum(0, t - begin) / MINUTE
    return Story(process(chance, t, python=grown), 1, True, LeakKind.PYTHON, begin, 5 * MINUTE)


def medium(chance: Chance) -> Story:
    t = ticks(30 * HOUR, 5)
    begin = chance.uniform(0, 5 * HOUR)
    grown = between(chance, 5, 200) * MB * np.maximum(0, t - begin) / HOUR
    return Story(process(chance, t, python=grown), 5, True, LeakKind.PYTHON, begin, DAY)


def staircase(chance: Chance) -> Story:
    t = ticks(1.5 * DAY, 5)
    period = between(chance, 5 * MINUTE, 2 * HOUR)
    moments = np.arange(chance.uniform(0, 2 * HOUR), 1.5 * DAY, period) + chance.uniform(-0.2, 0.2) * period
    sizes = between(chance, 3, 15) * MB * period / HOUR * chance.uniform(0.7, 1.3, len(moments))
    grown = steps(t, moments, sizes)
    return Story(process(chance, t, native=grown), 5, True, LeakKind.NATIVE, moments[0], 30 * HOUR)


def per_request(chance: Chance) -> Story:
    t = ticks(2 * DAY, 10)
    load = 0.05 + 0.95 * daily(t, offset=chance.uniform(0, 24))
    requests = served(chance, load, 10, between(chance, 5, 60))
    grown = requests / requests[-1] * between(chance, 60, 600) * MB
    columns = process(chance, t, python=grown, requests=requests)
    return Story(columns, 10, True, LeakKind.PYTHON, 0.0, 40 * HOUR)


def native(chance: Chance) -> Story:
    t = ticks(30 * HOUR, 5)
    begin = chance.uniform(0, 4 * HOUR)
    grown = between(chance, 2, 60) * MB * np.maximum(0, t - begin) / HOUR
    return Story(process(chance, t, native=grown), 5, True, LeakKind.NATIVE, begin, DAY)


def threads(chance: Chance) -> Story:
    t = ticks(12 * HOUR, 5)
    begin, pace = chance.uniform(0, 2 * HOUR), between(chance, 5, 60)
    more = np.floor(np.maximum(0, t - begin) / HOUR * pace)
    columns = process(chance, t, python=more * 40e3, threads=25 + more + (chance.random(len(t)) < 0.2))

    def groups(moment: float) -> Counter[str]:
        return Counter({"MainThread": 1, "worker-N": 8, "executor-N_N": 2 + int(more[int(moment / 5)])})

    return Story(columns, 5, True, LeakKind.THREADS, begin, 10 * HOUR, ("executor",), groups)


def descriptors(chance: Chance) -> Story:
    t = ticks(12 * HOUR, 5)
    begin, pace = chance.uniform(0, 2 * HOUR), between(chance, 10, 300)
    more = np.floor(np.maximum(0, t - begin) / HOUR * pace)
    columns = process(chance, t, descriptors=50 + more + np.round(chance.exponential(3, len(t))))

    def groups(moment: float) -> Counter[str]:
        return Counter({"socket": 12, "/data/app.db": 4, "/tmp/upload-N": int(more[int(moment / 5)])})

    return Story(columns, 5, True, LeakKind.DESCRIPTORS, begin, 10 * HOUR, ("upload",), groups)


def cycles(chance: Chance) -> Story:
    """A sawtooth whose floor rises."""
    t = ticks(1.5 * DAY, 5)
    period, height = between(chance, MINUTE, 30 * MINUTE), between(chance, 10, 90) * MB
    begin = chance.uniform(0, 4 * HOUR)
    grown = between(chance, 2, 30) * MB * np.maximum(0, t - begin) / HOUR
    teeth = height * ((t % period) / period)
    return Story(process(chance, t, python=grown + teeth), 5, True, LeakKind.PYTHON, begin, 30 * HOUR)


def accelerating(chance: Chance) -> Story:
    t = ticks(1.5 * DAY, 5)
    begin = chance.uniform(0, 4 * HOUR)
    grown = between(chance, 60, 600) * MB * (np.maximum(0, t - begin) / DAY) ** between(chance, 1.3, 2.5)
    return Story(process(chance, t, python=grown), 5, True, LeakKind.PYTHON, begin, 30 * HOUR)


def beside_swing(chance: Chance) -> Story:
    t = ticks(6 * DAY, 10)
    load = daily(t, offset=chance.uniform(0, 24))
    grown = between(chance, 1.5, 8) * MB * t / HOUR + between(chance, 20, 120) * MB * load
    columns = process(chance, t, python=grown, requests=served(chance, load, 10, between(chance, 5, 60)))
    return Story(columns, 10, True, LeakKind.PYTHON, 0.0, 5 * DAY)


def after_flat_day(chance: Chance) -> Story:
    t = ticks(3 * DAY, 10)
    begin = DAY + chance.uniform(0, 12 * HOUR)
    grown = between(chance, 1.5, 40) * MB * np.maximum(0, t - begin) / HOUR
    return Story(process(chance, t, python=grown), 10, True, LeakKind.PYTHON, begin, DAY)


def bursts(chance: Chance) -> Story:
    """It leaks now and then, little or much."""
    t = ticks(2 * DAY, 10)
    count = int(between(chance, 60, 600))
    moments = np.sort(chance.uniform(0, 2 * DAY, count))
    sizes = chance.lognormal(0, 0.7, count)
    grown = steps(t, moments, sizes / sizes.sum() * between(chance, 80, 600) * MB)
    return Story(process(chance, t, python=grown), 10, True, LeakKind.PYTHON, 0.0, 2 * DAY)


HARMLESS: Mapping[str, Shape] = {
    shape.__name__: shape
    for shape in (
        noisy_flat, warm_up, filling_cache, full_cache, single_step, two_steps, daily_swing, unknown_swing,
        weekly_swing, ratchet, random_walk, retention, collector_sawtooth, batches, tracing, returns_at_night,
        ingestion, crowd,
    )
}  # fmt: skip
LEAKS: Mapping[str, Shape] = {
    shape.__name__: shape
    for shape in (
        slow, fast, medium, staircase, per_request, native, threads, descriptors, cycles, accelerating, beside_swing,
        after_flat_day, bursts,
    )
}  # fmt: skip
