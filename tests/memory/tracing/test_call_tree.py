from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from services.memory.tracing import source
from services.memory.tracing.call_tree import MOST_CALLS, CallTree, build_call_tree
from services.memory.tracing.compare import compare_traces
from services.memory.tracing.snapshot_file import Traces, pack_traces
from services.memory.tracing.types import SourceLine, TraceFilters
from tests.memory.tracing.test_compare import INFO, Raw, packed, raw

Way = tuple[SourceLine, ...]  # oldest call first


def ways(tree: CallTree) -> dict[Way, tuple[int, int]]:
    """Return bytes and blocks by way from the root, without what is merged."""
    found: dict[Way, tuple[int, int]] = {}
    known: list[Way] = []
    for node in tree.nodes:
        way: Way = (*known[node.parent], node.place) if node.parent >= 0 and node.place else ()
        known.append(way)
        if node.place is not None:
            assert way not in found, "one call twice"
            found[way] = node.bytes, node.blocks
    return found


def by_hand(found: Raw) -> dict[Way, tuple[int, int]]:
    sizes: Counter[Way] = Counter()
    blocks: Counter[Way] = Counter()
    for _domain, size, traceback, _total in found:
        stack = tuple(SourceLine(*place) for place in reversed(traceback))
        for end in range(1, len(stack) + 1):
            sizes[stack[:end]] += size
            blocks[stack[:end]] += 1
    return {way: (sizes[way], blocks[way]) for way in sizes}


def consistent(tree: CallTree) -> bool:
    """Return whether no call holds less than what it called, what is merged included."""
    below = Counter[int]()
    for node in tree.nodes[1:]:
        below[node.parent] += node.bytes
    return all(below[number] <= node.bytes for number, node in enumerate(tree.nodes))


@settings(max_examples=100, deadline=None)
@given(found=raw, most=st.sampled_from([0, 1, 3, MOST_CALLS]))
def test_the_tree_is_what_adding_up_by_hand_gives(found: Raw, most: int) -> None:
    """A call below the wrong caller, a lost traceback, or a limit that drops a caller and keeps what it called."""
    tree = build_call_tree(packed(found), most=most)
    root, total = tree.nodes[0], sum(size for _domain, size, _traceback, _total in found)
    assert (root.bytes, root.blocks, root.place) == (total, len(found), None)
    shown, wanted = ways(tree), by_hand(found)
    assert shown.items() <= wanted.items()
    assert len(shown) <= most
    assert consistent(tree)
    assert tree.levels == max(map(len, shown), default=0)
    if most == MOST_CALLS:
        missing = [size for way, (size, _blocks) in wanted.items() if way not in shown]
        assert all(size < max(1.0, total / 1000) for size in missing)
    merged = sum(node.bytes for node in tree.nodes[1:] if node.place is None)
    ends = Counter[Way]()
    for _domain, size, traceback, _total in found:
        ends[tuple(SourceLine(*place) for place in reversed(traceback))] += size
    assert merged == sum(size for way, size in ends.items() if way not in shown)


def mixed() -> Traces:
    ours, library = next(iter(source.OUR_FOLDERS)) + "mine.py", "/lib/site-packages/theirs.py"
    return pack_traces(
        [
            (((library, 9), (ours, 5), ("/start.py", 1)), 100, 1),
            (((library, 9), ("/start.py", 1)), 40, 1),
            ((("<frozen importlib._bootstrap>", 1), ("/start.py", 1)), 7, 1),
        ]
    )


def test_filters_are_those_of_the_table() -> None:
    """A flame graph that shows other bytes than the table beside it leaves a person to guess which is wrong."""
    traces = mixed()
    for filters in (
        TraceFilters(),
        TraceFilters(hide_imports=True),
        TraceFilters(ours=True),
        TraceFilters(ours=True, hide_imports=True, watching=True),
    ):
        table = compare_traces(traces, None, (INFO, None), filters=filters)
        assert build_call_tree(traces, filters).nodes[0].bytes == table.bytes
    tree = build_call_tree(traces, TraceFilters(ours=True))
    assert [len(way) for way in ways(tree)] == [1, 2], "calls below our own code are shown"
    assert build_call_tree(traces, TraceFilters(text="THEIRS.py:9")).nodes[0].bytes == 140
    assert build_call_tree(traces, TraceFilters(text="no such path")).nodes[0].bytes == 0


def test_a_snapshot_of_a_hundred_thousand_calls_stays_small() -> None:
    """Thousands of rectangles would stop the browser; what is left out is one rectangle at its caller."""
    traces = pack_traces(
        (((f"/leaf{number}.py", number), ("/middle.py", number % 7), ("/start.py", 1)), 1000, 1)
        for number in range(1, 100_001)
    )
    tree = build_call_tree(traces)
    assert len(tree.nodes) <= 2 * MOST_CALLS + 1
    assert tree.nodes[0].bytes == 100_000_000
    assert consistent(tree)
    assert sum(node.bytes for node in tree.nodes if node.place is None and node.parent > 0) == 100_000_000
