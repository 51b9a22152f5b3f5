"""Finds the chunk that contains a quotation, also after a document was chunked anew."""

from __future__ import annotations

import unicodedata

from services.knowledge.store.contents import ContentStore
from services.knowledge.types import Chunk

# A chunk that contains less of the quotation than this is not the place.
_LEAST_SHARE = 0.5


def locate(contents: ContentStore, document_id: int, quote: str) -> Chunk | None:
    """Return the chunk with `quote`, else the one that shares most of its runs of four characters, else None."""
    wanted = quote.strip()
    if not wanted:
        return None
    exact = contents.containing(document_id, wanted)
    if exact is not None:
        return exact
    plain = _plain(wanted)
    runs = _runs(plain)
    best: Chunk | None = None
    best_share = _LEAST_SHARE
    for chunk in contents.each_chunk(document_id):
        text = _plain(chunk.text)
        if plain in text:
            return chunk
        share = len(runs & _runs(text)) / len(runs) if runs else 0.0
        if share > best_share:
            best, best_share = chunk, share
    return best


def _plain(text: str) -> str:
    """Return the letters and digits of a text, so that white space and punctuation make no difference."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def _runs(text: str) -> set[str]:
    return {text[i : i + 4] for i in range(max(len(text) - 3, 1))} if text else set()
