"""What alerts say, and the signed message that carries them.

Signatures follow the Standard Webhooks specification (https://www.standardwebhooks.com); `X-Millpond-Signature` of
version 0.1 is sent beside them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from services.core.errors import BadInputError
from services.core.i18n import _
from services.core.masking import mask

if TYPE_CHECKING:
    import standardwebhooks

SIGNATURE_HEADER = "X-Millpond-Signature"
_MAX_TEXT = 500
_STANDARD_SECRET = "whsec_"  # noqa: S105 - the prefix of keys in base64, as the specification writes them


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
    """Something that an operator should know; `figures` by name: bytes and seconds as the name says."""

    kind: AlertKind
    text: str
    time: float
    figures: Mapping[str, float] = field(default_factory=dict)


def delivery_body(alerts: Sequence[Alert], *, instance: str, delivery: str, time: float, dropped: int) -> bytes:
    """Return the JSON of one delivery; `text` sums up the alerts, as chat servers show it. Personal data is masked."""
    texts = [mask(alert.text)[:_MAX_TEXT] for alert in alerts]
    lines = list(texts)
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
                "text": text,
                "time": alert.time,
                "figures": dict(alert.figures),
            }
            for alert, text in zip(alerts, texts, strict=True)
        ],
    }
    return json.dumps(value, ensure_ascii=False).encode()


def signature_headers(secret: str, message_id: str, time: float, body: bytes) -> dict[str, str]:
    """Return the headers that identify one attempt at `time` (seconds since the epoch), signed if there is a `secret`.

    `message_id` is the same at each attempt, so that a server can tell repetitions.
    """
    sent = datetime.fromtimestamp(int(time), UTC)
    headers = {"webhook-id": message_id, "webhook-timestamp": str(int(time))}
    if secret:
        headers["webhook-signature"] = standard_signer(secret).sign(message_id, sent, body.decode())
        headers[SIGNATURE_HEADER] = body_signature(secret, body)
    return headers


def body_signature(secret: str, body: bytes) -> str:
    """Return the value of `SIGNATURE_HEADER`: HMAC-SHA256 (RFC 2104) of the body, which carries its own time."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def standard_signer(secret: str) -> standardwebhooks.Webhook:
    """Return what signs by the specification: a secret that begins with "whsec_" is a key in base64, any other text is
    the key itself.

    Raises:
        BadInputError: it begins with "whsec_" and holds no key.
    """
    import standardwebhooks
    from standardwebhooks.webhooks import EmptyWebhookSecretError

    try:
        return standardwebhooks.Webhook(secret if secret.startswith(_STANDARD_SECRET) else secret.encode())
    except (Base64Error, EmptyWebhookSecretError) as error:
        raise BadInputError(
            _("The key for the signature of alerts cannot be used: after whsec_ it must be base64."),
            _("Set MILLPOND_WEBHOOK_SECRET to such a key, or to any other text."),
        ) from error
