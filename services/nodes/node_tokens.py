"""Tokens with which a node asks another one for a person: signed, for one request, at one node, for seconds, once.

The times are those of the database's clock: the nodes' own may differ by minutes.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass

from services.core.actor import Actor, Permission, Role
from services.core.errors import UnauthorizedError
from services.core.i18n import _

SCHEME = "Millpond-Node"  # of the header Authorization
LIFETIME_SECONDS = 20.0
# Whatever somebody may do at the node that they use, by way of it they operate another one and do nothing else there.
_MAY = frozenset({Permission.OPERATE})
_LONGEST = 4000


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """What is asked of a node: its number and epoch, the method, path and query."""

    node: int
    epoch: int
    method: str
    target: str


@dataclass(frozen=True, slots=True)
class Sender:
    """For whom a node asks, from which address they came to it, and its name."""

    actor: Actor
    address: str
    node: str


class NodeTokens:
    """Signs and checks them. Thread-safe.

    Args:
        key: what the nodes share, and nobody else has.
        now: the time by the database's clock; raises UnavailableError.
    """

    def __init__(self, key: bytes, now: Callable[[], float]) -> None:
        self._key = key
        self._now = now
        self._lock = threading.Lock()
        self._redeemed: dict[str, float] = {}

    def issue(self, sender: Sender, request: NodeRequest) -> str:
        """Return a token for one request.

        Raises:
            UnavailableError: the database does not answer.
        """
        actor = sender.actor
        told = {
            "name": actor.name,
            "role": actor.role.value,
            "person": actor.person_id,
            "may": sorted(_MAY if actor.scopes is None else _MAY & actor.scopes),
            "address": sender.address,
            "from": sender.node,
            "node": request.node,
            "epoch": request.epoch,
            "method": request.method,
            "target": request.target,
            "until": self._now() + LIFETIME_SECONDS,
            "once": secrets.token_hex(16),
        }
        body = base64.urlsafe_b64encode(json.dumps(told).encode())
        return f"{body.decode()}.{self._signature(body)}"

    def redeem(self, token: str, request: NodeRequest) -> Sender:
        """Return for whom a request comes that carries this token; it is worth nothing from then on.

        Raises:
            UnauthorizedError: it is not signed with our key, is for another request or node, was used, or is too old.
            UnavailableError: the database does not answer.
        """
        body, _dot, signature = token[:_LONGEST].partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(body.encode()).encode()):
            raise _refusal(_("it is not signed with the key of these nodes"))
        told = json.loads(base64.urlsafe_b64decode(body))
        if told["node"] != request.node:
            raise _refusal(_("it is for another node than the one at this address"))
        if (told["epoch"], told["method"], told["target"]) != (request.epoch, request.method, request.target):
            raise _refusal(_("it is for another request, or for a time before this node was started"))
        now = self._now()
        if not now <= told["until"] <= now + LIFETIME_SECONDS:
            raise _refusal(_("its time is over"))
        with self._lock:
            if told["once"] in self._redeemed:
                raise _refusal(_("it was used before"))
            self._redeemed = {each: until for each, until in self._redeemed.items() if until >= now}
            self._redeemed[told["once"]] = told["until"]
        actor = Actor(
            told["name"],
            Role(told["role"]),
            person_id=told["person"],
            scopes=frozenset(map(Permission, told["may"])),
        )
        return Sender(actor, told["address"], told["from"])

    def _signature(self, body: bytes) -> str:
        return hmac.digest(self._key, body, "sha256").hex()


def _refusal(reason: str) -> UnauthorizedError:
    return UnauthorizedError(
        _("The request of another node is refused: {reason}.").format(reason=reason),
        _("Try again. If it stays so: docs/nodes.md tells what the nodes need to reach each other."),
    )
