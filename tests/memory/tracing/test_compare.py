from __future__ import annotations

import linecache
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.memory.tracing import source
from services.memory.tracing.compare import compare_traces
from services.memory.tracing.snapshot_file import Traces, pack_traces, read_traces, write_traces
from services.memory.tracing.types import GroupBy, SnapshotInfo, SourceLine, TraceFilters

INFO = SnapshotInfo("0" * 16, 0.0, 0.0, 1, 0, 0, 0, 0, 0, 0, 0.0, 0.0)
KEYS = {GroupBy.LINE: "lineno", GroupBy.FILE: "filename", GroupBy.TRACEBACK: "traceback"}

Raw = list[tuple[int, int, tuple[tuple[str, int], ...], int]]
place = st.tuples(st.sampled_from(["/a.py", "/b/ä.py", "<frozen importlib._bootstrap>"]), st.integers(1, 5))
raw = st.lists(
    st.tuples(st.just(0), st.integers(0, 10**9), st.lists(place, min_size=1, max_size=4).map(tuple), st.just(4)),
    max_size=30,
)


def packed(found: Raw) -> Traces:
    merged: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for _domain, size, traceback, _total in found:
        entry = merged.setdefault(traceback, [0, 0])
        entry[0] += size
        entry[1] += 1
    return pack_traces((traceback, size, count) for traceback, (size, count) in merged.items())


def theirs(new: Raw, old: Raw, by: GroupBy) -> set[tuple[object, ...]]:
    later, earlier = (tracemalloc.Snapshot(tuple(found), 4) for found in (new, old))  # type: ignore[arg-type]
    return {
        (
            tuple((frame.filename, frame.lineno) for frame in row.traceback),
            row.size,
            row.size_diff,
            row.count,
            row.count_diff,
        )
        for row in later.compare_to(earlier, KEYS[by])
    }


@pytest.mark.parametrize("by", list(GroupBy))
@settings(max_examples=50, deadline=None)
@given(new=raw, old=raw)
def test_the_same_as_tracemalloc(by: GroupBy, new: Raw, old: Raw) -> None:
    """Every row has the figures that the standard library's own comparison has."""
    found = compare_traces(packed(new), packed(old), (INFO, INFO), by=by, limit=10_000)
    rows = {(tuple(row.frames), row.bytes, row.bytes_diff, row.blocks, row.blocks_diff) for row in found.rows}
    assert rows == theirs(new, old, by)
    changes = [abs(row.bytes_diff) for row in found.rows]
    assert changes == sorted(changes, reverse=True)
    assert found.bytes == sum(size for _domain, size, _traceback, _total in new)
    assert found.blocks_diff == len(new) - len(old)


@settings(max_examples=30, deadline=None)
@given(found=raw)
def test_the_file_gives_back_what_it_got(tmp_path_factory: pytest.TempPathFactory, found: Raw) -> None:
    """Empty, short, repeated and foreign names survive the disk."""
    traces = packed(found)
    path = tmp_path_factory.mktemp("traces") / "a.npz"
    assert write_traces(traces, path) == path.stat().st_size
    again = read_traces(path)
    assert compare_traces(again, None, (INFO, None), by=GroupBy.TRACEBACK, limit=10**6).rows == (
        compare_traces(traces, None, (INFO, None), by=GroupBy.TRACEBACK, limit=10**6).rows
    )


OURS = str(Path(source.__file__).parents[2] / "core" / "i18n.py")
TRACING = source.__file__


def one(*frames: tuple[str, int], size: int = 100) -> tuple[tuple[tuple[str, int], ...], int, int]:
    return tuple(reversed(frames)), size, 1


def test_filters() -> None:
    """Ours counts a block for the newest of our frames; imports and tracing itself can be hidden; text narrows."""
    traces = pack_traces(
        [
            one((OURS, 3), ("/lib/json/decoder.py", 7), size=500),
            one((OURS, 3), size=50),
            one(("/lib/other.py", 1), size=300),
            one((OURS, 9), ("<frozen importlib._bootstrap>", 5), size=900),
            one((TRACING, 5), size=700),
            one((TRACING, 8), ("/lib/numpy/core.py", 5), size=40),
        ]
    )

    def rows(filters: TraceFilters, by: GroupBy = GroupBy.LINE) -> list[tuple[str, int, int]]:
        found = compare_traces(traces, None, (INFO, None), by=by, filters=filters)
        return [(Path(row.place.file).name, row.place.line, row.bytes) for row in found.rows]

    assert ("i18n.py", 3, 550) in rows(TraceFilters(ours=True))
    assert ("other.py", 1, 300) not in rows(TraceFilters(ours=True))
    assert rows(TraceFilters(ours=True, hide_imports=True)) == [("i18n.py", 3, 550)]
    assert {name for name, _line, _bytes in rows(TraceFilters(hide_imports=True, watching=True))} == {
        "decoder.py",
        "i18n.py",
        "other.py",
        "core.py",
    }
    assert rows(TraceFilters(text="JSON/")) == [("decoder.py", 7, 500)]
    assert rows(TraceFilters(text="i18n.py:3"), GroupBy.TRACEBACK) == [("decoder.py", 7, 500), ("i18n.py", 3, 50)]
    assert rows(TraceFilters(text="no such")) == []
    at = compare_traces(
        traces, None, (INFO, None), by=GroupBy.TRACEBACK, filters=TraceFilters(ours=True), at=SourceLine(OURS, 3)
    )
    assert [row.bytes for row in at.rows] == [500, 50]


SAMPLER = str(Path(source.__file__).parents[1] / "sampling" / "sampler.py")


def test_what_watching_allocates_is_left_out_and_counted_in_one_line() -> None:
    """The sampler's lines would lead every comparison; what it calls of others' code belongs to these."""
    before = pack_traces([one((SAMPLER, 7), size=1000), one((OURS, 3), size=10)])
    after = pack_traces(
        [
            one((SAMPLER, 7), size=5000),
            one((SAMPLER, 9), ("/lib/numpy/core.py", 5), size=600),
            one((SAMPLER, 11), (OURS, 4), size=70),
            one((OURS, 3), size=30),
        ]
    )
    found = compare_traces(after, before, (INFO, INFO))
    assert {(Path(row.place.file).name, row.bytes) for row in found.rows} == {("i18n.py", 70), ("i18n.py", 30)}
    assert (found.bytes, found.bytes_diff) == (100, 90)
    assert (found.watching_bytes, found.watching_bytes_diff, found.watching_blocks) == (5600, 4600, 2)
    everything = compare_traces(after, before, (INFO, INFO), filters=TraceFilters(watching=True))
    assert everything.bytes == 5700
    assert everything.watching_bytes == 5600
    assert "Watching,5600,4600,2,1" in source.as_csv(found)


def test_source_lines_come_from_source_files_only(tmp_path: Path) -> None:
    """A place can show a line of Python; anything else on the disk stays unread, and no file is kept in memory."""
    secret = tmp_path / "secret.txt"
    secret.write_text("a password")
    code = tmp_path / "code.py"
    code.write_text("# -*- coding: latin-1 -*-\nname = 'caf\xe9'  # a comment\n", encoding="latin-1")
    (tmp_path / "pipe.py").symlink_to("/dev/zero")
    broken = tmp_path / "broken.py"
    broken.write_bytes(b"\xff\xfe\x00broken")
    linecache.clearcache()
    places = [
        SourceLine(str(code), 2),
        SourceLine(str(code), 99),
        SourceLine(str(secret), 1),
        SourceLine("<string>", 1),
    ]
    places += [SourceLine(str(tmp_path / name), 1) for name in ("pipe.py", "broken.py", "none.py")]
    found = source.source_lines(places)
    assert found[SourceLine(str(code), 2)] == "name = 'café'  # a comment"
    assert [found[place] for place in places[1:]] == [""] * 6
    assert not linecache.cache


def test_paths_are_said_shortly() -> None:
    """Ours start at the project, libraries at their package, the standard library at its module."""
    import json.decoder

    import streamlit

    assert source.short_path(OURS) == "services/core/i18n.py"
    assert source.short_path(streamlit.__file__ or "") == "streamlit/__init__.py"
    assert source.short_path(json.decoder.__file__) == "json/decoder.py"
    assert source.short_path("<string>") == "<string>"
    assert source.is_ours(OURS)
    assert not source.is_ours(__file__)
