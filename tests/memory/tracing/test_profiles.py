from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from services.core.actor import SERVICE
from services.memory.tracing.profiles import ProfileFormat, as_pprof, as_speedscope
from services.memory.tracing.tracer import Tracer
from services.memory.tracing.types import SnapshotInfo
from tests.memory.tracing.pprof_reader import read_profile
from tests.memory.tracing.test_compare import INFO, Raw, packed, raw

Stacks = Counter[tuple[tuple[str, int], ...]]


def info_of(found: Raw, left_out: int = 0) -> SnapshotInfo:
    total = sum(size for _domain, size, _traceback, _total in found)
    return replace(INFO, bytes=total + left_out, blocks=len(found) + (3 if left_out else 0), left_out=left_out)


def stacks_of(found: Raw) -> Stacks:
    """Return the bytes by traceback, most recent call first."""
    sums: Stacks = Counter()
    for _domain, size, traceback, _total in found:
        sums[traceback] += size
    return sums


def speedscope_stacks(document: dict[str, Any]) -> Stacks:
    """Return the bytes by traceback, most recent call first, as speedscope reads them: it wants the oldest first."""
    (profile,) = document["profiles"]
    frames = [(frame.get("file", ""), frame.get("line", 0)) for frame in document["shared"]["frames"]]
    sums: Stacks = Counter()
    for sample, weight in zip(profile["samples"], profile["weights"], strict=True):
        sums[tuple(frames[number] for number in reversed(sample))] += weight
    return sums


def pprof_stacks(profile: Any, value: int) -> Stacks:
    """Return a value by traceback, most recent call first, as pprof reads them."""
    texts, functions = profile.string_table, {each.id: each for each in profile.function}
    places = {}
    for location in profile.location:
        (line,) = location.line
        places[location.id] = texts[functions[line.function_id].filename], line.line
    sums: Stacks = Counter()
    for sample in profile.sample:
        sums[tuple(places[number] for number in sample.location_id)] += sample.value[value]
    return sums


@settings(max_examples=50, deadline=None)
@given(found=raw)
def test_both_formats_tell_each_traceback_with_its_bytes(found: Raw) -> None:
    """A stack upside down, a traceback that is missing, or sums that differ would blame the wrong line."""
    traces, info = packed(found), info_of(found)
    wanted = stacks_of(found)
    assert speedscope_stacks(json.loads(as_speedscope(traces, info))) == wanted
    profile = read_profile(as_pprof(traces, info))
    assert pprof_stacks(profile, 1) == wanted
    assert sum(pprof_stacks(profile, 0).values()) == len(found)


def test_speedscope_has_what_its_schema_requires() -> None:
    """A file without one of its required fields is refused by speedscope with "unknown file format"."""
    traces = packed([(0, 10, (("/a.py", 1), ("/b.py", 2)), 2), (0, 5, (("/a.py", 1),), 1)])
    document = json.loads(as_speedscope(traces, replace(INFO, bytes=15, blocks=2, name="before")))
    assert document["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert [frame["name"] for frame in document["shared"]["frames"]] == ["/a.py:1", "/b.py:2"]
    (profile,) = document["profiles"]
    assert {name: profile[name] for name in ("type", "name", "unit", "startValue", "endValue")} == {
        "type": "sampled",
        "name": "before",
        "unit": "bytes",
        "startValue": 0,
        "endValue": 15,
    }
    assert profile["samples"] == [[1, 0], [0]]
    assert profile["weights"] == [10, 5]


def test_pprof_has_what_its_checks_require() -> None:
    """pprof refuses a profile without an empty first text, with ids of 0, or with places that are not in it."""
    traces = packed([(0, 10**12, (("/a.py", 1), ("/b.py", 2)), 2)])
    profile = read_profile(as_pprof(traces, replace(INFO, time=5.0, bytes=10**12, blocks=1)))
    texts = list(profile.string_table)
    assert texts[0] == ""
    assert len(set(texts)) == len(texts)
    kinds = [(texts[each.type], texts[each.unit]) for each in profile.sample_type]
    assert kinds == [("inuse_objects", "count"), ("inuse_space", "bytes")]
    assert texts[profile.default_sample_type] == "inuse_space"
    assert (texts[profile.period_type.type], texts[profile.period_type.unit]) == ("space", "bytes")
    assert profile.time_nanos == 5 * 10**9
    functions = {each.id for each in profile.function}
    locations = {each.id for each in profile.location}
    assert 0 not in functions | locations
    assert all(line.function_id in functions for each in profile.location for line in each.line)
    assert all(number in locations for sample in profile.sample for number in sample.location_id)
    assert [texts[each.name] for each in profile.function] == ["/a.py:1", "/b.py:2"]


def test_what_a_snapshot_left_out_is_a_frame_of_its_own() -> None:
    """Sums below the snapshot's would let memory disappear between two programs."""
    found: Raw = [(0, 10, (("/a.py", 1),), 1)]
    info = info_of(found, left_out=90)
    document = json.loads(as_speedscope(packed(found), info))
    assert sum(document["profiles"][0]["weights"]) == info.bytes == document["profiles"][0]["endValue"]
    assert document["shared"]["frames"][-1]["name"] == "Tracebacks too small to be stored"
    profile = read_profile(as_pprof(packed(found), info))
    assert sum(pprof_stacks(profile, 1).values()) == info.bytes
    assert sum(pprof_stacks(profile, 0).values()) == info.blocks


def test_paths_that_are_no_text_do_no_harm() -> None:
    """A path with bytes that are no UTF-8 would make the whole export fail."""
    traces = packed([(0, 10, (("/caf\udce9.py", 1),), 1)])
    assert json.loads(as_speedscope(traces, INFO))["shared"]["frames"][0]["name"] == "/caf?.py:1"
    assert "/caf?.py" in read_profile(as_pprof(traces, INFO)).string_table


@pytest.mark.parametrize("wanted", list(ProfileFormat))
def test_a_real_snapshot_adds_up(tracer: Tracer, wanted: ProfileFormat) -> None:
    """What a snapshot says that it holds is what its profile holds, and what this test allocates is in it."""
    tracer.start(SERVICE, 5, 5)
    held = [bytearray(random.randrange(1000, 9000)) for _number in range(300)]
    info = tracer.take_snapshot(SERVICE)
    tracer.stop(SERVICE)
    content = tracer.profile(info.id, wanted)
    if wanted is ProfileFormat.SPEEDSCOPE:
        stacks = speedscope_stacks(json.loads(content))
    else:
        profile = read_profile(content)
        stacks = pprof_stacks(profile, 1)
        assert sum(pprof_stacks(profile, 0).values()) == info.blocks
    assert sum(stacks.values()) == info.bytes
    here = sum(size for stack, size in stacks.items() if stack[0][0] == __file__)
    assert here >= sum(map(len, held))
