"""Who may go where outside of the API's routes: what is open, what Streamlit serves, the API's own page.

The first rule that fits a path holds. A path without one leads nowhere, whoever asks.
"""

from __future__ import annotations

from dataclasses import dataclass

from console.rules import EVERYBODY, NOBODY, SIGNED_IN, Rule
from services.core.actor import Permission

SIGN_IN = "/sign-in"
SIGN_OUT = "/sign-out"
OIDC_START = "/sign-in/oidc"
OIDC_CALLBACK = "/sign-in/oidc/callback"
OIDC_LINK = "/sign-in/oidc/link"
STREAM = "/_stcore/stream"
UPLOADS = "/_stcore/upload_file/"
MEDIA = "/media/"
_READING = frozenset({"GET", "HEAD"})
_FORMS = _READING | {"POST"}


@dataclass(frozen=True, slots=True)
class PathRule:
    """The rule of a path, or of all paths that begin with it where it ends with a slash.

    Attributes:
        path: as it stands in the address.
        rule: who may.
        what: what lies there, for the table.
        methods: for which methods, all where it is empty.
        own: whether what lies there belongs to a tab, so that nobody but the tab's session gets it.
    """

    path: str
    rule: Rule
    what: str
    methods: frozenset[str] = frozenset()
    own: bool = False

    def fits(self, path: str, method: str) -> bool:
        """Return whether this is the rule of a request."""
        if self.methods and method not in self.methods:
            return False
        return path.startswith(self.path) if self.path.endswith("/") and self.path != "/" else path == self.path


PATHS = (
    PathRule("/healthz", EVERYBODY, "liveness", _READING),
    PathRule("/readyz", EVERYBODY, "readiness: the status alone, the checks for those who have signed in", _READING),
    PathRule(SIGN_IN, EVERYBODY, "the sign-in page", _FORMS),
    PathRule(f"{SIGN_IN}/style.css", EVERYBODY, "its style sheet", _READING),
    PathRule(f"{SIGN_IN}/icon.svg", EVERYBODY, "its icon", _READING),
    PathRule(OIDC_START, EVERYBODY, "the way to the identity provider", _READING),
    PathRule(OIDC_CALLBACK, EVERYBODY, "the way back from it", _READING),
    PathRule(OIDC_LINK, SIGNED_IN, "linking one's account with the identity provider", _READING),
    PathRule(SIGN_OUT, EVERYBODY, "signing out", _FORMS),
    PathRule("/openapi.json", SIGNED_IN, "the description of the API", _READING),
    PathRule("/docs", SIGNED_IN, "the API's own page", _READING),
    PathRule("/docs/", SIGNED_IN, "its scripts", _READING),
    PathRule(
        "/mcp", Rule(Permission.READ), "tools for programs with a language model: by API token", frozenset({"POST"})
    ),
    PathRule(STREAM, SIGNED_IN, "the WebSocket of the pages"),
    PathRule("/_stcore/health", SIGNED_IN, "what a page asks before it connects", _READING),
    PathRule("/_stcore/host-config", SIGNED_IN, "what a page asks before it connects", _READING),
    PathRule(UPLOADS, SIGNED_IN, "files dropped onto a page: of one's own tabs", own=True),
    PathRule("/_stcore/bidi-components/", SIGNED_IN, "components of pages", _READING),
    PathRule("/_stcore/metrics", Rule(Permission.OPERATE), "Streamlit's figures", _READING),
    PathRule("/_stcore/", NOBODY, "what Streamlit has besides"),
    PathRule(MEDIA, SIGNED_IN, "pictures and downloads that a page shows: of one's own tabs", _READING, own=True),
    PathRule("/component/", SIGNED_IN, "components of pages", _READING),
    PathRule("/static/", SIGNED_IN, "scripts, styles and fonts of the pages", _READING),
    PathRule("/assets/", SIGNED_IN, "charts", _READING),
    PathRule("/auth/", NOBODY, "Streamlit's own sign-in"),
    PathRule("/oauth2callback", NOBODY, "Streamlit's own sign-in"),
)
# Left to the rules beside the routes.
_API = ("/api", "/v1", "/metrics", "/mcp")
_PAGES = PathRule("/", SIGNED_IN, "the frame of the pages; each page asks for its own right", _READING)


def rule_for(path: str, method: str) -> PathRule | None:
    """Return the rule of a request, None where there is nothing; the API's routes have theirs beside them."""
    for rule in PATHS:
        if rule.fits(path, method):
            return rule
    if path.startswith(_API):
        first = path[1:].partition("/")[0]
        return PathRule(path, SIGNED_IN, "the API") if f"/{first}" in _API else None
    return _PAGES if "/" not in path[1:] and method in _READING else None


def is_open(path: str, method: str) -> bool:
    """Return whether nobody needs to sign in for a request."""
    return any(rule.rule.everybody and rule.fits(path, method) for rule in PATHS)
