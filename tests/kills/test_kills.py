"""`kill -9` of real servers, at points with a name and at random: nothing is lost, doubled, stuck or left over.

What this leaves out of `make siege SIEGE_ARGS=kills`: each server is a copy of a process that has imported everything
and read the model, so kills come after that; some points; supervised servers, but for `tests/cli/test_supervisor.py`;
and the rest of the 1,000.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kills.nursery import Nursery, nursery
from tests.kills.person import Person
from tests.kills.points import POINTS, SERVING, STARTING
from tests.kills.scenes import SCENES, STARTS, Chain, killed_first_start
from tests.kills.storm import Storm

SEED = int(os.environ.get("MILLPOND_TEST_KILL_SEED", "0")) or random.SystemRandom().randrange(10**9)
LIVES = 5
SEARCHES = 4
LEAST_KILLS = 40


@pytest.fixture(scope="module")
def copies() -> Iterator[Nursery]:
    """Where servers come from."""
    with nursery() as opened:
        yield opened


def test_every_point_exists_and_has_its_scene() -> None:
    """A function that was renamed would leave a point that is never reached, a point without a scene one untried."""
    for point in POINTS.values():
        owner, name = point.place()
        assert callable(getattr(owner, name)), point
    played = {scene.point for scene in SCENES} | {start.point for start in STARTS}
    assert played == {point.name for point in (*SERVING, *STARTING)} - {"start: tables half made"}


@pytest.mark.timeout(900)
def test_killed_at_every_point_with_a_name(copies: Nursery, tmp_path: Path) -> None:
    """A step that is not atomic, or not repeated by the next start, shows at its point."""
    scenes, starts = ([each for each in some if not each.siege] for some in (SCENES, STARTS))
    chains = [Chain(tmp_path / name, copies, SEARCHES) for name in ("even", "odd")]
    with ThreadPoolExecutor(len(chains) + 1) as threads:
        first = threads.submit(killed_first_start, tmp_path / "first", copies)
        for each in [
            threads.submit(chain.run, scenes[number::2], starts[number::2]) for number, chain in enumerate(chains)
        ]:
            each.result()
    assert [*chains[0].wrong, *chains[1].wrong, *first.result()] == []
    assert 1 + sum(chain.kills for chain in chains) >= LEAST_KILLS - LIVES


@pytest.mark.timeout(900)
def test_killed_at_random(copies: Nursery, tmp_path: Path) -> None:
    """People work, the server is killed in the middle and while it starts: what was acknowledged is there, once."""
    print(f"MILLPOND_TEST_KILL_SEED={SEED}")
    people = [Person("anna"), Person("bert")]
    people[0].sets_retrieval = True
    storm = Storm(tmp_path / "data", random.Random(SEED), people, copies, start_seconds=1.0, searches=SEARCHES)
    for _life in range(LIVES):
        storm.life()
    storm.last_look()
    assert storm.wrong == []
    assert sum(person.ledger.acknowledged for person in people) > LIVES
