"""The naive service behind HTTP: a thread for each request, as many as come."""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.soak.baseline.service import NaiveService


def serve(folder: Path, model_file: str = "") -> None:
    """Answer until the process is ended."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    service = NaiveService(folder, model_file)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(service))
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


def _handler(service: NaiveService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base names it so
            pass

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            try:
                status, found = 200, self._found(parts.path.strip("/").split("/"), query, body)
            except Exception as error:  # noqa: BLE001 - a naive service answers 500 and goes on
                status, found = 500, {"error": f"{type(error).__name__}: {error}"}
            data = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _found(self, path: list[str], query: dict[str, str], body: bytes) -> dict[str, Any]:
            match path:
                case ["ask"]:
                    asked = json.loads(body)
                    text = service.ask(asked["conversation"], asked["question"], model=asked.get("model", False))
                    found: dict[str, Any] = {"text": text}
                case ["upload"]:
                    found = {"id": service.upload(query["name"], body)}
                case ["session"]:
                    found = {"session": service.session()}
                case ["session", number, "upload"]:
                    found = {"id": service.upload(query["name"], body, int(number))}
                case ["delete"]:
                    service.delete(int(query["id"]))
                    found = {}
                case ["document"]:
                    found = {"id": service.named(query["name"])}
                case _:
                    raise LookupError("/".join(path))
            return found

    return Handler
