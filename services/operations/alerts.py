"""What alerts say, and how they are written for the server that takes them."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from services.errors import BadInputError
from services.texts import _

SIGNATURE_HEADER = "X-Millpond-Signature"
_LONGEST_TEXT = 500


class AlertKind(StrEnum):
    """What an alert is about."""

    LEVEL_UP = "level_up"
    LEVEL_DOWN = "level_down"
    REFUSALS = "refusals"  # they began or ended
    RESTART = "restart"
    VERDICT = "verdict"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that somebody should hear of; `figures` by name: bytes and seconds as the name says."""

    kind: AlertKind
    text: str
    time: float
    figures: Mapping[str, float] = field(default_factory=dict)


def checked_address(url: str) -> str:
    """Return the address of a webhook if it can be one.

    Raises:
        BadInputError: it is no http(s) address with a host.
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that are none
        fits = False
    if not fits or any(character.isspace() or ord(character) < 32 for character in url):
        raise BadInputError(
            _("The address for alerts is none."), _("It looks like https://alerts.example.org/millpond.")
        )
    return url


def shown_address(url: str) -> str:
    """Return the host and port of a webhook: the rest of its address may be a secret."""
    return urlsplit(url).netloc.rpartition("@")[2]


def body_of(alerts: Sequence[Alert], *, instance: str, delivery: str, time: float, dropped: int) -> bytes:
    """Return the JSON of one delivery.

    `text` sums up the alerts, as chat servers show it; `id` is the same each time that the delivery is tried.
    """
    lines = [alert.text[:_LONGEST_TEXT] for alert in alerts]
    if dropped:
        lines.append(_("{count} older alerts were dropped.").format(count=dropped))
    value = {
        "id": delivery,
        "service": "millpond",
        "instance": instance,
        "time": time,
        "text": "\n".join(lines),
        "dropped": dropped,
        "alerts": [
            {
                "kind": alert.kind.value,
                "text": alert.text[:_LONGEST_TEXT],
                "time": alert.time,
                "figures": dict(alert.figures),
            }
            for alert in alerts
        ],
    }
    return json.dumps(value, ensure_ascii=False).encode()


def signature(secret: str, body: bytes) -> str:
    """Return the value of `SIGNATURE_HEADER`: HMAC-SHA256 (RFC 2104) of the body, which carries its own time."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
