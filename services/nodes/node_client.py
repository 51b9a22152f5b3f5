"""Sends a request to another node, at the address that it has told, and to nothing else that may answer there."""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from services.core.errors import UnavailableError
from services.core.i18n import _
from services.nodes.types import Node

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0
MOST_BYTES = 32 * 1024 * 1024
_JSON = ("application/json", "application/problem+json")
_UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What a node has answered."""

    status: int
    content_type: str
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the answer as an object; {} where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def send(node: Node, method: str, path: str, headers: dict[str, str], body: bytes) -> NodeAnswer:
    """Send a request and return the answer: JSON, or a problem document. Redirections are not followed.

    Raises:
        UnavailableError: the node cannot be reached, does not answer in time, or another server answers in its place.
    """
    connection = _connection(node)
    sent = False
    try:
        connection.connect()
        if isinstance(connection, http.client.HTTPSConnection):
            _require_certificate(node, connection)
        connection.sock.settimeout(ANSWER_SECONDS)
        sent = method != "GET"
        connection.request(method, path, body or None, headers)
        response = connection.getresponse()
        read = response.read(MOST_BYTES + 1)
    except TimeoutError as error:
        raise _unreachable(node, _("it does not answer in time"), sent=sent) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise _unreachable(node, str(reason), sent=sent) from error
    finally:
        connection.close()
    if len(read) > MOST_BYTES:
        raise _unreachable(node, _("its answer is too long"), sent=sent)
    answer = NodeAnswer(response.status, response.headers.get("content-type", ""), read)
    if not answer.content_type.startswith(_JSON):
        raise _unreachable(node, _("what answers there is no node"), sent=sent)
    if answer.status == _UNAUTHORIZED:  # it is this node that it refuses, and not whoever asked this one
        raise _unreachable(node, str(answer.json().get("detail", "")).rstrip("."))
    return answer


def _connection(node: Node) -> http.client.HTTPConnection:
    try:
        parts = urlsplit(node.url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _unreachable(node, str(error)) from error
    if not host:
        raise _unreachable(node, _("it has told no address"))
    if parts.scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)
    # Its certificate is for the name under which people know the pond: what counts is that it is the one it has told.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=context)


def _require_certificate(node: Node, connection: http.client.HTTPSConnection) -> None:
    certificate = connection.sock.getpeercert(binary_form=True) or b""
    if hashlib.sha256(certificate).hexdigest() != node.report.get("certificate"):
        raise _unreachable(node, _("the certificate there is not the one that it has told"))


def _unreachable(node: Node, reason: str, *, sent: bool = False) -> UnavailableError:
    happened = (
        _("The node {name} at {address} was asked and did not answer: {reason}. It may have done it all the same.")
        if sent
        else _("The node {name} cannot be asked at {address}: {reason}. Nothing was changed.")
    )
    return UnavailableError(
        happened.format(name=node.name, address=node.url, reason=reason),
        _(
            "See whether it runs. Where nodes are on several machines, each needs an address at which the others reach "
            "it: MILLPOND_NODE_URL, see docs/nodes.md."
        ),
    )
