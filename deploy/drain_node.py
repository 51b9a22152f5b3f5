"""Drain a Millpond node and wait for its end: `ExecStop` of systemd/millpond@.service.

The node says at /readyz that it is not ready, waits until fronts have seen it, refuses new work, finishes what is in
progress, and ends. It is asked with the token that lies in its data folder, so whoever runs this must be able to read
that. Settings are those of the node (the environment, as systemd gives it). Ends well also where the node cannot be
asked: then it is stopped without.
"""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script

if TYPE_CHECKING:
    from services.core.settings import Settings

ANSWER_SECONDS = 10.0
POLL_SECONDS = 0.1
REASON = "stopped by the service manager"


class DrainError(Exception):
    """The node does not drain; the message says why."""


def request_drain(settings: Settings) -> None:
    """Have the node at the settings' port drain.

    Raises:
        DrainError: it does not answer, or refuses.
    """
    from services.core.local_token import read_local_token

    token = read_local_token(settings.data_dir)
    if not token:
        raise DrainError(f"no node runs over {settings.data_dir}, or its token cannot be read")
    host = settings.host if settings.host not in {"0.0.0.0", "::", ""} else "127.0.0.1"  # noqa: S104 - not to listen
    connection = http.client.HTTPConnection(host, settings.port, timeout=ANSWER_SECONDS)
    if settings.tls_cert:
        # That it is this node is shown by who can bind its port; its certificate names the public host.
        context = ssl.create_default_context(cafile=settings.tls_cert)
        context.check_hostname = False
        connection = http.client.HTTPSConnection(host, settings.port, timeout=ANSWER_SECONDS, context=context)
    headers = {"Host": "localhost", "Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/api/restart", json.dumps({"reason": REASON}), headers)
        answer = connection.getresponse()
        said = answer.read(1000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise DrainError(f"the node does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.ACCEPTED:
        raise DrainError(f"the node refused: {answer.status} {said}")


def is_running(pid: int) -> bool:
    """Return whether there is such a process that has not ended; one that nobody has waited for yet has."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    return False


def wait_for_end(pid: int, seconds: float) -> bool:
    """Return whether the process ended within so many seconds."""
    deadline = time.monotonic() + seconds
    while is_running(pid):
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def main() -> int:
    """Drain the node of the environment's settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pid", type=int, nargs="?", const=0, required=True, help="the node's process; none: it ended")
    pid = parser.parse_args().pid
    if not pid:
        return 0

    from services.core.settings import Settings

    settings = Settings()
    try:
        request_drain(settings)
    except DrainError as error:
        print(f"not drained: {error}", file=sys.stderr)
        return 0
    # A drain has its own limit, MILLPOND_DRAIN_SECONDS; the end comes soon after it.
    print("drained" if wait_for_end(pid, settings.drain_seconds + ANSWER_SECONDS) else "still busy after its time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
