"""Whether Millpond in this container answers: exit code 0 or 1. No curl, and no package: the standard library alone.

    python -I healthcheck.py [PATH]

PATH is /healthz (alive; by default) or /readyz (every part works).
"""

import http.client
import os
import ssl
import sys

SECONDS = 4.0


def status(path: str) -> int:
    """Ask the server in this container, as its settings say that it listens; its certificate is not checked here."""
    port = int(os.environ.get("MILLPOND_PORT") or 8501)
    connection: http.client.HTTPConnection
    if os.environ.get("MILLPOND_TLS_CERT"):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    connection.request("GET", os.environ.get("MILLPOND_BASE_PATH", "").rstrip("/") + path)
    return connection.getresponse().status


def main() -> int:
    """Ask once."""
    path = sys.argv[1] if len(sys.argv) > 1 else "/healthz"
    try:
        found = status(path)
    except (OSError, http.client.HTTPException, ValueError) as error:
        print(f"{path}: {error}")
        return 1
    print(f"{path}: {found}")
    return 0 if found == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
