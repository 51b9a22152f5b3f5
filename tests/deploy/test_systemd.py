"""The units of systemd: what they promise must be what the program does."""

from __future__ import annotations

import configparser
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from deploy.drain_node import ANSWER_SECONDS
from services.core.settings import Settings
from services.operations.restarts import EXIT_CODE
from tests.servers import ROOT, environment

UNITS = ROOT / "deploy" / "systemd"


def unit(name: str) -> configparser.ConfigParser:
    """Return a unit file; keys that are given twice count once."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign] # names are case-sensitive
    parser.read_string((UNITS / name).read_text())
    return parser


def test_the_exit_code_is_the_one_that_restarts() -> None:
    """Another code in the program than in the unit would turn a planned restart into an end."""
    service = unit("millpond.service")["Service"]
    assert service["RestartForceExitStatus"] == str(EXIT_CODE)
    assert service["SuccessExitStatus"] == str(EXIT_CODE)
    assert service["Restart"] in {"always", "on-failure"}
    assert "MILLPOND_RESTARTED_BY=service" in (UNITS / "millpond.service").read_text()


def test_a_node_among_several_is_as_a_single_one() -> None:
    """A change of one unit that the other lacks would be found out on somebody's machine."""
    single, node = unit("millpond.service")["Service"], unit("millpond@.service")["Service"]
    assert node["ExecStop"].split()[0].startswith("/opt/millpond/")
    assert float(node["TimeoutStopSec"]) > Settings.model_fields["drain_seconds"].default + ANSWER_SECONDS
    own = {"execstop", "statedirectory", "environment", "environmentfile", "timeoutstopsec"}
    differing = {name for name in {*single, *node} if single.get(name) != node.get(name)}
    assert {name.lower() for name in differing} <= own


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """A misspelt setting would be passed over in silence when the unit is loaded."""
    programs = {
        "/opt/millpond/.venv/bin/millpond": sys.executable,
        "/opt/millpond/.venv/bin/python": sys.executable,
        "/usr/local/bin/litestream": sys.executable,
        "/opt/millpond": str(tmp_path),
        "User=millpond\nGroup=millpond\n": "",  # this machine has none
    }
    for source in UNITS.rglob("*.*"):
        if source.is_file():
            text = source.read_text()
            for old, new in programs.items():
                text = text.replace(old, new)
            target = tmp_path / source.relative_to(UNITS)
            target.parent.mkdir(exist_ok=True)
            target.write_text(text)
    (tmp_path / "haproxy.service").write_text(f"[Service]\nExecStart={sys.executable}\n")  # Debian's is not here
    (tmp_path / "millpond@.service").rename(tmp_path / "millpond@a.service")
    units = ["millpond.service", "millpond.socket", "millpond@a.service"]
    units += ["millpond-nginx-nodes.service", "millpond-litestream.service"]
    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / name) for name in (*units, "haproxy.service"))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


# What systemd does between fork and exec: the socket becomes descriptor 3, and the variables say for whom.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "console", "serve"])
"""


def test_a_socket_of_systemd_is_taken_over(tmp_path: Path) -> None:
    """Who connects to the socket that systemd holds before the console runs is answered by it, and not refused."""
    with socket.create_server(("127.0.0.1", 0)) as listener, (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", ACTIVATE, str(listener.fileno())],
            pass_fds=[listener.fileno()],
            env=environment(data_dir=tmp_path / "data", restarted_by="service", port=1) | {"PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            assert httpx.get(f"{url}/healthz", timeout=120.0, trust_env=False).status_code == 200
        finally:
            process.terminate()
            assert process.wait(60) == 0, (tmp_path / "log").read_text()
