"""The limit of descriptors, in processes of their own, because it holds for the whole process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.servers import ROOT

CODE = """
import os, resource, sys
from services.operations.descriptors import WANTED, lowest_free, raise_limit
soft, hard = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
limit = raise_limit()
assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == limit.soft
assert raise_limit().soft == limit.soft  # nothing more is to be had
opened = [os.dup(0) for _number in range(50)]
assert lowest_free() == opened[-1] + 1
resource.setrlimit(resource.RLIMIT_NOFILE, (opened[-1], hard))
assert lowest_free() == WANTED
print(limit.soft, limit.found, limit.for_connections, limit.for_refusals)
"""


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [(256, 2048, "2048 256 1792 1920"), (1024, 1024, "1024 1024 768 896"), (200, 200, "200 200 150 175")],
)
def test_the_limit_is_raised_as_far_as_the_system_allows(soft: int, hard: int, expected: str) -> None:
    """The soft limit becomes the hard one; a reserve is kept from connections, and half of it from refusals."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(soft), str(hard)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert (done.stdout.strip(), done.stderr) == (expected, "")
