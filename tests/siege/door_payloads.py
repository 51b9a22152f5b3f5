"""Payloads against the door: the sign-in form, where one goes afterwards, cookies, tokens, headers, paths, the way back
from an identity provider. None may pass, none may end in a defect."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlencode, urlsplit

TEXTS = [
    "' OR '1'='1",
    "' OR 1=1 --",
    "admin'--",
    "ada'; DROP TABLE people; --",
    "' UNION SELECT 1,2,3 --",
    '" OR ""="',
    "1; SELECT sqlite_version()",
    "ada' AND (SELECT COUNT(*) FROM people) > 0 --",
    "%' OR '%'='",
    "*)(uid=*))(|(uid=*",
    "*",
    "admin*)((|userPassword=*)",
    "<script>alert(1)</script>",
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    '" autofocus onfocus="alert(1)',
    "</title><svg onload=alert(1)>",
    "javascript:alert(1)",
    "{{7*7}}",
    "${7*7}",
    "#{7*7}",
    "{0.__class__.__mro__}",
    "%(name)s",
    "%s%s%s%n",
    "{name}",
    "$(id)",
    "`id`",
    "; cat /etc/passwd",
    "| id",
    "../../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "file:///etc/passwd",
    "\r\nSet-Cookie: millpond-session=x",
    "ada\r\nX-Injected: 1",
    "\n",
    "\t",
    " ",
    "",
    "\x00",
    "ada\x00",
    "\x1b[31m",
    "\u202eada",
    "ａｄａ",
    "аda",
    "ada\u200b",
    "ADA",
    "İ",
    "ß" * 100,
    "\ufeff",
    "\U0001f9ff" * 40,
    "e\u0301" * 90,
    "A" * 199,
    "A" * 201,
    "A" * 15_000,
    "null",
    "undefined",
    "true",
    "[]",
    "{}",
    '{"$gt": ""}',
    "NaN",
    "-1",
    "1e309",
    "0x41",
    "pickle:cos\nsystem\n(S'id'\ntR.",
    "!!python/object/apply:os.system ['id']",
    "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
]
PLACES = [
    "//evil.example",
    "///evil.example",
    "////evil.example/%2f..",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "https://evil.example",
    "HTTPS://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "http:\\\\evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "evil.example",
    "@evil.example",
    "/@evil.example",
    ".evil.example",
    "/%09/evil.example",
    "/%5cevil.example",
    "/%2f/evil.example",
    "%2f%2fevil.example",
    "/..//evil.example",
    "/.//evil.example",
    "/;@evil.example",
    "/?next=//evil.example",
    "/#//evil.example",
    "/sign-in?next=//evil.example",
    "/sign-out",
    "/sign-in/../sign-out",
    "\x00//evil.example",
    "/\x00/evil.example",
    "/\u2028/evil.example",
    "/\uff0f/evil.example",
    "/\u3002evil\u3002example",
    "/a\r\nSet-Cookie: x=1",
    "/a\r\n\r\n<script>alert(1)</script>",
    '/"><script>alert(1)</script>',
    "/'onmouseover='alert(1)",
    "/" + "x" * 5000,
    "/" + "/" * 1000,
    "",
]
CREDENTIALS = [
    "x",
    "x" * 43,
    "A" * 43,
    "-" * 43,
    "_" * 43,
    "x" * 10_000,
    "",
    "null",
    "true",
    "s1",
    "t1",
    "1",
    "0",
    "-1",
    "ada",
    "admin",
    "' OR '1'='1",
    "../../etc/passwd",
    "mp_" + "x" * 40,
    "millpond_" + "x" * 40,
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.AAAA",
    "%00",
    "%0d%0aSet-Cookie: a=b",
    "a=b",
    "a;b",
    '"quoted"',
    "a,b",
    "\xff\xfe",
    "\xe9" * 43,
    "{}",
    "[]",
]
HEADERS = [
    {"X-Millpond-Session": "s1"},
    {"X-Millpond-Session": "s1", "X-Millpond-Person": "1"},
    {"x-millpond-session": "S1"},
    {"X_Millpond_Session": "s1"},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-For": "127.0.0.1, 127.0.0.1"},
    {"X-Forwarded-Proto": "https"},
    {"X-Forwarded-Host": "evil.example"},
    {"X-Forwarded-Prefix": "/healthz"},
    {"Forwarded": "for=127.0.0.1;proto=https"},
    {"X-Real-IP": "127.0.0.1"},
    {"X-Client-IP": "127.0.0.1"},
    {"True-Client-IP": "127.0.0.1"},
    {"X-Original-URL": "/healthz"},
    {"X-Rewrite-URL": "/healthz"},
    {"X-HTTP-Method-Override": "GET"},
    {"X-Remote-User": "ada"},
    {"Remote-User": "ada"},
    {"X-Forwarded-User": "ada"},
    {"X-Forwarded-Email": "ada@example.com"},
    {"X-Auth-Request-User": "ada"},
    {"X-User": "ada"},
    {"X-Streamlit-User": "ada"},
    {"Streamlit-User": "ada"},
    {"Authorization": "Basic YWRhOnZpb2xldA=="},
    {"Authorization": "Basic " + "A" * 5000},
    {"Authorization": "Digest username=ada"},
    {"Authorization": "Negotiate AAAA"},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer "},
    {"Authorization": "bearer null"},
    {"Authorization": ""},
    {"Proxy-Authorization": "Bearer x"},
    {"Cookie": "=; ;;;=x"},
    {"Cookie": "millpond-session"},
    {"Cookie": "millpond-session=; millpond-session="},
    {"Cookie": "MILLPOND-SESSION=x"},
    {"Cookie": "__Host-millpond=x; millpond-session=y"},
    {"Cookie": "_streamlit_user=x; _streamlit_xsrf=y"},
    {"Cookie": "a=" + "b" * 8000},
    {"Cookie": "; ".join(f"c{number}=1" for number in range(500))},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
    {"Accept": "text/html\x7f"},
    {"Content-Type": "application/x-www-form-urlencoded", "Transfer-Encoding": "identity"},
    {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAAA"},
    {"X-Request-ID": "<script>"},
    {"Range": "bytes=0-0"},
    {"If-None-Match": "*"},
]
# Each leads to something closed, or to nothing; `/healthz` and the sign-in page are what is open beside it.
PATHS = [
    "/api/collections",
    "/api/collections/",
    "//api/collections",
    "/api//collections",
    "/./api/collections",
    "/healthz/../api/collections",
    "/healthz/..%2fapi/collections",
    "/healthz%2f..%2fapi/collections",
    "/healthz/",
    "/healthz/x",
    "/healthz;/../api/collections",
    "/healthz%00",
    "/healthz%0a",
    "/HEALTHZ",
    "/readyz/../metrics",
    "/sign-in/../api/collections",
    "/sign-in/%2e%2e/api/collections",
    "/sign-in/..;/api/collections",
    "/sign-in/./api/collections",
    "/sign-in//",
    "/sign-in/",
    "/sign-in/style.css/",
    "/sign-in/style.css/../../api/collections",
    "/sign-in/../../etc/passwd",
    "/sign-in/%2e%2e%2f%2e%2e%2fetc/passwd",
    "/sign-in/config.toml",
    "/sign-in/wordmark.svg",
    "/sign-in%2fstyle.css",
    "/sign-in\\..\\api",
    "/Sign-In",
    "/sign-out/",
    "/sign-out/x",
    "/_stcore/health",
    "/_stcore/host-config",
    "/_stcore/metrics",
    "/_stcore/stream",
    "/_stcore/agent/capabilities",
    "/_stcore/script-health-check",
    "/_stcore/upload_file/x/y",
    "/_stcore/../healthz",
    "/%5fstcore/health",
    "/media/x.png",
    "/media/../healthz",
    "/component/x/index.html",
    "/static/js/index.js",
    "/app/static/x",
    "/favicon.png",
    "/index.html",
    "/auth/login",
    "/auth/logout",
    "/oauth2callback",
    "/docs",
    "/docs/assets/x",
    "/docs/oauth2-redirect",
    "/redoc",
    "/openapi.json",
    "/metrics",
    "/metrics/../healthz",
    "/v1/models",
    "/mcp",
    "/api",
    "/api/status",
    "/api/people",
    "/%61pi/collections",
    "/api%2fcollections",
    "/api/collections?next=/healthz",
    "/api/collections#/healthz",
    "/api/collections;x=/healthz",
    "/api/\u00e9".encode().decode("latin-1"),
    "/api/%ff",
    "/api/%c0%ae%c0%ae/",
    "/api/" + "x" * 5000,
    "/" + "a/" * 500,
    "/?x=" + "y" * 5000,
    "/documents",
    "/memory",
    "/*",
    "*",
    "/..",
    "/.",
    "/.git/config",
    "/.env",
]
CALLBACKS = [
    "",
    "code=x",
    "state=x",
    "code=x&state=x",
    "code=&state=",
    "code=x&code=y&state=z",
    "error=access_denied",
    "error=<script>alert(1)</script>&error_description=<script>alert(1)</script>",
    "code=x&state=%00",
    "code=" + "x" * 5000 + "&state=x",
    "code=x&state=x&iss=https://evil.example",
    "code=x&state=x&redirect_uri=https://evil.example",
    "id_token=eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.&state=x",
    "code=%ff%fe&state=%ff",
    "code[]=x&state[]=y",
    "code=x&state=../../x",
    "code=x%0d%0aSet-Cookie:%20a=b&state=x",
    "next=//evil.example&code=x&state=x",
    "code=x&state=' OR '1'='1".replace(" ", "%20"),
    "&".join(f"p{number}=1" for number in range(300)),
]
METHODS = ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW", "get", "PROPFIND"]
FORM = "application/x-www-form-urlencoded"
BODIES = [
    ("application/json", b'{"name": "ada", "password": {"$ne": ""}}'),
    ("application/json", b"[" * 5000),
    ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nada\r\n--x--\r\n'),
    ("text/xml", b"<a/>"),
    ("", b"name=ada&password=x"),
    (FORM, b""),
    (FORM, b"="),
    (FORM, b"&&&&"),
    (FORM, b"name=ada"),
    (FORM, b"password=x"),
    (FORM, b"name=ada&name=uma&password=x"),
    (FORM, b"name=ada&password=x&password=y"),
    (FORM, b"name[]=ada&password[]=x"),
    (FORM, b"name=%ff%fe&password=%ff"),
    (FORM, b"name=%&password=%zz"),
    (FORM, b"name=ada&password=%00"),
    (FORM, b"name=\xff\xfe&password=x"),
    (FORM, b"name=ada&password=" + b"x" * 100_000),
    (FORM, b"&".join(b"p%d=1" % number for number in range(2000))),
    (FORM, b"step=x&code=000000"),
    (FORM, b"step=" + b"x" * 43 + b"&code=000000"),
    (FORM, b"step=%ff&code=000000"),
    (FORM, b"step=x&code=" + b"0" * 1000),
    (FORM, b"step=x&step=y&code=1"),
    (FORM, b"step=%00&code=%00"),
    (FORM, "step=\u00e9&code=\u0661\u0662\u0663".encode()),
    (f"{FORM}; charset=utf-16", "name=ada&password=x".encode("utf-16")),
    (f"{FORM}; charset=none", b"name=ada&password=x"),
]


@dataclass(frozen=True)
class Payload:
    """One request: what it tries, and what it consists of."""

    what: str
    method: str = "GET"
    path: str = "/api/collections"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def payloads(origin: str) -> Iterator[Payload]:
    """Yield every payload; forms are sent as by a page of `origin`, so that they come as far as they can."""
    page = {"Origin": origin, "Sec-Fetch-Site": "same-origin", "Content-Type": FORM}
    for text in TEXTS:
        for what in ("name", "password"):
            fields = {"name": "ada", "password": "wrong"} | {what: text}
            yield Payload(f"sign-in: {what}", "POST", "/sign-in", page, urlencode(fields).encode())
    for place in PLACES:
        asked = quote(place, safe="")
        yield Payload("sign-in: next", "GET", f"/sign-in?next={asked}")
        yield Payload("sign-in: next", "GET", f"/sign-in/oidc?next={asked}")
        fields = {"name": "ada", "password": "wrong", "next": place}
        yield Payload("sign-in: next", "POST", "/sign-in", page, urlencode(fields).encode())
    for kind, body in BODIES:
        yield Payload("sign-in: body", "POST", "/sign-in", page | {"Content-Type": kind}, body)
        yield Payload("sign-out: body", "POST", "/sign-out", page | {"Content-Type": kind}, body)
    for credential in CREDENTIALS:
        for name in ("millpond-session", "__Host-millpond"):
            yield Payload("cookie", headers={"Cookie": f"{name}={credential}"})
        yield Payload("token", headers={"Authorization": f"Bearer {credential}"})
    for headers in HEADERS:
        yield Payload("headers", headers=headers)
        yield Payload("headers", "POST", "/sign-out", headers)
    for path in PATHS:
        yield Payload("path", path=path)
    for query in CALLBACKS:
        yield Payload("callback", path=f"/sign-in/oidc/callback?{query}")
    for method in METHODS:
        for path in ("/sign-in", "/api/collections", "/_stcore/stream", "/"):
            yield Payload("method", method, path)


def source(number: int) -> str:
    """Return an address of loopback for a payload: from one alone, refusals would soon be held back."""
    return f"127.0.{1 + number // 250 % 250}.{1 + number % 250}"


def fault(url: str, payload: Payload, source: str = "127.0.0.1", provider: str = "") -> str:
    """Send a payload as it is, and return what is wrong with the answer, "" if nothing is.

    `provider`: where people may be sent to sign in.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60, source_address=(source, 0))
    try:
        connection.putrequest(payload.method, payload.path, skip_accept_encoding=True)
        for name, value in payload.headers.items():
            connection.putheader(name, value.encode("latin-1"))
        if payload.method == "POST":
            connection.putheader("Content-Length", str(len(payload.body)))
        connection.endheaders(payload.body if payload.method == "POST" else None)
        answer = connection.getresponse()
        return _judged(payload, answer, answer.read().decode("utf-8", "replace"), provider)
    except (ValueError, UnicodeError):  # the client itself refuses to send it
        return ""
    except (http.client.HTTPException, OSError) as error:
        return "" if payload.method in {"CONNECT", "get"} else f"{type(error).__name__}"
    finally:
        connection.close()


def _judged(payload: Payload, answer: http.client.HTTPResponse, text: str, provider: str) -> str:
    place = answer.headers.get("Location", "/")
    given = [each for each in answer.headers.get_all("Set-Cookie") or () if _gives_session(each)]
    markup = ("<script>alert(1)</script>", 'onfocus="alert(1)', "<svg onload")
    is_open = unquote(payload.path.partition("?")[0]) in OPEN and payload.method in {"GET", "HEAD", "POST"}
    faults = {
        # 503 with a time to come back is an answer: the provider does not answer, too much is held back already.
        f"status {answer.status}": answer.status >= 500
        and not (answer.status == 503 and answer.headers["Retry-After"]),
        "a session was given": bool(given),
        f"leads to {place[:60]}": (not place.startswith("/") or place.startswith(("//", "/\\")))
        and not (provider and place.startswith(f"{provider}/auth?")),
        "the payload came back as markup": any(each in text for each in markup),
        "a header was injected": "X-Injected" in answer.headers,
        "passed": 200 <= answer.status < 300 and not is_open,
    }
    return ", ".join(what for what, wrong in faults.items() if wrong)


OPEN = {"/healthz", "/readyz", "/sign-in", "/sign-out", "/sign-in/style.css", "/sign-in/icon.svg"}


def _gives_session(cookie: str) -> bool:
    name, _equals, value = cookie.partition(";")[0].partition("=")
    return name.strip() in {"millpond-session", "__Host-millpond"} and value.strip('" ') != ""
