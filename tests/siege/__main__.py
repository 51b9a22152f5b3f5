"""Run the attacks one after the other: `python -m tests.siege [NAME...]`. Fails if one gives way or ends in an error."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

from tests.siege.report import Report


def names() -> list[str]:
    return sorted(path.stem.removeprefix("siege_") for path in Path(__file__).parent.glob("siege_*.py"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *names()], help="which ones; none: all")
    gave_way = []
    for name in parser.parse_args().names or names():
        started = time.monotonic()
        print(f"== {name}", flush=True)
        report = Report()
        try:
            import_module(f"tests.siege.siege_{name}").run(report)
        except Exception:  # the other attacks are still worth their figures
            traceback.print_exc()
            gave_way.append(name)
        else:
            if not report.holds:
                gave_way.append(name)
        print(f"== {name}: {time.monotonic() - started:.0f} s\n", flush=True)
    print("Everything held." if not gave_way else f"Gave way: {', '.join(gave_way)}")
    return 1 if gave_way else 0


if __name__ == "__main__":
    sys.exit(main())
