"""Requests to the provider: bounded in time and size, never redirected, and only where requests may go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import structlog

from services.core.errors import UnavailableError
from services.core.i18n import _
from services.core.outgoing import OutgoingRules, RefusedAddressError

log = structlog.get_logger(__name__)

SECONDS = 10.0  # for one request, everything included
STEP_SECONDS = 5.0
MOST_BYTES = 1_000_000
RETRY_SECONDS = 10.0


class ProviderDownError(UnavailableError):
    """The provider does not answer, or not as a provider does."""

    def __init__(self) -> None:
        super().__init__(
            _("The identity provider does not answer as it should; nobody was signed in."),
            _("Try again in {seconds} seconds, or sign in with name and password.").format(
                seconds=round(RETRY_SECONDS)
            ),
        )
        self.seconds = RETRY_SECONDS


class AnsweredError(Exception):
    """The provider answered with an error of OAuth 2.0, such as `invalid_grant`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def get_json(url: str, rules: OutgoingRules, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the JSON object at an address.

    Raises:
        ProviderDownError: there is none.
        AnsweredError: the answer is an error of OAuth 2.0.
    """
    return _requested("GET", url, rules, headers or {}, None)


def post_form(url: str, rules: OutgoingRules, headers: Mapping[str, str], fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the JSON object that answers a form; errors as for `get_json`."""
    return _requested("POST", url, rules, headers, fields)


def _requested(
    method: str, url: str, rules: OutgoingRules, headers: Mapping[str, str], fields: Mapping[str, str] | None
) -> dict[str, Any]:
    import httpx  # late: OIDC may be off

    from services.core.outgoing_transport import OutgoingTransport

    try:
        with (
            httpx.Client(
                transport=OutgoingTransport(url, rules, seconds=SECONDS),
                timeout=STEP_SECONDS,
                follow_redirects=False,
                trust_env=False,
            ) as client,
            client.stream(
                method, url, headers={"Accept": "application/json", **headers}, data=dict(fields) if fields else None
            ) as response,
        ):
            body = b""
            for piece in response.iter_raw():
                body += piece
                if len(body) > MOST_BYTES:
                    raise _down(url, "the answer is too long")
            status, kind = response.status_code, response.headers.get("content-type", "")
    except RefusedAddressError as error:
        raise _down(url, str(error)) from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise _down(url, type(error).__name__) from error
    media_type = kind.partition(";")[0].strip().lower()
    if media_type not in {"application/json", "application/jwk-set+json"}:
        raise _down(url, f"status {status}, type {media_type[:60]!r}")
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _down(url, "no JSON") from error
    if not isinstance(answer, dict):
        raise _down(url, "no object")
    if 400 <= status < 500 and isinstance(answer.get("error"), str):
        raise AnsweredError(printable(answer["error"]))
    if status != 200:
        raise _down(url, f"status {status}")
    return answer


def _down(url: str, reason: str) -> ProviderDownError:
    log.warning("the identity provider does not answer as it should", url=url[:300], reason=reason[:300])
    return ProviderDownError()


def printable(text: object, longest: int = 100) -> str:
    """Return what somebody else wrote as it can stand in a log."""
    return "".join(each if each.isprintable() else "?" for each in str(text)[:longest])
