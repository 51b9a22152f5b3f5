"""Commands of the command line, one after the other in one process of its own: importing takes most of their time."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.servers import ROOT, environment

SCRIPT = """
import json, sys
from click.testing import CliRunner
from console.__main__ import cli
for line in sys.stdin:
    arguments, text = json.loads(line)
    done = CliRunner().invoke(cli, arguments, input=text)
    print(json.dumps([done.exit_code, done.output, str(done.exception or "")]), flush=True)
"""


def commands(*given: tuple[list[str], str]) -> list[tuple[int, str, str]]:
    """Run commands, each with its standard input; return exit code, output and error of each."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input="".join(json.dumps(one) + "\n" for one in given),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]  # type: ignore[misc]
