"""`kill -9` of real servers: at each point with a name, of supervised ones, and at random until there are enough.

MILLPOND_SIEGE_KILLS says how many, MILLPOND_SIEGE_SEED which random ones. Of the servers that are killed at random one
in `FRESH` is a fresh interpreter, whose imports take most of its start; the others are copies of one that has imported
everything.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.kills.life import Starter, start_process
from tests.kills.nursery import nursery
from tests.kills.person import Person
from tests.kills.scenes import SCENES, STARTS, Chain, killed_first_start
from tests.kills.storm import Storm
from tests.kills.supervised import SUPERVISED_SCENES, SupervisedChain
from tests.siege.report import Report

KILLS = int(os.environ.get("MILLPOND_SIEGE_KILLS", "1000"))
SEED = int(os.environ.get("MILLPOND_SIEGE_SEED", "0")) or random.SystemRandom().randrange(10**9)
AT_ONCE = 2
FRESH = 4
LIVES_PER_FOLDER = 25  # a folder grows with each life, and so does what is looked at after it


def run(report: Report) -> None:
    print(f"MILLPOND_SIEGE_SEED={SEED}", flush=True)
    root = Path(tempfile.mkdtemp(prefix="kills-"))
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as threads, nursery() as copies:
        chains = [Chain(root / f"points{number}") for number in range(AT_ONCE)]
        supervised = SupervisedChain(root / "supervised")
        first = threads.submit(killed_first_start, root / "first")
        named = [
            threads.submit(chain.run, SCENES[number::AT_ONCE], STARTS[number::AT_ONCE])
            for number, chain in enumerate(chains)
        ]
        named.append(threads.submit(supervised.run, SUPERVISED_SCENES))
        for each in named:
            each.result()
        kills = 1 + sum(chain.kills for chain in (*chains, supervised))
        wrong = [*first.result(), *(each for chain in (*chains, supervised) for each in chain.wrong)]
        _tell(report, "at points with a name", kills, wrong, time.monotonic() - began)
        storms: list[Storm] = []
        seeds = random.Random(SEED)
        while kills < KILLS:
            fresh = len(storms) // AT_ONCE % FRESH == FRESH - 1
            some = [
                _storm(root / f"random{len(storms) + number}", seeds.randrange(10**9), None if fresh else copies)
                for number in range(AT_ONCE)
            ]
            list(threads.map(_play, some))
            storms += some
            kills += sum(storm.kills for storm in some)
            print(f"{kills} kills, {time.monotonic() - began:.0f} s", flush=True)
    at_random = [each for storm in storms for each in storm.wrong]
    _tell(report, "at random", sum(storm.kills for storm in storms), at_random, time.monotonic() - began)
    report("kills that were not done", max(0, KILLS - kills), 0, "kills", f"{kills} in all")
    if not wrong and not at_random:
        shutil.rmtree(root)


def _storm(folder: Path, seed: int, copies: Starter | None) -> Storm:
    people = [Person("anna"), Person("bert"), Person("carl")]
    people[0].sets_retrieval = True
    if copies is None:
        return Storm(folder, random.Random(seed), people, start_process)
    return Storm(folder, random.Random(seed), people, copies, start_seconds=1.0)


def _play(storm: Storm) -> None:
    for _life in range(LIVES_PER_FOLDER):
        storm.life()
        if storm.wrong:
            return  # what is wrong would be told again and again
    storm.last_look()


def _tell(report: Report, where: str, kills: int, wrong: Sequence[str], seconds: float) -> None:
    for each in wrong[:50]:
        print(f"  {each}", flush=True)
    report(f"lost, doubled or stuck, killed {where}", len(wrong), 0, "findings", f"{kills} kills, {seconds:.0f} s")
