"""More shapes, written after the detector was tuned on the others and not used to tune it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from services.memory.leaks.types import LeakKind
from tests.benchmarks.leaks.replay import DAY, HOUR, MB, Story
from tests.benchmarks.leaks.shapes import MINUTE, Chance, Shape, between, process, served, steps, ticks

# Harmless ones


def hourly_jobs(chance: Chance) -> Story:
    """A job each hour that takes more some hours than others."""
    t = ticks(DAY, 5)
    into = (t + chance.uniform(0, HOUR)) % HOUR
    heights = chance.uniform(30, 300, 26)[(t // HOUR).astype(int)] * MB
    lasts = between(chance, 3, 20) * MINUTE
    return Story(process(chance, t, native=heights * np.clip(np.minimum(into, lasts - into) / 60, 0, 1)), 5)


def distinct_keys(chance: Chance) -> Story:
    """A bounded cache of keys that follow a power law: new ones become rare, then it is full."""
    t = ticks(1.5 * DAY, 5)
    size = between(chance, 40, 180)
    filled = np.minimum(size, size * (t / (between(chance, 1, 12) * HOUR)) ** chance.uniform(0.35, 0.6)) * MB
    return Story(process(chance, t, python=filled), 5)


def three_caches(chance: Chance) -> Story:
    t = ticks(1.5 * DAY, 5)
    filled = np.zeros(len(t))
    for _ in range(3):
        begin, pace = chance.uniform(0, 8 * HOUR), between(chance, 5 * MINUTE, 3 * HOUR)
        filled += between(chance, 15, 80) * MB * (1 - np.exp(-np.maximum(0, t - begin) / pace))
    return Story(process(chance, t, python=filled), 5)


def doubling_table(chance: Chance) -> Story:
    t = ticks(DAY, 5)
    first = between(chance, 5 * MINUTE, HOUR)
    moments = first * 2.0 ** np.arange(4)
    sizes = between(chance, 4, 40) * MB * 2.0 ** np.arange(4)
    return Story(process(chance, t, python=steps(t, moments, sizes)), 5)


def lunch_dip(chance: Chance) -> Story:
    t = ticks(4 * DAY, 10)
    hour = (t / HOUR + chance.uniform(0, 24)) % 24
    load = 0.05 + np.exp(-(((hour - 10.5) / 1.8) ** 2)) + 0.9 * np.exp(-(((hour - 15.5) / 2.0) ** 2))
    held = between(chance, 40, 250) * MB * load
    return Story(process(chance, t, python=held, requests=served(chance, load, 10, between(chance, 3, 40))), 10)


def mean_reverting(chance: Chance) -> Story:
    t = ticks(2 * DAY, 5)
    back, size = between(chance, 10 * MINUTE, 6 * HOUR), between(chance, 5, 40)
    pushes = chance.normal(0, size * np.sqrt(2 * 60 / back), len(t) // 12 + 1)
    level = np.empty(len(pushes))
    now = 0.0
    for number, push in enumerate(pushes):
        now += push - now * 60 / back
        level[number] = now
    return Story(process(chance, t, python=(np.repeat(level, 12)[: len(t)] + 4 * size) * MB), 5)


def first_morning(chance: Chance) -> Story:
    """A quiet night, then people come, stay until the evening and go."""
    t = ticks(1.5 * DAY, 5)
    begin = chance.uniform(1, 9) * HOUR
    load = 0.03 + np.clip(np.minimum((t - begin) / (1.5 * HOUR), (begin + 11 * HOUR - t) / HOUR), 0, 1)
    held = between(chance, 40, 400) * MB * load
    sessions = np.round(load * between(chance, 10, 100))
    columns = process(
        chance, t, python=held, sessions=sessions, requests=served(chance, load, 5, between(chance, 5, 60))
    )
    return Story(columns, 5)


def pools(chance: Chance) -> Story:
    """Threads and connections are made as they are first needed, up to their limits."""
    t = ticks(DAY, 5)
    pace = between(chance, 10 * MINUTE, 3 * HOUR)
    more = np.floor(chance.integers(8, 40) * (1 - np.exp(-t / pace)))
    return Story(process(chance, t, threads=12 + more, descriptors=40 + 1.5 * more), 5)


def fragments(chance: Chance) -> Story:
    """Arena after arena is touched; what is in use stays."""
    t = ticks(DAY, 5)
    moments = np.sort(chance.uniform(0, DAY, 25))
    return Story(process(chance, t, rss=steps(t, moments, chance.uniform(2, 60, 25) * MB)), 5)


def long_teeth(chance: Chance) -> Story:
    """A sawtooth with hours between its teeth."""
    t = ticks(2 * DAY, 5)
    period = between(chance, 2 * HOUR, 9 * HOUR)
    into = ((t + chance.uniform(0, period)) % period) / period
    return Story(process(chance, t, python=between(chance, 20, 90) * MB * into), 5)


def expiring_cache(chance: Chance) -> Story:
    """Entries live for a set time: it fills evenly for as long and then stays."""
    t = ticks(DAY, 5)
    begin, lives = chance.uniform(0, 6 * HOUR), between(chance, 5 * MINUTE, 3 * HOUR)
    held = between(chance, 20, 110) * MB * np.clip((t - begin) / lives, 0, 1)
    return Story(process(chance, t, python=held * (1 + 0.02 * np.sin(t / lives * 5))), 5)


def nightly_job(chance: Chance) -> Story:
    t = ticks(3 * DAY, 10)
    into = (t + chance.uniform(0, DAY)) % DAY
    lasts = between(chance, 0.3, 3) * HOUR
    held = between(chance, 100, 800) * MB * np.clip(np.minimum(into, lasts - into) / (2 * MINUTE), 0, 1)
    return Story(process(chance, t, native=held), 10)


# Leaks


def office_hours(chance: Chance) -> Story:
    """It leaks by day and rests at night."""
    t = ticks(5 * DAY, 10)
    hour = (t / HOUR + chance.uniform(0, 24)) % 24
    load = np.where((hour > 8) & (hour < 19), 1.0, 0.02)
    requests = served(chance, load, 10, between(chance, 5, 60))
    grown = requests / requests[-1] * between(chance, 150, 800) * MB
    return Story(process(chance, t, python=grown, requests=requests), 10, True, LeakKind.PYTHON, 0.0, 4.5 * DAY)


def ten_a_minute(chance: Chance) -> Story:
    t = ticks(4 * HOUR, 2)
    begin = chance.uniform(0, 2 * HOUR)
    grown = between(chance, 8, 25) * MB * np.maximum(0, t - begin) / MINUTE
    return Story(process(chance, t, native=grown), 2, True, LeakKind.NATIVE, begin, HOUR)


def under_big_teeth(chance: Chance) -> Story:
    t = ticks(2 * DAY, 5)
    period, height = between(chance, 4 * MINUTE, 25 * MINUTE), between(chance, 60, 120) * MB
    grown = between(chance, 3, 20) * MB * t / HOUR
    return Story(
        process(chance, t, python=grown + height * (t % period) / period), 5, True, LeakKind.PYTHON, 0, 30 * HOUR
    )


def leaky_jobs(chance: Chance) -> Story:
    """Each hour's job leaves something behind."""
    t = ticks(2 * DAY, 5)
    into = t % HOUR
    busy = between(chance, 50, 200) * MB * np.clip(np.minimum(into, 8 * MINUTE - into) / 30, 0, 1)
    left = np.floor(t / HOUR) * between(chance, 2, 15) * MB
    return Story(process(chance, t, native=busy + left), 5, True, LeakKind.NATIVE, 0.0, 30 * HOUR)


def slowing_leak(chance: Chance) -> Story:
    """It gets slower but never stops."""
    t = ticks(3 * DAY, 10)
    grown = between(chance, 150, 800) * MB * (t / (2 * DAY)) ** chance.uniform(0.8, 0.95)
    return Story(process(chance, t, python=grown), 10, True, LeakKind.PYTHON, 0.0, 2 * DAY)


def sockets(chance: Chance) -> Story:
    t = ticks(DAY, 5)
    requests = served(chance, np.ones(len(t)), 5, between(chance, 1, 20))
    more = np.floor(requests * 10 / between(chance, 20, 200))
    columns = process(chance, t, python=more * 3e3, requests=requests, descriptors=80 + more)

    def groups(moment: float) -> Counter[str]:
        return Counter({"pipe": 4, "socket": 8 + int(more[int(moment / 5)])})

    return Story(columns, 5, True, LeakKind.DESCRIPTORS, 0.0, 23 * HOUR, ("socket",), groups)


def thread_bursts(chance: Chance) -> Story:
    t = ticks(DAY, 5)
    moments = np.sort(chance.uniform(0, DAY, 60))
    more = steps(t, moments, chance.integers(2, 9, 60))

    def groups(moment: float) -> Counter[str]:
        return Counter({"MainThread": 1, "parser-N": 3 + int(more[int(moment / 5)])})

    columns = process(chance, t, threads=20 + more)
    return Story(columns, 5, True, LeakKind.THREADS, float(moments[0]), DAY, ("parser",), groups)


def after_big_load(chance: Chance) -> Story:
    """A job took far more for a while; the leak begins after it."""
    t = ticks(2 * DAY, 5)
    begin = HOUR + between(chance, 10, 40) * MINUTE
    load = np.where((t > HOUR) & (t < begin), 700 * MB, 0.0)
    grown = between(chance, 3, 40) * MB * np.maximum(0, t - begin) / HOUR
    return Story(process(chance, t, python=load + grown), 5, True, LeakKind.PYTHON, begin, DAY)


def half_cleaned(chance: Chance) -> Story:
    """Every few hours a part of what leaked is freed."""
    t = ticks(3 * DAY, 10)
    period = between(chance, 2 * HOUR, 6 * HOUR)
    pace = between(chance, 6, 30) * MB / HOUR
    grown = pace * (t - np.floor(t / period) * period * chance.uniform(0.2, 0.5))
    return Story(process(chance, t, python=grown), 10, True, LeakKind.PYTHON, 0.0, 2 * DAY)


def tensors(chance: Chance) -> Story:
    """Tensors stay on the GPU."""
    t = ticks(DAY, 5)
    begin = chance.uniform(0, 3 * HOUR)
    grown = between(chance, 5, 500) * MB * np.maximum(0, t - begin) / HOUR
    columns = process(chance, t, gpu_allocated=900 * MB + np.floor(grown / (2 * MB)) * 2 * MB)
    return Story(columns, 5, True, LeakKind.GPU, begin, 20 * HOUR)


def mapped(chance: Chance) -> Story:
    """Memory that a library maps by itself: live bytes do not show it."""
    t = ticks(DAY, 5)
    grown = between(chance, 20, 200) * MB * t / HOUR
    free = {"owner.native_free": np.full(len(t), 30 * MB), "owner.python_free": np.full(len(t), 10 * MB)}
    columns = process(chance, t, rss=grown, **free, **{"owner.unnamed": 5 * MB + np.repeat(grown[::6], 6)[: len(t)]})
    return Story(columns, 5, True, LeakKind.NATIVE, 0.0, 20 * HOUR)


HARMLESS: Mapping[str, Shape] = {
    shape.__name__: shape
    for shape in (
        hourly_jobs, distinct_keys, three_caches, doubling_table, lunch_dip, mean_reverting, first_morning, pools,
        fragments, long_teeth, expiring_cache, nightly_job,
    )
}  # fmt: skip
LEAKS: Mapping[str, Shape] = {
    shape.__name__: shape
    for shape in (
        office_hours, ten_a_minute, under_big_teeth, leaky_jobs, slowing_leak, sockets, thread_bursts, after_big_load,
        half_cleaned, tensors, mapped,
    )
}  # fmt: skip
