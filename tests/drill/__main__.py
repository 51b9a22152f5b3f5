"""Run the drill: two nodes, their front, PostgreSQL and S3, and what can happen to them, while clients work.

    python -m tests.drill [--full] [--output FOLDER] [--faults NAME ...]

With --full PostgreSQL is a pair under Patroni, which is switched over and whose leader is killed. What cannot be made
here (a network namespace or a small disk without root, another clock without faketime) is left out, and said.

Ends with 1 if something was lost, doubled or wrong, or a target was missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.drill import report
from tests.drill.checker import faults_of
from tests.drill.clients import Clients
from tests.drill.drill import run
from tests.drill.faults import FAULTS
from tests.drill.history import now
from tests.drill.small_disk import run_apart
from tests.drill.stage import stage

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "drill", help="folder of the report")
    parser.add_argument("--faults", nargs="+", choices=[each.name for each in FAULTS], help="only these")
    parser.add_argument("--note", default="", help="a sentence on this run, for the report")
    parser.add_argument("--full", action="store_true", help="PostgreSQL under Patroni")
    options = parser.parse_args()
    run_apart(sys.argv[1:])
    options.output = options.output.resolve()
    chosen = [each for each in FAULTS if not options.faults or each.name in options.faults]
    left_out: list[str] = []

    def say(text: str) -> None:
        print(f"== {text}", flush=True)
        if ": left out, " in text:
            left_out.append(text)

    with (
        tempfile.TemporaryDirectory(prefix="millpond-drill-") as folder,
        stage(Path(folder), full=options.full) as place,
    ):
        began = now()
        with Clients(place.pond.front, place.pond.nodes.addresses, place.token) as clients:
            found = run(place, clients, chosen, say)
        wrong = faults_of(clients.history, place.pond.nodes.addresses, place.token)
        drill = report.Drill(found, wrong, left_out, report.versions(place), clients.history, began, options.note)
        path = report.write(options.output, drill)
    print(path.read_text())
    return 1 if wrong or any(each.missed for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
