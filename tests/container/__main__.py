"""Build the image and run it: it serves, is healthy, is nobody in particular, and writes where it may.

    python -m tests.container [--base IMAGE] [--no-build]

Needs root, buildah and, without --base, debootstrap. Nothing is fetched from a registry of images but a --base.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.container.building import NAME, Image, build, inspect, remove, unpacked
from tests.container.running import Container
from tests.patroni.__main__ import fill
from tests.servers import ROOT, eventually

TEXT = "The kiln is fired at 1,240 degrees. Its seals are changed every twelve months.\n"
QUESTION = "How often are the seals changed?"
MEGABYTE = 1e6
# Whoever finds one of these in the image can build, fetch or look around with it.
TOOLS = ("gcc", "cc", "make", "git", "curl", "wget", "pip", "pip3")


class Report:
    """What was found out, a line each; `failed` once something is not as it should be."""

    def __init__(self) -> None:
        self.failed = False
        self.lines: list[str] = []

    def check(self, what: str, good: object, detail: object = "") -> None:
        self.failed |= not good
        self.lines.append(f"{'ok  ' if good else 'BAD '} {what}{f': {detail}' if detail != '' else ''}")
        print(self.lines[-1], flush=True)


def look_at(image: Image, root: Path, report: Report) -> None:
    """Check what the image is, before it runs."""
    config = image.config
    report.check("size", True, f"{image.size / MEGABYTE:.0f} MB")
    report.check("user", config["User"] == "10001:10001", config["User"])
    report.check("signal to stop", config.get("StopSignal") == "SIGTERM", config.get("StopSignal"))
    test = config.get("Healthcheck", {}).get("Test", [])
    report.check("health check", test, " ".join(test[1:]))
    labels = config.get("Labels") or {}
    report.check("labels", len([name for name in labels if name.startswith("org.opencontainers.image.")]) >= 5)
    folders = ("usr/bin", "usr/local/bin", "bin", "opt/millpond/bin")
    found = [f"{folder}/{tool}" for folder in folders for tool in TOOLS if (root / folder / tool).exists()]
    report.check("no tools to build or fetch with", not found, ", ".join(found))
    packages = next((root / "opt" / "millpond" / "lib").glob("python3*/site-packages"))
    report.check("no pip and no torch", not any((packages / name).exists() for name in ("pip", "torch")))
    sources = [path for path in packages.rglob("*.py") if "template" not in str(path)]
    compiled = {path.parent.parent / f"{path.name.split('.')[0]}.py" for path in packages.rglob("__pycache__/*.pyc")}
    missing = [path for path in sources if path not in compiled]
    report.check("compiled beforehand", len(missing) <= 0.01 * len(sources), f"{len(sources) - len(missing)} modules")
    privileged = [path for path in (root / "opt").rglob("*") if path.is_file() and path.stat().st_mode & 0o6022]
    report.check("nothing in it is for others to write", not privileged, privileged[:3] if privileged else "")


def run(container: Container, report: Report) -> None:
    """Start it on an empty folder, work with it, stop it, start it again."""
    added = container.run("users", "add", "root", "--role", "admin", "--password-stdin", given=secrets.token_hex(16))
    report.check("the first account is made in it", added == 0)
    try:
        for when in ("first start", "start with data"):
            begun = time.monotonic()
            # As a proxy before it has TLS: that of this network is this machine's loopback.
            container.start(trusted_proxies="127.0.0.1")
            eventually(lambda: container.ask("GET", "/readyz")[0] == 200, seconds=120.0, what="/readyz")
            report.check(f"{when}: ready", True, f"{time.monotonic() - begun:.1f} s")
            if when == "first start":
                look_inside(container, report)
                work(container, report)
            code, seconds = container.stop()
            report.check(f"{when}: ends on the signal", code == 0 and seconds < 10, f"code {code}, {seconds:.1f} s")
    finally:
        container.kill()


def look_inside(container: Container, report: Report) -> None:
    """Check how it runs."""
    lines = Path(f"/proc/{container.pid}/status").read_text().splitlines()
    status = dict(line.split(":", maxsplit=1) for line in lines if ":" in line)
    report.check("uid and gid", {*status["Uid"].split(), *status["Gid"].split()} == {"10001"}, status["Uid"].strip())
    report.check("no capabilities", int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0)
    report.check("none to be gained", status["NoNewPrivs"].strip() == "1")
    report.check("RSS when ready", True, f"{int(status['VmRSS'].split()[0]) / 1024:.0f} MiB")
    for place in ("/", "/opt/millpond", "/etc", "/var/tmp"):
        tried = container.within("/bin/sh", "-c", f"echo x > {place}/x")
        report.check(f"{place} is read-only", tried.returncode and "Read-only" in tried.stderr)
    test = container.image.config["Healthcheck"]["Test"]
    begun = time.monotonic()
    healthy = container.within(*test[1:])
    report.check("the image's health check", healthy.returncode == 0, f"{time.monotonic() - begun:.2f} s")
    ready = container.within(*test[1:], "/readyz")
    report.check("the same, asking whether it is ready", ready.returncode == 0, ready.stdout.strip())
    sick = container.within(*test[1:], "/api/nothing")
    report.check("it says when it is not", sick.returncode == 1, sick.stdout.strip())


def work(container: Container, report: Report) -> None:
    """Give it a document and ask for it; what parses and what computes are processes and files of their own."""
    token = (container.data / "local.token").read_text().strip()
    status, _body = container.ask("GET", "/api/documents")
    report.check("nobody passes without signing in", status == 401, status)
    status, body = container.ask("POST", "/api/documents", token, file=("kiln.txt", TEXT))
    report.check("a document is taken", status == 202, status if status == 202 else body)
    assert isinstance(body, dict)
    number = body["documents"][0]["id"]

    def ready() -> bool:
        _status, found = container.ask("GET", f"/api/documents/{number}", token)
        return isinstance(found, dict) and found["status"] == "ready"

    eventually(ready, seconds=60.0, what="the document")
    status, body = container.ask("POST", "/api/search", token, json={"query": QUESTION})
    report.check("it is found", status == 200 and "twelve months" in str(body), status)
    begun = time.monotonic()
    drained = container.within("/opt/millpond/bin/python", "-I", "/opt/millpond/container/drain.py", "60", "0")
    quiet = drained.returncode == 0 and not drained.stderr
    report.check("nothing in progress: drained", quiet, drained.stderr.strip() or f"{time.monotonic() - begun:.2f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="", help="an image with Python to build on; a registry may be asked for it")
    parser.add_argument("--no-build", action="store_true", help="run what was built before")
    parser.add_argument("--write", action="store_true", help="put what it said into docs/containers.md")
    arguments = parser.parse_args()
    revision = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    begun = time.monotonic()
    image = inspect(NAME) if arguments.no_build else build(arguments.base, revision)
    report = Report()
    if not arguments.no_build:
        report.check("built", True, f"{time.monotonic() - begun:.0f} s")
    name, root = unpacked(image.name)
    folder = Path(tempfile.mkdtemp(prefix="millpond-container-"))
    container = Container(image, root, folder / "data", folder / "log")
    container.data.mkdir(mode=0o700)
    shutil.chown(container.data, 10001, 10001)
    try:
        look_at(image, root, report)
        run(container, report)
    except BaseException:
        print(container.log.read_text()[-5000:] if container.log.exists() else "", file=sys.stderr)
        raise
    finally:
        remove(name)
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.write:
        fill(ROOT / "docs" / "containers.md", "container", "```\n{}\n```".format("\n".join(report.lines)))
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
