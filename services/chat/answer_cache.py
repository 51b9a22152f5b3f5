"""Answers that were given before: to the same question, from the same documents, by the same model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from services.chat import prompt
from services.chat.history_window import Turn
from services.chat.types import BackendChoice, Citation, Message
from services.core.cache import ByteCache, cache_key, normalised_text
from services.core.errors import MillpondError

FORMAT = 1  # of what is kept, and of how answers come about


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """Where an answer belongs in the cache, and the state of the library that it is right for."""

    key: str
    stamp: str


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer given before: its text, what it cites, the passages that were found for it, the model."""

    text: str
    citations: tuple[Citation, ...]
    retrieved: tuple[Citation, ...]
    relevant: bool
    model: str


class AnswerCache:
    """Answers by everything that they depend on.

    `stamp` stands for the documents, the settings of retrieval and the embedding model; it returns None while they
    change, and then nothing is looked up or kept. A change to any document changes it, so that a cached answer never
    cites a document that is gone or switched off.
    """

    def __init__(self, cache: ByteCache, stamp: Callable[[], str | None], choice: Callable[[], BackendChoice]) -> None:
        self._cache = cache
        self._stamp = stamp
        self._choice = choice

    def place(self, question: str, turns: Sequence[Turn], collection_ids: Sequence[int]) -> AnswerKey | None:
        """Return where the answer to a question belongs now, None where it cannot be kept."""
        if not self._cache.enabled:
            return None
        stamp = self._stamp()
        if stamp is None:
            return None
        said = [(turn.question, turn.answer) for turn in turns]
        try:
            choice = asdict(replace(self._choice(), api_key=""))
        except MillpondError:
            return None  # told when the model is asked, if it comes to that
        key = cache_key(FORMAT, prompt.RULES, normalised_text(question), said, sorted(collection_ids), choice, stamp)
        return AnswerKey(key, stamp)

    def get(self, place: AnswerKey) -> CachedAnswer | None:
        """Return the answer that was given before."""
        found = self._cache.get(place.key)
        return None if found is None else _read(found)

    def put(self, place: AnswerKey, message: Message, retrieved: Sequence[Citation], *, relevant: bool) -> None:
        """Keep an answer, unless the documents have changed since it was begun."""
        if self._stamp() != place.stamp:
            return
        document = {
            "text": message.text,
            "citations": [asdict(citation) for citation in message.citations],
            "retrieved": [asdict(citation) for citation in retrieved],
            "relevant": relevant,
            "model": message.model,
        }
        self._cache.put(place.key, json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())


def _read(found: bytes) -> CachedAnswer | None:
    """Return what `put` has written; None where somebody else wrote something."""
    try:
        document = json.loads(found)
        return CachedAnswer(
            str(document["text"]),
            tuple(map(_citation, document["citations"])),
            tuple(map(_citation, document["retrieved"])),
            bool(document["relevant"]),
            str(document["model"]),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _citation(fields: dict[str, Any]) -> Citation:
    return Citation(**{**fields, "heading": tuple(fields["heading"])})
