"""Run the attacks, each in a fresh process: `python -m tests.siege [NAME...]`. Fails if one gives way or breaks off."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

from tests.siege.report import Report

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def names() -> list[str]:
    return sorted(path.stem.removeprefix("siege_") for path in HERE.glob("siege_*.py"))


def run_here(name: str) -> bool:
    report = Report()
    import_module(f"tests.siege.siege_{name}").run(report)
    return report.holds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *names()], help="which ones; none: all")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return 0 if run_here(arguments.names[0]) else 1
    gave_way = []
    for name in arguments.names or names():
        started = time.monotonic()
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", "tests.siege", "--child", name], cwd=ROOT, check=False).returncode:
            gave_way.append(name)
        print(f"== {name}: {time.monotonic() - started:.0f} s\n", flush=True)
    print(f"Gave way: {', '.join(gave_way)}" if gave_way else "Everything held.")
    return 1 if gave_way else 0


if __name__ == "__main__":
    sys.exit(main())
