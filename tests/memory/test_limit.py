from __future__ import annotations

from pathlib import Path

import pytest

from services.memory.budget.types import LimitSource
from services.memory.limit import MemoryLimit
from services.memory.sampling.sources import SystemSource
from services.memory.types import Series

MB = 1024 * 1024


def group(tmp_path: Path, limit: str, used: int = 0, inactive: int = 0) -> tuple[str, str]:
    """A control group of version 2, as the kernel shows it."""
    proc, root = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)
    root.mkdir()
    (proc / "self" / "cgroup").write_text("0::/\n")
    (root / "memory.max").write_text(f"{limit}\n")
    (root / "memory.current").write_text(f"{used}\n")
    (root / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\n")
    return str(proc), str(root)


@pytest.mark.parametrize(
    ("configured", "container", "expected"),
    [
        (300, "max", (300, LimitSource.CONFIGURED)),
        (300, str(400 * MB), (300, LimitSource.CONFIGURED)),
        (500, str(400 * MB), (400, LimitSource.CONTAINER)),
        (0, str(400 * MB), (400, LimitSource.CONTAINER)),
    ],
)
def test_the_limit_that_really_holds(
    tmp_path: Path, configured: int, container: str, expected: tuple[int, LimitSource]
) -> None:
    """A configured limit above the container's would have the kernel kill the process before the budget acts."""
    proc, root = group(tmp_path, container)
    limit = MemoryLimit(configured * MB, 0.5, proc=proc, groups=root)
    assert limit.current() == (expected[0] * MB, expected[1])
    # The strip, the verdict and the budget say the same.
    assert SystemSource(limit=limit, proc=proc, groups=root)()[Series.LIMIT] == expected[0] * MB


def test_without_any_limit_it_is_a_share_of_the_ram(tmp_path: Path) -> None:
    """A budget of all RAM would leave nothing to the system; a container's limit above the RAM limits nothing."""
    for number, container in enumerate(("max", str(1 << 59))):
        folder = tmp_path / str(number)
        folder.mkdir()
        proc, root = group(folder, container)
        limit = MemoryLimit(0, 0.5, proc=proc, groups=root)
        assert limit.current() == (int(limit.total * 0.5), LimitSource.SHARE)


def test_in_a_container_its_use_counts_without_the_page_cache(tmp_path: Path) -> None:
    """Files read long ago would look like memory that is short; parsers in child processes would not count at all."""
    proc, root = group(tmp_path, str(1000 * MB), used=800 * MB, inactive=300 * MB)
    contained = MemoryLimit(0, proc=proc, groups=root)
    assert contained.used(400 * MB) == 500 * MB
    assert contained.used(600 * MB) == 600 * MB
    assert MemoryLimit(900 * MB, proc=proc, groups=root).used(400 * MB) == 400 * MB
