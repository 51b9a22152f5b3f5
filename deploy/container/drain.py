"""Wait until nothing is in progress in this container: before it is stopped, once nothing new is sent to it.

    python -I drain.py [SECONDS] [SECONDS_BEFORE]

For Kubernetes' preStop: by then the pod is being taken out of the service, which takes a moment (SECONDS_BEFORE, 5);
what is in progress after that is waited for, at most SECONDS (60). Always ends with 0: the stop follows in any case.
"""

import http.client
import json
import os
import ssl
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

POLL_SECONDS = 0.5


def in_progress(folder: Path) -> int:
    """Return how many answers, searches and uploads run or wait, by the server's own list."""
    holder = json.loads((folder / "millpond.lock").read_bytes())
    token = (folder / "local.token").read_text().strip()
    address = urlsplit(holder["url"])
    connection: http.client.HTTPConnection
    if address.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(str(address.hostname), address.port, timeout=5.0, context=context)
    else:
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=5.0)
    path = os.environ.get("MILLPOND_BASE_PATH", "").rstrip("/") + "/api/requests?limit=0"
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise ValueError(f"{path}: {answer.status}")
    return len(json.loads(answer.read())["running"])


def main() -> int:
    """Wait."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    before = float(sys.argv[2]) if len(sys.argv) > 2 else 5.0
    folder = Path(os.environ.get("MILLPOND_DATA_DIR", "/data"))
    time.sleep(before)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if not in_progress(folder):
                return 0
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            print(f"not known what is in progress: {error}", file=sys.stderr)
            return 0
        time.sleep(POLL_SECONDS)
    print(f"still at work after {seconds:g} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
