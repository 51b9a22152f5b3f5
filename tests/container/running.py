"""Runs a root file system as a container's runtime does, with what the image says: user, environment, command.

Namespaces of its own for mounts, processes and the network; the root read-only, a folder at /data, a tmpfs at /tmp; no
capability, none to be gained. There is no limit of memory: control groups are not always to be had.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.container.building import Image
from tests.servers import eventually

# Before the process: mounts, which end with it. A moment after `unshare` there is nothing of this machine but /dev/null
# and its like.
SET_UP = """
set -eu
mount --bind "$ROOT_FS" "$ROOT_FS"
mount -t proc proc "$ROOT_FS/proc"
mount -t tmpfs -o size=1m,mode=0755 tmpfs "$ROOT_FS/dev"
for device in null zero full random urandom; do
    touch "$ROOT_FS/dev/$device"; mount --bind "/dev/$device" "$ROOT_FS/dev/$device"
done
mkdir "$ROOT_FS/dev/shm"; mount -t tmpfs -o size=64m,mode=1777 tmpfs "$ROOT_FS/dev/shm"
mount -t tmpfs -o size=256m,mode=1777,noexec,nosuid,nodev tmpfs "$ROOT_FS/tmp"
mount --bind "$DATA" "$ROOT_FS/data"
mount -o remount,bind,ro "$ROOT_FS"
ip link set lo up
exec chroot "$ROOT_FS" /usr/bin/env -i {environment} \\
    /usr/bin/setpriv --reuid {user} --regid {group} --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \\
    {command}
"""


@dataclass
class Container:
    """A root file system with a folder for its data."""

    image: Image
    root: Path
    data: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, **settings: str) -> None:
        """Run the image's command in the background; with `arguments` these instead of its own."""
        self.process = self._begin(arguments, settings, stdin=subprocess.DEVNULL)
        outside = psutil.Process(self.process.pid)
        eventually(outside.children, what="the first process within")

    def run(self, *arguments: str, given: str = "", **settings: str) -> int:
        """Run the image's program with arguments to its end, with something on its standard input."""
        process = self._begin(arguments, settings, stdin=subprocess.PIPE)
        process.communicate(given.encode(), timeout=300)
        return process.returncode

    @property
    def pid(self) -> int:
        """The first process within."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children()[0].pid

    def stop(self) -> tuple[int, float]:
        """Send the image's signal and wait; return the exit code and the seconds that it took."""
        assert self.process is not None
        begun = time.monotonic()
        os.kill(self.pid, signal.Signals[self.image.config.get("StopSignal", "SIGTERM")])
        return self.process.wait(60), time.monotonic() - begun

    def kill(self) -> None:
        """End it at once, where it runs."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.process.wait(30)

    def within(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container as its user, as health checks and hooks are."""
        user, group = self.image.config["User"].split(":")
        entered = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--net", "--root", "--wd"]
        lowered = ["/usr/bin/setpriv", "--reuid", user, "--regid", group, "--clear-groups", "--no-new-privs"]
        environment = ["/usr/bin/env", "-i", *self.image.config["Env"]]
        return subprocess.run(
            [*entered, *environment, *lowered, *command], capture_output=True, text=True, check=False, timeout=120
        )

    def ask(self, method: str, path: str, token: str = "", **more: object) -> tuple[int, object]:
        """Ask the server from outside of the root file system, but in its network: that of this machine has no part."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        asked = {"method": method, "url": f"http://127.0.0.1:8501{path}", "headers": headers, **more}
        found = subprocess.run(
            ["nsenter", "--target", str(self.pid), "--net", sys.executable, "-c", _ASK],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if found.returncode:
            return 0, found.stderr
        status, body = json.loads(found.stdout)
        return int(status), body

    def _begin(self, arguments: tuple[str, ...], settings: dict[str, str], stdin: int) -> subprocess.Popen[bytes]:
        config = self.image.config
        user, group = config["User"].split(":")
        command = [*config["Entrypoint"], *(arguments or config["Cmd"])]
        environment = [*config["Env"], *(f"MILLPOND_{name.upper()}={value}" for name, value in settings.items())]
        script = SET_UP.format(environment=shlex.join(environment), user=user, group=group, command=shlex.join(command))
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "sh", "-c", script],
                env={**os.environ, "ROOT_FS": str(self.root), "DATA": str(self.data)},
                stdin=stdin,
                stdout=log,
                stderr=log,
            )


_ASK = """
import json, sys, httpx
asked = json.load(sys.stdin)
files = {"file": tuple(asked.pop("file"))} if "file" in asked else None
answer = httpx.request(**asked, files=files, timeout=60, trust_env=False)
try:
    body = answer.json()
except ValueError:
    body = answer.text[:500]
json.dump([answer.status_code, body], sys.stdout)
"""
