"""Run two nodes, their front, PostgreSQL and S3 on this machine, to kill what you like and watch; Ctrl-C ends it.

    python -m tests.pond [--seconds N]

A node that has ended is started again after 20 s. Nothing is kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.pond.whole import Pond, whole_pond

AGAIN_SECONDS = 20.0
LOOK_SECONDS = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.pond", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=threading.TIMEOUT_MAX, help="end by itself after so long")
    seconds = parser.parse_args().seconds
    print("Starting PostgreSQL, an S3 server, two nodes and HAProxy; this takes half a minute.", flush=True)
    with tempfile.TemporaryDirectory(prefix="millpond-pond-") as folder, whole_pond(Path(folder)) as pond:
        introduce(pond)
        try:
            watch(pond, seconds)
        except KeyboardInterrupt:
            print("Ending.", flush=True)
    return 0


def introduce(pond: Pond) -> None:
    print(f"Millpond behind its front is ready at {pond.front.plain} (it sends browsers on to {pond.front.url})")
    for name, address in pond.nodes.addresses.items():
        process = pond.nodes[name].process.pid
        print(f"  node {name}: http://{address}  end it: kill -9 {process}  have it hang: kill -STOP {process}")
    print(f"What HAProxy thinks of them: {pond.front.watch}", flush=True)


def watch(pond: Pond, seconds: float) -> None:
    """Print each change of a node's state, and start those again that have ended."""
    began = time.monotonic()
    pause = threading.Event()
    states: dict[str, str] = {}
    ended: dict[str, float] = {}
    while time.monotonic() - began < seconds:
        for name, state in pond.states().items():
            if states.get(name) != state:
                states[name] = state
                print(f"{time.strftime('%H:%M:%S')}  {name}: {state}", flush=True)
        for name in pond.nodes.addresses:
            if pond.nodes.running(name):
                ended.pop(name, None)
            elif time.monotonic() - ended.setdefault(name, time.monotonic()) > AGAIN_SECONDS:
                print(f"{time.strftime('%H:%M:%S')}  {name} is started again", flush=True)
                pond.nodes.up()
        pause.wait(LOOK_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
