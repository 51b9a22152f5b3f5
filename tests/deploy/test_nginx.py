"""nginx's files: what they promise is what nginx does."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from tests.deploy.tools import DEPLOY, nginx, tool
from tests.servers import eventually
from tests.siege.connections import is_closed

MAIN = DEPLOY / "nginx" / "nginx.conf"


def number(name: str) -> int:
    """Return the value of a directive of the main file."""
    found = re.search(rf"^\s*{name} (\d+);", MAIN.read_text(), re.MULTILINE)
    assert found is not None, name
    return int(found[1])


def test_nginx_takes_the_main_file(tmp_path: Path) -> None:
    """The main file with the site in it is what nginx accepts, and each connection has its descriptor."""
    program = tool("nginx")
    (tmp_path / "mime.types").write_text("types { text/html html; }")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "millpond.conf").write_text((DEPLOY / "nginx" / "millpond.conf").read_text())
    text = MAIN.read_text().replace("user www-data;", "").replace("/etc/nginx", str(tmp_path))
    main = tmp_path / "nginx.conf"
    main.write_text(text.replace("/run/nginx.pid", str(tmp_path / "nginx.pid")))
    done = subprocess.run(
        [program, "-t", "-q", "-p", str(tmp_path), "-c", str(main), "-e", "stderr"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert 2 * number("worker_connections") <= number("worker_rlimit_nofile")


def test_nginx_cuts_off_half_heads_and_stalled_bodies(tmp_path: Path) -> None:
    """Half a head, and a body that stands still, end at nginx; with the times of the file divided by ten or more."""
    changes = {
        "client_header_timeout 10s;": "client_header_timeout 1s;",
        "client_body_timeout 20s;": "client_body_timeout 1s;",
    }
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        address = f"http://127.0.0.1:{upstream.getsockname()[1]}"
        with nginx(tmp_path, address, changes) as url:
            place = (urlsplit(url).hostname, urlsplit(url).port)
            half, stalled = (socket.create_connection(place) for _number in range(2))
            with half, stalled:
                half.sendall(b"GET /millpond/ HTTP/1.1\r\nHost: example.org\r\n")
                stalled.sendall(b"POST /millpond/api/documents HTTP/1.1\r\nHost: example.org\r\n")
                stalled.sendall(b"Content-Length: 1000\r\n\r\nsome of it")
                for each in (half, stalled):
                    eventually(lambda: is_closed(each), seconds=8.0, what="its end")  # noqa: B023 - called at once
