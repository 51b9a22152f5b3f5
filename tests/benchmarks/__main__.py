"""Run the benchmarks, each in a fresh process, and print the table: `python -m tests.benchmarks [NAME...]`.

Every figure is a ratio of two sides that were measured in the same run, so that it holds on another machine. The rows
of each benchmark are kept beside the table: naming some measures these anew and leaves the rows of the others.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from tests.benchmarks.table import Row, markdown

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS = ROOT / "bench-results"


def names() -> list[str]:
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def run_here(name: str, output: Path) -> None:
    rows = import_module(f"tests.benchmarks.bench_{name}").run()
    output.write_text(json.dumps([asdict(row) for row in rows]))


def run_in_child(name: str) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "tests.benchmarks", "--child", str(output), name]
        completed = subprocess.run(command, cwd=ROOT, check=False)
        if completed.returncode or not output.exists():
            print(f"{name}: failed with exit code {completed.returncode}", file=sys.stderr)
            return []
        return [Row(**row) for row in json.loads(output.read_text())]


def kept(name: str) -> list[Row]:
    """Return the rows that a benchmark measured last."""
    path = RESULTS / f"{name}.json"
    return [Row(**row) for row in json.loads(path.read_text())] if path.exists() else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *names()], help="which ones; none: all")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=RESULTS / "table.md")
    arguments = parser.parse_args()
    if arguments.child:
        run_here(arguments.names[0], arguments.child)
        return 0
    RESULTS.mkdir(exist_ok=True)
    missing = []
    for name in arguments.names or names():
        started = time.monotonic()
        print(f"== {name}", flush=True)
        measured = run_in_child(name)
        if measured:
            (RESULTS / f"{name}.json").write_text(json.dumps([asdict(row) for row in measured]))
        else:
            missing.append(name)
        print(f"== {name}: {time.monotonic() - started:.0f} s\n", flush=True)
    table = markdown(row for name in names() for row in kept(name))
    print(table)
    arguments.output.write_text(table + "\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
