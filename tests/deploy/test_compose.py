"""The compose file: of the form that compose takes, and what its parts promise each other."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from console.cli.serve import HANGING_SECONDS
from services.core.settings import PREFIX, Settings
from tests.deploy.test_kubernetes import OCR_BYTES
from tests.deploy.tools import DEPLOY, tool

COMPOSE = DEPLOY / "compose"
FILE: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
NODES = ("node-a", "node-b")
ONCE = {"bucket"}  # does its work and ends


def megabytes(size: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([MG])", size).groups()  # type: ignore[union-attr]
    return int(number) * {"M": 1, "G": 1024}[unit]


def seconds(time: str) -> int:
    return int(re.fullmatch(r"(\d+)s", time)[1])  # type: ignore[index]


def test_every_service_has_bounds_and_comes_back() -> None:
    """Without a limit it takes the machine down with it, without a policy it stays down."""
    for name, service in SERVICES.items():
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory", "pids"} <= limits.keys(), name
        assert service["restart"].startswith("on-failure" if name in ONCE else "unless-stopped"), name
        assert ("healthcheck" in service) == (name not in ONCE), name
        assert service["logging"]["options"]["max-size"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service.get("privileged"), name


def test_images_are_of_one_version() -> None:
    """An image without a tag, or "latest", is another one tomorrow; that of the nodes is built from this tree."""
    for name in NODES:
        build = SERVICES[name]["build"]
        assert (COMPOSE / build["context"]).resolve() == DEPLOY.parent
        assert (DEPLOY.parent / build["dockerfile"]).is_file()
    tags = {name: service["image"].rpartition(":")[2] for name, service in SERVICES.items() if name not in NODES}
    assert [name for name, tag in tags.items() if not re.search(r"\d", tag)] == []


def test_what_is_named_is_declared() -> None:
    """A secret, network, volume or service that is not there fails only when somebody starts it."""
    for service in SERVICES.values():
        secrets = [each if isinstance(each, str) else each["source"] for each in service.get("secrets", [])]
        assert set(secrets) <= FILE["secrets"].keys()
        assert set(service["networks"]) <= FILE["networks"].keys()
        named = [each.split(":")[0] for each in service.get("volumes", []) if not each.startswith(".")]
        assert set(named) <= FILE["volumes"].keys()
        assert set(service.get("depends_on", {})) <= SERVICES.keys()
    used = {path for service in SERVICES.values() for path in re.findall(r"/run/secrets/([\w-]+)", str(service))}
    assert used <= FILE["secrets"].keys()


def test_nodes_write_where_they_may_and_end_in_time() -> None:
    """The same as the image promises; a shorter grace period would kill an end that is being forced anyway."""
    for name in NODES:
        node = SERVICES[name]
        assert node["read_only"] is True
        assert node["cap_drop"] == ["ALL"]
        assert node["user"] == "10001:10001"
        assert [each for each in node["volumes"] if each.endswith(":/data")] == [f"{name}:/data"]
        assert any(each.startswith("/tmp:") for each in node["tmpfs"])
        assert seconds(node["stop_grace_period"]) > HANGING_SECONDS
        assert node["environment"]["MILLPOND_RESTARTED_BY"] == "service"
        limit = megabytes(node["deploy"]["resources"]["limits"]["memory"])
        assert (limit - int(node["environment"]["MILLPOND_MEMORY_LIMIT_MB"])) << 20 >= OCR_BYTES
        known = {PREFIX + field.upper() for field in Settings.model_fields} | {"MILLPOND_CONFIG"}
        assert node["environment"].keys() <= known


def test_nodes_differ_in_their_names_and_share_their_keys() -> None:
    """A node of the same name as another, or with another key of the audit log, is refused at its start."""
    assert [SERVICES[name]["environment"]["MILLPOND_NODE_NAME"] for name in NODES] == list(NODES)
    for name in NODES:
        node = SERVICES[name]
        address = node["networks"]["front"]["ipv4_address"]
        assert node["environment"]["MILLPOND_NODE_URL"] == f"http://{address}:8501"
        assert {"millpond", "audit-key"} <= set(node["secrets"])
        assert node["command"] == ["serve"]


def test_the_key_of_the_audit_log_is_copied_for_its_node_alone(tmp_path: Path) -> None:
    """Millpond refuses a key that others can read, and every secret can be read by all in the container."""
    shell, flags, script, *name = SERVICES["node-a"]["entrypoint"]
    (tmp_path / "audit-key").write_text("key")
    script = script.replace("$$", "$").replace("/run/secrets", str(tmp_path)).replace("/data", str(tmp_path))
    for _start in range(2):
        done = subprocess.run(
            [shell, flags, script.replace("exec millpond", "exec echo"), *name, "users", "add root"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout == "users add root\n"
        assert (tmp_path / "audit.key").read_text() == "key"
        assert stat.S_IMODE((tmp_path / "audit.key").stat().st_mode) == 0o600


def test_only_the_front_is_reached_from_outside() -> None:
    """A published port of PostgreSQL or S3 is open to everybody whom the machine's firewall lets pass."""
    assert [name for name, service in SERVICES.items() if service.get("ports")] == ["haproxy"]
    assert FILE["networks"]["back"]["internal"] is True
    assert {name for name, service in SERVICES.items() if "front" in service["networks"]} == {"haproxy", *NODES}
    address = SERVICES["haproxy"]["networks"]["front"]["ipv4_address"]
    assert all(SERVICES[name]["environment"]["MILLPOND_TRUSTED_PROXIES"] == address for name in NODES)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """The folder of the compose file after `prepare.sh`, in a copy."""
    if not (DEPLOY / "haproxy" / "haproxy.cfg").exists():
        pytest.skip("deploy/haproxy is not there")
    for name in ("compose", "haproxy"):
        shutil.copytree(DEPLOY / name, tmp_path / name, ignore=shutil.ignore_patterns("secrets", "local"))
    prepare(tmp_path / "compose")
    return tmp_path / "compose"


def prepare(folder: Path) -> None:
    subprocess.run(["./prepare.sh", "pond.example.org"], cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=60)


def test_secrets_fit_together_and_are_made_once(prepared: Path) -> None:
    """Passwords that differ between two files lock Millpond out; a second run that made others would lose the data."""
    folder = prepared / "secrets"
    assert {Path(each["file"]).name for each in FILE["secrets"].values()} <= {path.name for path in folder.iterdir()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    settings = tomllib.loads((folder / "millpond.toml").read_text())
    url = sa.make_url(settings["database_url"])
    assert url.password == (folder / "postgres-password").read_text()
    assert (url.username, url.database) == (SERVICES["postgres"]["environment"]["POSTGRES_USER"],) * 2
    assert url.host in SERVICES
    assert settings["files_secret_key"] in (folder / "s3-server.json").read_text()
    assert len(settings["secret_key"]) >= 32
    assert isinstance(load_pem_private_key((folder / "audit.key").read_bytes(), None), Ed25519PrivateKey)
    assert settings.keys() <= set(Settings.model_fields)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    prepare(prepared)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_haproxy_takes_its_file(prepared: Path) -> None:
    """The addresses of the nodes are those of the compose file, and HAProxy itself finds nothing wrong with it."""
    text = (prepared / "local" / "haproxy.cfg").read_text()
    for name in NODES:
        assert text.count(f"{SERVICES[name]['networks']['front']['ipv4_address']}:8501") == 2
    assert not re.search(r"127\.0\.0\.1:850[12]", text)
    program = tool("haproxy")
    for volume in (*SERVICES["haproxy"]["volumes"], "./secrets/haproxy.pem:/etc/haproxy/millpond.pem"):
        source, target = volume.split(":")[:2]
        if source.startswith("./"):
            text = text.replace(target, str((prepared / source).resolve()))
    text = re.sub(r"/etc/haproxy/(\S+\.html)", lambda found: str(page(found[1])), text)
    text = re.sub(r"^ *(user|group) haproxy\n", "", text, flags=re.MULTILINE)  # this machine has none
    checked = prepared / "haproxy.cfg"
    checked.write_text(text.replace("/run/haproxy/", f"{prepared}/"))
    done = subprocess.run([program, "-c", "-f", str(checked)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def page(name: str) -> Path:
    return next(DEPLOY.rglob(name))


def compose() -> list[str] | None:
    """The command of Compose itself, which needs no engine to read a file; None where it is not installed."""
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [docker, "compose"]
    alone = shutil.which("docker-compose")
    return [alone] if alone else None


@pytest.mark.skipif(compose() is None, reason="Docker Compose is not installed")
def test_compose_takes_the_file() -> None:
    """Compose finds what the tests above do not know of; it refuses each property that its schema has not."""
    program = compose()
    assert program is not None
    done = subprocess.run(
        [*program, "--file", str(COMPOSE / "compose.yaml"), "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
