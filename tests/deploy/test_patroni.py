"""Patroni's and etcd's files: what can be said without starting them; `make patroni` runs them."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from services.core.database.postgres import connect_arguments
from tests.deploy.tools import DEPLOY
from tests.patroni.cluster import DEPLOY as FILES
from tests.patroni.cluster import Member

CONFIGURATION = yaml.safe_load((FILES / "patroni.yaml").read_text())
SHARED = CONFIGURATION["bootstrap"]["dcs"]


def test_patroni_takes_the_file(tmp_path: Path) -> None:
    """Patroni itself finds a setting of the wrong kind, or one that is missing with those of the environment."""
    with ExitStack() as stack:
        etcd = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        member = Member("alpha", tmp_path / "alpha", 0, 0, etcd)
        with socket.socket() as database, socket.socket() as api:
            for probe in (database, api):
                probe.bind(("127.0.0.1", 0))
            member.port, member.api = (int(probe.getsockname()[1]) for probe in (database, api))
        # It refuses 127.0.0.1 for others to come to.
        addresses = {
            name: value.replace("127.0.0.1", "127.0.0.2")
            for name, value in member.environment.items()
            if name.endswith("_CONNECT_ADDRESS")
        }
        done = subprocess.run(
            [sys.executable, "-m", "patroni", "--validate-config", str(member.configuration)],
            env={**member.environment, **addresses},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_times_belong_together() -> None:
    """Otherwise a hiccup of etcd costs the leader its role; and one that is killed is replaced within 30 s."""
    assert SHARED["loop_wait"] + 2 * SHARED["retry_timeout"] <= SHARED["ttl"] <= 20
    assert SHARED["primary_start_timeout"] + 2 * SHARED["loop_wait"] <= 30


def test_what_is_acknowledged_is_on_two_members() -> None:
    """Without these a change of the leader loses rows, or a former leader cannot come back by itself."""
    assert SHARED["synchronous_mode"] is True
    parameters = SHARED["postgresql"]["parameters"]
    assert parameters["synchronous_commit"] == "on"
    assert parameters["wal_log_hints"] == "on"
    assert "data-checksums" in CONFIGURATION["bootstrap"]["initdb"]
    assert SHARED["postgresql"]["use_pg_rewind"] is True


def test_nobody_connects_from_elsewhere_without_tls() -> None:
    """A line of pg_hba with "host" instead of "hostssl" would let passwords and rows pass unencrypted."""
    assert {line.split()[0] for line in SHARED["postgresql"]["pg_hba"]} == {"local", "hostssl"}
    assert {line.split()[-1] for line in SHARED["postgresql"]["pg_hba"]} == {"scram-sha-256"}
    assert SHARED["postgresql"]["parameters"]["ssl"] == "on"


def test_the_environment_has_all_that_differs_and_no_real_password() -> None:
    """A variable that Patroni does not know has no effect; one that is missing stops it at the start."""
    text = (FILES / "member.env.example").read_text()
    given = dict(re.findall(r"^(\w+)=(.*)$", text, flags=re.MULTILINE))
    known = {name for name in _variables() if name.startswith("PATRONI_")}
    assert {name for name in given if name.startswith("PATRONI_")} == known
    assert {value for name, value in given.items() if name.endswith("PASSWORD")} == {"REPLACE"}
    used = re.findall(r"getenv \w+ (\w+)", (FILES / "create-database.sh").read_text())
    assert set(used) <= given.keys()


def _variables() -> set[str]:
    """Return the names of the variables that the drill starts a member with."""
    member = object.__new__(Member)
    member.name, member.folder, member.port, member.api, member.etcd = "alpha", Path("/nowhere"), 1, 2, 3
    return set(member.environment)


def test_etcd_is_three_members() -> None:
    """With two the loss of either one stops both: nobody could become leader."""
    settings = yaml.safe_load((FILES / "etcd.yaml").read_text())
    members = dict(each.split("=", maxsplit=1) for each in settings["initial-cluster"].split(","))
    assert len(members) == 3
    assert members[settings["name"]] == settings["initial-advertise-peer-urls"] == settings["listen-peer-urls"]
    assert settings["election-timeout"] >= 5 * settings["heartbeat-interval"]
    assert settings["enable-grpc-gateway"] is True  # without it Patroni finds nothing to speak to


@pytest.mark.parametrize("port", ["5432,5432", "5432,5433"])
def test_an_address_may_name_both_members(port: str) -> None:
    """The URL of the document reaches libpq whole: every host, and that the one is wanted which can be written."""
    url = sa.make_url(
        f"postgresql+psycopg://millpond:pw@/millpond?host=10.0.0.11,10.0.0.12&port={port}&target_session_attrs=read-write"
    )
    _arguments, given = url.get_dialect()().create_connect_args(url)
    assert given["host"] == "10.0.0.11,10.0.0.12"
    assert str(given["port"]) == port
    assert given["target_session_attrs"] == "read-write"
    assert connect_arguments(url)["connect_timeout"]
    written = (DEPLOY.parent / "docs" / "patroni.md").read_text()
    assert "?host=10.0.0.11,10.0.0.12&port=5432,5432&target_session_attrs=read-write" in written


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """A misspelt setting would be passed over in silence when the unit is loaded."""
    text = (FILES / "patroni.service").read_text().replace("/opt/patroni/bin/patroni", sys.executable)
    text = text.replace("User=postgres\nGroup=postgres\n", "")  # this machine has none
    (tmp_path / "patroni.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "patroni.service")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
