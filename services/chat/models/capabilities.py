"""What a chat server takes: learnt from its refusals, once for each server and model, kept over restarts.

Servers that speak OpenAI's protocol understand different parts of it. A refusal that names a part, or a bad request
that names none, is tried again without it; what worked is remembered until the address changes or somebody asks for it
to be forgotten.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from services.chat.models.errors import ServerError, is_context_error, is_filtered, message_of, unsupported
from services.chat.options import FORM, SAMPLING
from services.core.i18n import _
from services.core.preferences import Preferences

PREFERENCE_KEY = "chat server capabilities"
STREAM, USAGE, SYSTEM = "stream", "stream_options", "system role"
NEW_LIMIT, OLD_LIMIT = "max_completion_tokens", "max_tokens"
# In the order in which they are tried without, when a server does not say what it minds: the rarest first.
_UNNAMED = (USAGE, NEW_LIMIT, SYSTEM, STREAM, *SAMPLING, "stop", "parallel_tool_calls")
_OTHER_REASONS = {401, 403, 404, 408, 409, 413, 429}  # statuses that have nothing to do with parts of the request
_PLAIN_REFUSALS = {400, 422, 501}
_REFUSAL_WORDS = re.compile(
    r"support|unexpected|unrecogni|unknown|not permitted|not allowed|extra (?:fields|inputs)|invalid|jinja|alternate"
)
_MAX_SERVERS = 20
_FUTILE_SECONDS = 60.0

_PATTERNS = {
    USAGE: r"stream_options|include_usage",
    STREAM: r"\bstream(?:ing|ed)?\b",
    SYSTEM: r"\broles?\b|\bsystem (?:message|prompt|instruction)",
    NEW_LIMIT: r"\bmax_completion_tokens\b",
    OLD_LIMIT: r"\bmax_tokens\b",
    "response_format": r"\bresponse_format\b|\bjson_schema\b|\bjson_object\b|structured output",
    "tools": r"\btools?\b|function call",
    "tool_choice": r"\btool_choice\b|tool choice",
}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The parts of the protocol that a server refused, and whether it has answered at all; `at`: seconds since 1970."""

    refused: frozenset[str] = frozenset()
    known: bool = False
    at: float = 0.0

    def takes(self) -> tuple[str, ...]:
        """Return what the server takes of the parts that every question uses, empty before its first answer."""
        if not self.known:
            return ()
        limit = NEW_LIMIT if NEW_LIMIT not in self.refused else OLD_LIMIT
        gone = self.refused | ({USAGE} if STREAM in self.refused else set())
        return tuple(part for part in (STREAM, USAGE, SYSTEM, limit) if part not in gone)

    def refuses(self) -> tuple[str, ...]:
        """Return what the server refused."""
        return tuple(sorted(self.refused))


class CapabilityStore:
    """Keeps what was learnt in the preferences. Thread-safe."""

    def __init__(self, preferences: Preferences) -> None:
        self._preferences = preferences
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Capabilities] | None = None
        self._futile: dict[tuple[str, str], float] = {}
        preferences.on_changed(PREFERENCE_KEY, self._reload)

    def get(self, url: str, model: str) -> Capabilities:
        """Return what is known about a model on a server."""
        with self._lock:
            return self._load().get((url, model), Capabilities())

    def learn(self, url: str, model: str, refused: frozenset[str]) -> None:
        """Remember that a request without the `refused` parts was answered."""
        with self._lock:
            known = self._load()
            old = known.get((url, model))
            if old is not None and old.refused == refused:
                return
            known.pop((url, model), None)
            known[url, model] = Capabilities(refused, known=True, at=time.time())
            while len(known) > _MAX_SERVERS:
                del known[next(iter(known))]
            self._save(known)

    def forget(self, url: str) -> None:
        """Forget what was learnt about the models of a server."""
        self._keep(lambda at: at != url)

    def keep_only(self, url: str) -> None:
        """Forget all other servers: another address was chosen."""
        self._keep(lambda at: at == url)

    def mark_futile(self, url: str, model: str) -> None:
        """Remember for a minute that leaving parts out did not help: the questions are refused for another reason."""
        with self._lock:
            self._futile[url, model] = time.monotonic() + _FUTILE_SECONDS

    def is_futile(self, url: str, model: str) -> bool:
        """Return whether leaving out parts that the server does not name is not worth a try now."""
        with self._lock:
            return self._futile.get((url, model), 0.0) > time.monotonic()

    def _reload(self) -> None:
        with self._lock:
            self._known = None

    def _keep(self, wanted: Any) -> None:
        with self._lock:
            kept = {key: value for key, value in self._load().items() if wanted(key[0])}
            self._futile.clear()
            if kept != self._known:
                self._save(kept)

    def _load(self) -> dict[tuple[str, str], Capabilities]:
        if self._known is None:
            stored = (self._preferences.get(PREFERENCE_KEY) or {}).get("servers", [])
            self._known = {
                (one["url"], one["model"]): Capabilities(frozenset(one["refused"]), known=True, at=one["at"])
                for one in stored
            }
        return self._known

    def _save(self, known: dict[tuple[str, str], Capabilities]) -> None:
        self._known = known
        stored = [
            {"url": url, "model": model, "refused": sorted(found.refused), "at": found.at}
            for (url, model), found in known.items()
        ]
        self._preferences.set(PREFERENCE_KEY, {"servers": stored})


class Negotiation:
    """The search for a request that a server takes: `refused` is what to leave out of the next one."""

    def __init__(self, store: CapabilityStore, url: str, model: str) -> None:
        """Begin with what is known about the model."""
        self.refused = store.get(url, model).refused
        self.first_error: ServerError | None = None
        self._store, self._url, self._model = store, url, model
        self._trials: Iterator[frozenset[str]] | None = None

    def continue_after(self, error: ServerError, sent: frozenset[str]) -> bool:
        """Return whether to try again, with other parts left out, after a request that had the parts `sent`.

        Raises:
            BadInputError: the server refuses what gives the answer its form.
        """
        self.first_error = self.first_error or error
        if error.status_code in _OTHER_REASONS or is_context_error(error) or is_filtered(error):
            return False
        parts = _named(error, sent)
        if parts:
            _check_form(parts, error)
            self.refused |= set(parts)
            return True
        if error.status_code not in _PLAIN_REFUSALS:
            return False
        if self._trials is None:
            parts = [part for part in _UNNAMED if part in sent]
            if not parts or self._store.is_futile(self._url, self._model):
                return False
            self._trials = _attempts(parts, self.refused)
        following = next(self._trials, None)
        if following is None:
            self._store.mark_futile(self._url, self._model)
            return False
        self.refused = following
        return True


def _check_form(parts: list[str], error: ServerError) -> None:
    for part in parts:
        if part in FORM:
            said = " ".join((message_of(error.body) or str(error)).replace("<", "‹").split())[:200]
            raise unsupported(part, _("the chat server refuses it ({reply}).").format(reply=said)) from error


def _named(error: ServerError, sent: frozenset[str]) -> list[str]:
    """Return the parts of a request that a refusal names."""
    text = _complaint(error)
    if error.status_code not in _PLAIN_REFUSALS and not _REFUSAL_WORDS.search(text):
        return []  # a failure whose words happen to name a part: "upstream closed the stream"
    named = [part for part in sorted(sent) if re.search(_PATTERNS.get(part, rf"\b{re.escape(part)}\b"), text)]
    if USAGE in named and STREAM in named:
        named.remove(STREAM)  # "stream_options is only allowed when stream is set"
    if "tool_choice" in named and "tools" in named:
        named.remove("tools")
    return named


def _attempts(parts: list[str], refused: frozenset[str]) -> Iterator[frozenset[str]]:
    """Yield what to leave out in turn when the server does not say what it minds: each part alone, then all."""
    for part in parts:
        yield refused | {part}
    if len(parts) > 1:
        yield refused | set(parts)
        yield refused | set(parts) | {OLD_LIMIT}  # a server without any limit


def part_name(part: str) -> str:
    """Return the name of a part of the protocol for people."""
    return {
        STREAM: _("streaming"),
        USAGE: _("token counts while streaming"),
        SYSTEM: _("the system role"),
    }.get(part, part)


def _complaint(error: ServerError) -> str:
    """Return what the server complains about: its words without the request that some repeat in them."""
    return json.dumps(_without_input(error.body), ensure_ascii=False).lower() if error.body else str(error).lower()


def _without_input(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_input(each) for key, each in value.items() if key not in {"input", "ctx", "url"}}
    return [_without_input(each) for each in value] if isinstance(value, list) else value
