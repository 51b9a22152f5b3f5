"""What answers of a server mean that a sound one does not give; a stand-in gives them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.core.errors import MillpondError, StorageError
from services.core.settings import Settings
from services.knowledge.files.s3_bucket import S3Bucket
from services.knowledge.files.stored_file import FilesUnavailableError


class _Answers(BaseHTTPRequestHandler):
    status = probe = 200
    body = b""

    def answer(self) -> None:
        status = self.probe if self.path.endswith("/probe") else self.status
        body = self.body if status >= 400 and self.command != "HEAD" else b""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status)
        for name, value in {
            "Content-Length": len(body),
            "ETag": '"1"',
            "Last-Modified": "Mon, 30 Nov 2026 12:00:00 GMT",
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_POST = answer  # noqa: N815 - names of the base class

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[S3Bucket]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"s3://pond/a?endpoint=http://127.0.0.1:{server.server_port}&region=us-east-1"
        settings = Settings(
            data_dir=tmp_path, files_url=url, files_access_key="a", files_secret_key="b", files_seconds=2
        )
        assert settings.s3_location is not None
        yield S3Bucket(settings.s3_location, settings)
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "probe", "body", "kind", "outage"),
    [
        (503, 200, b"<Error><Code>SlowDown</Code></Error>", FilesUnavailableError, "answers with errors"),
        (403, 200, b"<Error><Code>InvalidObjectState</Code></Error>", StorageError, ""),
        (400, 200, b"", StorageError, ""),
        (403, 403, b"<Error><Code>AccessDenied</Code></Error>", FilesUnavailableError, "refuses the access key"),
        (400, 400, b"<Error><Code>AuthorizationHeaderMalformed</Code></Error>", FilesUnavailableError, "with errors"),
        (404, 404, b"<Error><Code>NoSuchBucket</Code></Error>", FilesUnavailableError, "does not have the bucket"),
        (301, 301, b"", FilesUnavailableError, "answers with errors"),
    ],
)
def test_answer_is_about_one_object_or_about_all(
    bucket: S3Bucket,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    probe: int,
    body: bytes,
    kind: type[MillpondError],
    outage: str,
) -> None:
    """An object that is refused while others are not fails what needs it; anything else is an outage with a reason."""
    for name, value in {"status": status, "probe": probe, "body": body}.items():
        monkeypatch.setattr(_Answers, name, value)
    with pytest.raises(kind):
        bucket.get("x", lambda _piece: None)
    assert outage in bucket.outage.reason()
    assert bool(outage) == bool(bucket.outage.reason())
    monkeypatch.setattr(_Answers, "probe", 200)
    bucket.probe()
    assert not bucket.outage.reason()
