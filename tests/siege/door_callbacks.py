"""Payloads at the way back from an identity provider, each within a sign-in that really began."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import httpx

from tests.siege.door_payloads import Payload

CALLBACK = "/sign-in/oidc/callback"
# {state}: the state that belongs to the browser's cookie, with the provider's name; {bare}: the state alone.
ANSWERS = [
    "{state}",
    "{state}&code=",
    "{state}&code=made-up",
    "{state}&code=%00",
    "{state}&code=%F0%9F%98%80",
    "{state}&code=" + "x" * 5000,
    "{state}&code=" + "x" * 20_000,
    "{state}&code=a&code=b",
    "{state}&{state}&code=a",
    "{bare}&code=a&iss=https://evil.example",
    "{bare}&code=a&iss=",
    "{bare}&code=a",
    "{state}&iss=https://evil.example&code=a",
    "{state}&error=access_denied",
    "{state}&error=server_error",
    "{state}&error=<script>alert(1)</script>&error_description=<script>alert(1)</script>",
    "{state}&error=%0d%0aSet-Cookie:x=y",
    "{bare}x&code=a",
    "state=&code=a",
    "code=a",
    "state=%ff&code=%ff",
    "state=\u00e9&code=a",
]
MADE_UP_COOKIES = ["x", ".", "x.x", "e30.x", "\u00e9", "x" * 3000, "eyJzZWNyZXQiOiJhIn0."]


def made_up(answer: str, state: str, issuer: str) -> str:
    """Return the query of the way back for one of `ANSWERS`."""
    return answer.replace("{bare}", f"state={state}").replace("{state}", f"state={state}&iss={issuer}")


def callback_payloads(url: str, issuer: str) -> Iterator[Payload]:
    """Yield every payload at a console whose people come from a provider; a sign-in begins for each."""
    for answer in ANSWERS:
        state, name, value = _begun(url)
        path = f"{CALLBACK}?{quote(made_up(answer, state, issuer), safe='%=&:/')}"
        yield Payload("begun callback", path=path, headers={"Cookie": f"{name}={value}"})
    for each in MADE_UP_COOKIES:
        state, name, value = _begun(url)
        path = f"{CALLBACK}?state={state}&iss={issuer}&code=a"
        yield Payload("callback with a cookie", path=path, headers={"Cookie": f"{name}={each}"})
        yield Payload("callback with a cookie", path=path, headers={"Cookie": f"{name}={value}; {name}={each}"})
        yield Payload("callback with a cookie", path=path, headers={"Cookie": f"{name}x={value}"})


def _begun(url: str) -> tuple[str, str, str]:
    """Begin a sign-in; return its state, and the name and value of its cookie."""
    answer = httpx.get(f"{url}/sign-in/oidc", trust_env=False, timeout=60.0)
    assert answer.status_code == 303, answer.text
    ((name, value),) = answer.cookies.items()
    return httpx.URL(answer.headers["location"]).params["state"], name, value
