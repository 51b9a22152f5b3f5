"""A small server that speaks OpenAI's and Ollama's protocols, well or badly: the first part of the path says how."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ["Seals ", "are covered ", "for 12 months ", "[", "1", "].", " Not [99]."]
DEADLINE = 20.0


class ModelServer:
    """A running server; `hung_up` counts the clients that left a request before its answer was complete."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.changed = threading.Condition()
        self.hung_up = 0
        self.open = 0
        self.manner = ""  # in place of what the path says
        # In place of everything else: returns status, headers and bytes of the reply to a question.
        self.script: Callable[[Any], tuple[int, dict[str, str], bytes]] | None = None
        self.closing = threading.Event()
        self._listen(0)

    def _listen(self, port: int) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._http.daemon_threads = False  # server_close waits for them: no handler outlives its test
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def port(self) -> int:
        return self._http.server_port

    def openai(self, manner: str) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/{manner}/v1"

    def ollama(self, manner: str) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/{manner}"

    def wait(self, condition: Any) -> bool:
        with self.changed:
            return bool(self.changed.wait_for(condition, DEADLINE))

    @contextmanager
    def down(self) -> Iterator[None]:
        """Refuse connections for a while."""
        port = self.port
        self._stop()
        try:
            yield
        finally:
            self._listen(port)

    def close(self) -> None:
        self.closing.set()
        self._stop()

    def _stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(DEADLINE)


@contextmanager
def model_server() -> Iterator[ModelServer]:
    server = ModelServer()
    try:
        yield server
    finally:
        server.close()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _handler(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base names it so
            pass

        def do_GET(self) -> None:
            manner = self._enter(None)
            if manner == "hang":
                self._wait_for_hang_up()
            elif self._refused(manner):
                pass
            elif self.path.endswith("/api/tags"):
                self._reply(200, json.dumps({"models": [{"name": "tiny:latest"}, {"name": "small:1b"}]}))
            else:
                self._reply(200, json.dumps({"object": "list", "data": [{"id": "tiny"}, {"id": "small"}]}))
            self._leave()

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            manner = self._enter(body)
            if server.script is not None:
                status, headers, data = server.script(body)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
            elif manner == "hang":
                self._wait_for_hang_up()
            elif not self._refused(manner):
                self._stream(manner, ollama=self.path.endswith("/api/chat"))
            self._leave()

        def _enter(self, body: Any) -> str:
            with server.changed:
                server.open += 1
                server.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                server.changed.notify_all()
            return server.manner or self.path.split("/")[1]

        def _leave(self) -> None:
            with server.changed:
                server.open -= 1
                server.changed.notify_all()

        def _refused(self, manner: str) -> bool:
            key = self.headers.get("Authorization", "")
            replies = {
                "401": (401, json.dumps({"error": {"message": f"Incorrect key: {key}", "type": "invalid"}})),
                "429": (429, json.dumps({"error": {"message": "slow down"}})),
                "500": (500, json.dumps({"error": {"message": "boom"}})),
                "503html": (503, "<html><body>Service <script>alert(1)</script></body></html>"),
                "404model": (404, json.dumps({"error": {"message": "The model `tiny` does not exist"}})),
                "404page": (404, "<html>Not Found</html>"),
                "context": (400, json.dumps({"error": {"message": "maximum context length is 10 tokens"}})),
                "400": (400, json.dumps({"error": {"message": f"odd request {key} " + "x" * 1000}})),
                "redirect": (307, ""),
                "html": (200, "<!doctype html><title>Router</title>"),
                "json": (200, json.dumps({"hello": "world"})),
                "void": (200, ""),
                "binary": (200, "\ufffd\u0000\u0001"),
            }
            if manner not in replies:
                return False
            status, text = replies[manner]
            if text.startswith("{") and "/api/" in self.path:  # Ollama says it in a plain string
                error = json.loads(text).get("error")
                text = json.dumps({"error": error["message"]}) if error else text
            self._reply(status, text)
            return True

        def _reply(self, status: int, text: str) -> None:
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if text.startswith("<") else "application/json")
            self.send_header("Content-Length", str(len(data)))
            if status == 307:
                self.send_header("Location", server.openai("stolen") + "/chat/completions")
            self.end_headers()
            self.wfile.write(data)

        def _stream(self, manner: str, *, ollama: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/x-ndjson" if ollama else "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            line = _ollama_line if ollama else _openai_line
            if manner == "junk":
                self._chunk("data: {not json\n\n" if not ollama else "{not json\n")
            elif manner == "error":
                said = json.dumps({"error": "out of memory" if ollama else {"message": "out of memory"}})
                self._chunk(f"{said}\n" if ollama else f"data: {said}\n\n")
            elif manner == "nochoices":
                self._chunk("{}\n" if ollama else 'data: {"choices": null}\n\n')
            elif manner == "silent":
                self._chunk(line("", last=True))
            elif manner != "nothing":
                words = WORDS if manner != "endless" else ["word " * 2000] * 10_000
                for number, word in enumerate(words):
                    if number == 2 and manner == "dies":
                        self.connection.shutdown(socket.SHUT_RDWR)
                        self.close_connection = True
                        return
                    if number == 2 and manner == "midhang":
                        self._wait_for_hang_up()
                        return
                    if not self._chunk(line(word)):
                        return
                self._chunk(line("", last=True))
            if not ollama and manner != "nothing":
                self._chunk("data: [DONE]\n\n")
            self._chunk("")

        def _chunk(self, text: str) -> bool:
            data = text.encode()
            try:
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            except OSError:
                self._note_hang_up()
                return False
            return True

        def _wait_for_hang_up(self) -> None:
            """Say nothing until the client closes the connection."""
            self.close_connection = True
            self.connection.settimeout(0.05)
            while not server.closing.is_set():
                try:
                    if not self.connection.recv(1024):
                        self._note_hang_up()
                        return
                except TimeoutError:
                    continue
                except OSError:
                    self._note_hang_up()
                    return

        def _note_hang_up(self) -> None:
            self.close_connection = True
            with server.changed:
                server.hung_up += 1
                server.changed.notify_all()

    return Handler


def _openai_line(word: str, *, last: bool = False) -> str:
    event: dict[str, Any] = {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": "stop" if last else None}],
    }
    if last:
        event["usage"] = {"prompt_tokens": 70, "completion_tokens": 9, "total_tokens": 79}
    return f"data: {json.dumps(event)}\n\n"


def _ollama_line(word: str, *, last: bool = False) -> str:
    event: dict[str, Any] = {
        "model": "tiny",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": word},
        "done": last,
    }
    if last:
        event |= {"done_reason": "stop", "prompt_eval_count": 70, "eval_count": 9}
    return json.dumps(event) + "\n"
