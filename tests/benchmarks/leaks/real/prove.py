"""Shows what a step of each scenario leaves behind: `python -m tests.benchmarks.leaks.real.prove [NAME...]`.

Each in a fresh process with the real service and no other work. The second half of the steps is measured.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

STEPS = 400


def run_here(name: str) -> None:
    from services.app.startup import Application
    from tests.benchmarks.leaks.real.library import scenario
    from tests.benchmarks.leaks.real.readings import read
    from tests.benchmarks.leaks.real.work import settings

    with tempfile.TemporaryDirectory() as folder, Application(settings(Path(folder))) as services:
        step = scenario(name).begin(services)
        for number in range(STEPS // 2):
            step(number)
        first = read()
        for number in range(STEPS // 2, STEPS):
            step(number)
        last = read()
    growth = "  ".join(f"{key} {value:10.1f}" for key, value in last.per_step(first, STEPS // 2).items())
    print(f"{name:36s} {growth}  RSS {last.rss / 1e6:.0f} MB", flush=True)


def main() -> None:
    from tests.benchmarks.leaks.real.library import SCENARIOS

    if sys.argv[1:2] == ["--child"]:
        run_here(sys.argv[2])
        return
    for name in sys.argv[1:] or SCENARIOS:
        command = [sys.executable, "-m", "tests.benchmarks.leaks.real.prove", "--child", name]
        completed = subprocess.run(command, check=False, capture_output=True, text=True)
        lines = [line for line in completed.stdout.splitlines() if line.startswith(name)]
        print("\n".join(lines) or f"{name} failed:\n{completed.stderr[-3000:]}", flush=True)


if __name__ == "__main__":
    main()
