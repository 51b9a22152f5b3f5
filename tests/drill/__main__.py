"""Run the drill: two nodes, their front, PostgreSQL and S3, and what can happen to them, while clients work.

    python -m tests.drill [--output FOLDER] [--faults NAME ...]

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
from tests.pond.whole import whole_pond

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "drill", help="folder of the report")
    parser.add_argument("--faults", nargs="+", choices=[each.name for each in FAULTS], help="only these")
    options = parser.parse_args()
    chosen = [each for each in FAULTS if not options.faults or each.name in options.faults]
    with tempfile.TemporaryDirectory(prefix="millpond-drill-") as folder, whole_pond(Path(folder)) as pond:
        began = now()
        with Clients(pond.front.url, pond.front.trusted) as clients:
            found = run(pond, clients, chosen, lambda text: print(f"== {text}", flush=True))
        wrong = faults_of(clients.history, {name: pond.nodes[name] for name in pond.nodes.addresses})
        path = report.write(options.output, found, wrong, clients.history, began)
    print(path.read_text())
    return 1 if wrong or any(each.missed for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
