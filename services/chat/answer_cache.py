"""The answer cache: answers to the same question, from the same documents, by the same model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from services.chat import prompt
from services.chat.history_window import Turn
from services.chat.options import DEFAULT_OPTIONS, AnswerOptions
from services.chat.types import BackendChoice, Citation, Message
from services.core.actor import Actor
from services.core.cache import ByteCache, cache_key, normalised_text
from services.core.errors import MillpondError

FORMAT_VERSION = 2  # of what is kept, and of how answers come about


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """The cache key of an answer, and the library version that it is valid for."""

    key: str
    stamp: str


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """A cached answer: its text, its citations, the passages retrieved for it, the model that wrote it."""

    text: str
    citations: tuple[Citation, ...]
    retrieved: tuple[Citation, ...]
    relevant: bool
    model: str
    corrections: tuple[tuple[str, str], ...] = ()


class AnswerCache:
    """Caches answers by everything that they depend on.

    `stamp` returns the version of documents, retrieval settings and embedding model, None while they change; then
    nothing is looked up or stored. Any change to a document changes it, so a cached answer never cites a document that
    was deleted or disabled.
    """

    def __init__(self, cache: ByteCache, stamp: Callable[[], str | None], choice: Callable[[], BackendChoice]) -> None:
        self._cache = cache
        self._stamp = stamp
        self._choice = choice

    def key_for(
        self,
        actor: Actor,
        question: str,
        turns: Sequence[Turn],
        collection_ids: Sequence[int],
        options: AnswerOptions = DEFAULT_OPTIONS,
    ) -> AnswerKey | None:
        """Return the key of the answer to a question of `actor`, None if it cannot be cached now.

        What may be read is part of it: whose rights change gets none of the answers from before.
        """
        if not self._cache.enabled or not options.cacheable:
            return None
        stamp = self._stamp()
        if stamp is None:
            return None
        history = [(turn.question, turn.answer) for turn in turns]
        try:
            choice = asdict(replace(self._choice(), api_key=""))
        except MillpondError:
            return None  # the model call reports the error
        asked = (normalised_text(question), history, *actor.cache_scope(collection_ids), options.cache_key())
        key = cache_key(FORMAT_VERSION, prompt.RULES, *asked, choice, stamp)
        return AnswerKey(key, stamp)

    def get(self, key: AnswerKey) -> CachedAnswer | None:
        """Return the cached answer, or None."""
        data = self._cache.get(key.key)
        return None if data is None else _decode(data)

    def put(self, key: AnswerKey, message: Message, retrieved: Sequence[Citation], *, relevant: bool) -> None:
        """Cache an answer, unless the documents have changed since its key was made."""
        if self._stamp() != key.stamp:
            return
        document = {
            "text": message.text,
            "citations": [asdict(citation) for citation in message.citations],
            "retrieved": [asdict(citation) for citation in retrieved],
            "relevant": relevant,
            "model": message.model,
            "corrections": message.corrections,
        }
        self._cache.put(key.key, json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())


def _decode(data: bytes) -> CachedAnswer | None:
    """Return what `put` encoded; None for anything else."""
    try:
        document = json.loads(data)
        return CachedAnswer(
            str(document["text"]),
            tuple(map(_citation, document["citations"])),
            tuple(map(_citation, document["retrieved"])),
            bool(document["relevant"]),
            str(document["model"]),
            tuple((typed, read) for typed, read in document["corrections"]),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _citation(fields: dict[str, Any]) -> Citation:
    return Citation(**{**fields, "heading": tuple(fields["heading"])})
