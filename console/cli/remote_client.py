"""Client of a running server, over its HTTP API."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from console.cli.client import AnswerSource, DocumentState, ImportState, opened
from services.chat.export import cut_words
from services.chat.types import FinishReason
from services.core.errors import MillpondError, TooLargeError, UnavailableError
from services.core.i18n import _, language
from services.core.languages import language_tag
from services.core.machine import MEGABYTE
from services.core.pinned_certificate import context_for_pinned
from services.knowledge.document_import import PreparedDocument

START_SECONDS = 120.0
VECTOR_BYTES_SENT = MEGABYTE  # a request carries at most 4 MB
_PREFIX = "urn:millpond:problem:"
_KINDS: dict[str, type[MillpondError]] = {kind.kind.value: kind for kind in MillpondError.__subclasses__()}


class RemoteClient:
    """Client of the server at `url`, which runs on the same machine; with TLS it must have `certificate`, a file.

    `token` is that of its data folder (`services.core.local_token`).
    """

    def __init__(self, url: str, certificate: str = "", token: str = "") -> None:
        """Connect to nothing yet.

        Raises:
            UnavailableError: the certificate cannot be read.
        """
        self._url = url
        # Proxies of the environment are ignored: both processes are on one machine.
        self._client = httpx.Client(
            base_url=url,
            timeout=httpx.Timeout(60.0, connect=5.0),
            trust_env=False,
            headers={"User-Agent": "millpond", "Accept-Language": language_tag(language())}
            | ({"Authorization": f"Bearer {token}"} if token else {}),
            verify=_expecting(certificate) if certificate else True,
        )

    def __enter__(self) -> Self:
        self._wait_until_started()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def collections(self) -> dict[str, int]:
        found = self._call("GET", "/api/collections")["collections"]
        return {str(collection["name"]): int(collection["id"]) for collection in found}

    def create_collection(self, name: str) -> int:
        return int(self._call("POST", "/api/collections", json={"name": name})["id"])

    def add(self, path: Path, name: str, collection: int | None) -> tuple[int, bool]:
        data = {} if collection is None else {"collection": str(collection)}
        with opened(path) as file:
            added = self._call("POST", "/api/documents", data=data, files={"file": (name, file)})["documents"][0]
        return int(added["id"]), bool(added["duplicate"])

    def import_document(self, document: PreparedDocument, collection: int) -> ImportState:
        """Import a document; of a large one only the texts are sent, its vectors are made again by the server.

        Raises:
            TooLargeError: the texts alone exceed what one request may carry.
        """
        chunks = [{"text": chunk.text, "page": chunk.page, "metadata": chunk.metadata} for chunk in document.chunks]
        body: dict[str, Any] = {"name": document.name, "collection": collection, "chunks": chunks}
        if document.vectors is not None and document.vectors.nbytes <= VECTOR_BYTES_SENT:
            body["dimension"] = document.vectors.shape[1]
            body["vectors"] = base64.b64encode(document.vectors.astype("<f4").tobytes()).decode()
        try:
            imported = self._call("POST", "/api/imports", json=body)
        except TooLargeError as error:
            raise TooLargeError(
                _("Its texts are too large to be sent to a running server."),
                _("Stop Millpond and import once more: without a server the folder is opened directly."),
            ) from error
        return ImportState(int(imported["id"]), bool(imported["duplicate"]), bool(imported["vectors_kept"]))

    def state(self, document_id: int) -> DocumentState:
        document = self._call("GET", f"/api/documents/{document_id}")
        progress = document["progress"]
        return DocumentState(
            document["status"],
            done=progress["done"],
            total=progress["total"],
            unit=progress["unit"],
            chunks=document["chunks"],
            error=document["error"],
            hint=document["hint"],
        )

    def ask(self, question: str, collections: Sequence[int]) -> Iterator[str | list[AnswerSource]]:
        body = {
            "model": "millpond",
            "messages": [{"role": "user", "content": question}],
            "collections": list(collections),
            "stream": True,
            "user": "command line",
        }
        with (
            self._connection_errors(),
            self._client.stream("POST", "/v1/chat/completions", json=body, timeout=None) as response,
        ):
            if response.is_error:
                response.read()
                raise _error(response)
            for line in response.iter_lines():
                payload = line.removeprefix("data: ")
                if payload in {line, "[DONE]"}:
                    continue
                event = json.loads(payload)
                if "error" in event:
                    fault = event["error"]
                    raise _KINDS.get(str(fault["code"]), UnavailableError)(str(fault["message"]))
                for choice in event["choices"]:
                    delta = choice["delta"]
                    if delta.get("content"):
                        yield str(delta["content"])
                    if cut := cut_words(FinishReason(choice.get("finish_reason") or "stop")):
                        yield f"\n\n{cut}"
                    if "citations" in delta:
                        yield [_source(citation) for citation in delta["citations"]]

    def status(self) -> dict[str, Any]:
        return {"url": self._url, **self._call("GET", "/api/status")}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return what a route of the API answers, None where it answers nothing.

        Raises:
            MillpondError: the failure that it answers, or it does not respond.
        """
        with self._connection_errors():
            response = self._client.request(method, path, json=body)
        if response.is_error:
            raise _error(response)
        return response.json() if response.content else None

    def _wait_until_started(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        pause = threading.Event()
        while True:
            with self._connection_errors():
                response = self._client.get("/api/status")
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                break
            pause.wait(0.5)
        if response.is_error:
            raise _error(response)

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        with self._connection_errors():
            response = self._client.request(method, path, **arguments)
        if response.is_error:
            raise _error(response)
        answer: dict[str, Any] = response.json()
        return answer

    @contextmanager
    def _connection_errors(self) -> Iterator[None]:
        """Raise UnavailableError in place of what httpx raises."""
        try:
            yield
        except httpx.HTTPError as error:
            raise UnavailableError(
                _("Millpond at {url} does not respond ({reason}).").format(url=self._url, reason=type(error).__name__),
                _("Read its log; if it hangs, stop it and start it again: nothing that was stored is lost."),
            ) from error


def _expecting(certificate: str) -> ssl.SSLContext:
    try:
        return context_for_pinned(Path(certificate))
    except (OSError, ValueError) as error:
        raise UnavailableError(
            _("The certificate of the running Millpond, {path}, cannot be read: {reason}.").format(
                path=certificate, reason=getattr(error, "strerror", None) or str(error)
            ),
            _("Run this as the user that Millpond runs as."),
        ) from error


def _error(response: httpx.Response) -> MillpondError:
    try:
        document = response.json()
    except ValueError:
        document = {}
    kind = _KINDS.get(str(document.get("type", "")).removeprefix(_PREFIX), UnavailableError)
    detail = str(document.get("detail") or _("The server answered {status}.").format(status=response.status_code))
    return kind(detail, str(document.get("hint", "")))


def _source(citation: dict[str, Any]) -> AnswerSource:
    return AnswerSource(
        number=int(citation["number"]),
        document=str(citation["document"]),
        page=citation.get("page"),
        sheet=str(citation.get("sheet", "")),
        heading=tuple(citation.get("heading", ())),
        quote=str(citation.get("quote", "")),
    )
