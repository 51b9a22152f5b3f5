"""A thousand forgeries of an audit log by somebody who can write the whole data folder but has not the private key.

Each is made on a copy and verified; every one must be found, and an untouched copy must be whole. How long a
verification takes is told.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

from tests.audit.manipulations import FORGERIES, copied, verified, write_log
from tests.siege.report import Report

TIMES = 1000
RECORDS = 200
LARGE = 20_000
LARGE_SECONDS = 5.0  # of a verification that people wait for


def run(report: Report) -> None:
    with tempfile.TemporaryDirectory() as name:
        original = Path(name) / "original"
        original.mkdir()
        write_log(original, RECORDS)
        forged(original, Path(name), report)
        untouched(original, Path(name), report)
        large(Path(name), report)


def forged(original: Path, folder: Path, report: Report) -> None:
    unseen: list[str] = []
    for number in range(TIMES):
        forgery = FORGERIES[number % len(FORGERIES)]
        with tempfile.TemporaryDirectory(dir=folder) as place:
            copied(original, Path(place))
            forgery.forge(Path(place), random.Random(number))
            if verified(Path(place)).whole:
                unseen.append(f"{forgery.name} ({number})")
    report("forgeries that are not found", len(unseen), 0, f"of {TIMES}", "; ".join(unseen[:10]))


def untouched(original: Path, folder: Path, report: Report) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        found = verified(copied(original, Path(place)))
    report("problems of an untouched log", len(found.problems), 0, f"in {found.records} records")


def large(folder: Path, report: Report) -> None:
    place = folder / "large"
    place.mkdir()
    write_log(place, LARGE, signed_every=1000)
    began = time.monotonic()
    found = verified(place)
    took = time.monotonic() - began
    report("verification", took, LARGE_SECONDS, "s", f"{found.records:,} records, {found.heads} heads")
