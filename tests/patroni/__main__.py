"""Switch PostgreSQL over and kill its leader while rows are written; print the table of docs/patroni.md.

    python -m tests.patroni [--write] [--rounds N]

Ends with 1 if a row was lost, a target missed, or something was refused in another way than with "try again".
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.docs.generate import ROOT
from tests.patroni.cluster import Cluster, Member, cluster
from tests.patroni.writer import Writer
from tests.servers import eventually

DOCUMENT = ROOT / "docs" / "patroni.md"
QUIET_SECONDS = 5.0  # before a fault, and after it
TARGETS = {"switched over": 5.0, "leader killed": 30.0}


@dataclass
class Row:
    """What one fault did, in seconds; `back`: since it was mended, or since it began."""

    fault: str
    writing: float
    reading: float
    back: float
    target: float


def await_leader(found: Cluster, other_than: Member) -> None:
    def taken_over() -> bool:
        leader = found.leader()
        return leader is not None and leader is not other_than

    eventually(taken_over, seconds=90.0, what="another leader")


def switch_over(found: Cluster) -> None:
    leader = found.leader()
    assert leader is not None
    other = next(member for member in found.members.values() if member is not leader)
    found.control("switchover", "--leader", leader.name, "--candidate", other.name, "--force")
    await_leader(found, leader)


def kill_leader(found: Cluster) -> Callable[[], None]:
    leader = found.leader()
    assert leader is not None
    leader.kill()
    await_leader(found, leader)
    return leader.start


FAULTS: dict[str, Callable[[Cluster], Callable[[], None] | None]] = {
    "switched over": switch_over,
    "leader killed": kill_leader,
}


def drill(found: Cluster, writer: Writer, fault: str) -> Row:
    """Do one thing to the cluster; return how long nobody could write, or read, and when two members had all again."""
    time.sleep(QUIET_SECONDS)
    begun = time.monotonic()
    mend = FAULTS[fault](found)
    eventually(writer.history.goes_on, seconds=60.0, what="a row")
    mended = begun
    if mend is not None:
        time.sleep(QUIET_SECONDS)
        mended = time.monotonic()
        mend()
    eventually(found.has_synchronous_standby, seconds=120.0, what="a synchronous standby")
    back = time.monotonic() - mended
    time.sleep(QUIET_SECONDS)
    until = time.monotonic()
    gaps = (writer.history.longest_gap(begun, until, reading=reading) for reading in (False, True))
    return Row(fault, *gaps, back, TARGETS[fault])


def fill(document: Path, name: str, text: str) -> None:
    """Replace what stands between two marks of a document."""
    found = re.sub(
        rf"(?s)(<!-- {name} -->\n).*(<!-- /{name} -->)",
        lambda marks: f"{marks[1]}{text}\n{marks[2]}",
        document.read_text(),
    )
    document.write_text(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/patroni.md")
    parser.add_argument("--rounds", type=int, default=2, help="how often each fault")
    arguments = parser.parse_args()
    rows: list[Row] = []
    with cluster() as found:
        print(found.control("list"), flush=True)
        writer = Writer(found.url)
        writer.start()
        for _round in range(arguments.rounds):
            for fault in FAULTS:
                rows.append(drill(found, writer, fault))
                print(rows[-1], flush=True)
        there = writer.stop()
        listed = found.control("list")
        print(listed, found.control("history"), sep="\n", flush=True)
    history = writer.history
    acknowledged = {number for number, _time in history.acknowledged}
    lost, unsaid = acknowledged - there, there - acknowledged
    others = {kind: count for kind, count in history.refused.items() if not kind.endswith("unavailable")}
    refused, failed = sum(history.refused.values()), sum(others.values())
    table = [
        "| what | without an acknowledged row, s | without a read, s | until two have all again, s | target, s |",
        "| --- | --- | --- | --- | --- |",
        *(f"| {row.fault} | {row.writing:.1f} | {row.reading:.1f} | {row.back:.1f} | {row.target:g} |" for row in rows),
        "",
        f"- rows acknowledged: {len(acknowledged)}; lost of them: {len(lost)}",
        f"- reads that missed a row which had been acknowledged before: {history.stale}",
        f"- rows that are there although their writer was told to try again: {len(unsaid)}",
        f"- attempts that were told to try again: {refused - failed}; that failed in another way: {failed}",
    ]
    text = "\n".join(table)
    print(text)
    for kind, count in others.items():
        print(f"{count} x {kind}", file=sys.stderr)
    if arguments.write:
        fill(DOCUMENT, "drill", text)
        fill(DOCUMENT, "list", f"```\n{listed.strip()}\n```")
    return int(bool(lost or others or history.stale or any(row.writing > row.target for row in rows)))


if __name__ == "__main__":
    sys.exit(main())
