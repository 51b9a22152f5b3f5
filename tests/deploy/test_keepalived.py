"""keepalived's file, taken by keepalived, and run on two machines that are network namespaces of this one."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.deploy.tools import DEPLOY, tool
from tests.front.fronts import changed

CONFIG = DEPLOY / "keepalived" / "keepalived.conf"
SHARED = "10.0.0.10"
MACHINES = {"a": "10.0.0.5", "b": "10.0.0.6"}


def test_keepalived_takes_the_file(tmp_path: Path) -> None:
    """A mistake in it would be found out when the address is needed."""
    config = tmp_path / "keepalived.conf"
    config.write_text(changed(CONFIG.read_text(), {"eth0": "lo"}))
    done = subprocess.run(
        [tool("keepalived"), "--config-test", "--use-file", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
