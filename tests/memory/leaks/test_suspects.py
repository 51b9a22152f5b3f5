from __future__ import annotations

from collections import Counter

from services.memory.leaks.suspects import census_suspects, group_suspects, line_suspects, rank_suspects
from services.memory.leaks.types import LeakKind, SuspectKind
from services.memory.objects.types import ContainerCount
from tests.memory.leaks.detectors import MB, census

HOUR = 3600.0


def names(found: list) -> list[str]:
    return [suspect.name for _share, suspect in sorted(found, key=lambda pair: -pair[0])]


def test_one_census_tells_nothing() -> None:
    """Fails if everything that lives is suspected of growing."""
    assert census_suspects([census(0.0, {"dict": (1000, 10_000_000)})], MB, LeakKind.PYTHON) == []


def test_container_that_holds_the_growth_comes_before_types() -> None:
    """Fails if the name of the container is lost among types, or a longer one that holds nothing comes first."""
    before = (ContainerCount(1, "dict", 100, "app._cache", 1000), ContainerCount(2, "list", 100, "app._log", 1000))
    after = (
        ContainerCount(1, "dict", 1100, "app._cache", 9 * 2**20),
        ContainerCount(2, "list", 9000, "app._log", 4000),
    )
    types = {"app.Item": (100, 10_000), "dict": (500, 50_000)}
    later = {"app.Item": (1100, 2 * 2**20), "dict": (1500, 8 * 2**20)}
    found = census_suspects([census(0.0, types, before), census(HOUR, later, after)], 10 * MB, LeakKind.PYTHON)
    assert names(found)[:2] == ["app._cache", "app.Item"]


def test_plain_types_come_after_own_ones() -> None:
    """Fails if "dict" is all that is said where a class of the program grows by as many."""
    found = census_suspects(
        [
            census(0.0, {"app.Item": (0, 0), "dict": (0, 0)}),
            census(HOUR, {"app.Item": (10_000, 480_000), "dict": (10_000, 9_000_000)}),
        ],
        10 * MB,
        LeakKind.PYTHON,
    )
    assert names(found) == ["app.Item", "dict"]


def test_types_without_bytes_are_suspected_of_native_memory() -> None:
    """Fails if an index or image whose memory is native is never named."""
    found = census_suspects(
        [census(0.0, {"faiss.Index": (1, 56)}), census(HOUR, {"faiss.Index": (61, 3416)})], 500 * MB, LeakKind.NATIVE
    )
    assert names(found) == ["faiss.Index"]


def test_containers_too_short_for_the_first_census_are_not_taken_for_new() -> None:
    """Fails if a container that was merely not among the longest counts as grown from nothing."""
    long = tuple(ContainerCount(number, "list", 500, f"app.list{number}") for number in range(5))
    after = (*long, ContainerCount(9, "dict", 503, "app.old", 5 * 2**20))
    found = census_suspects([census(0.0, {}, long), census(HOUR, {}, after)], 5 * MB, LeakKind.PYTHON)
    assert found == []


def test_the_monitoring_itself_is_no_suspect() -> None:
    """Fails if the detector names its own bounded records."""
    name = "services.memory.objects.types.TypeCount"
    found = census_suspects(
        [census(0.0, {name: (0, 0)}), census(HOUR, {name: (9000, 900_000)})], 1 * MB, LeakKind.PYTHON
    )
    assert found == []


def test_containers_of_the_monitoring_are_no_suspects() -> None:
    """Fails if the last census is found to hold a long dictionary of its own."""
    name = "console.ui.runtime_access._process._runtime.memory.objects._last.types"
    after = (ContainerCount(1, "dict", 9000, name, 2 * 2**20), ContainerCount(2, "dict", 9000, "app.memory", 2 * 2**20))
    before = (ContainerCount(1, "dict", 10, name, 1000), ContainerCount(2, "dict", 10, "app.memory", 1000))
    found = census_suspects([census(0.0, {}, before), census(HOUR, {}, after)], 4 * MB, LeakKind.PYTHON)
    assert names(found) == ["app.memory"]


def test_what_grew_once_is_no_suspect() -> None:
    """Fails if what an import made early on hides what has gone on growing since."""
    before = (ContainerCount(1, "dict", 10, "lib.fields", 1000), ContainerCount(2, "dict", 10, "app.blobs", 1000))
    middle = (
        ContainerCount(1, "dict", 9000, "lib.fields", 3 * 2**20),
        ContainerCount(2, "dict", 500, "app.blobs", 2**20),
    )
    after = (
        ContainerCount(1, "dict", 9000, "lib.fields", 3 * 2**20),
        ContainerCount(2, "dict", 990, "app.blobs", 2**21),
    )
    censuses = [
        census(0.0, {"lib.Field": (0, 0)}, before),
        census(HOUR, {"lib.Field": (9000, 900_000)}, middle),
        census(2 * HOUR, {"lib.Field": (9000, 900_000)}, after),
    ]
    assert names(census_suspects(censuses, 2 * MB, LeakKind.PYTHON)) == ["app.blobs"]


def test_groups_that_grew() -> None:
    """Fails if groups that stayed or shrank are suspected."""
    found = group_suspects(Counter(a=5, b=30, c=2), Counter(a=5, b=10, c=9), 2.0, SuspectKind.THREAD)
    assert [(suspect.name, suspect.slope) for _share, suspect in found] == [("b", 10.0)]


def test_small_lines_are_left_out_and_the_list_is_bounded() -> None:
    """Fails if the list of suspects is as long as the program."""
    lines = [(f"app.py:{number}", 10 * MB) for number in range(20)] + [("app.py:99", 0.1 * MB)]
    found = rank_suspects(line_suspects(lines, 50 * MB))
    assert len(found) == 8
    assert "app.py:99" not in {suspect.name for suspect in rank_suspects(line_suspects(lines[-3:], 50 * MB))}
