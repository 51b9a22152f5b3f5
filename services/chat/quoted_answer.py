"""Answers that quote, for when no language model writes them: their text, their citations, and what they cannot do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from services.chat.citations import make_citation, neutralize_marks
from services.chat.source_headings import mark_headings
from services.chat.types import Citation, Passage, Quotation, Quotations
from services.core.i18n import _, gap, joined, listed, plural, speaking
from services.core.languages import LANGUAGES

QUOTE_COUNT = 3
_MOST_LABEL = 80  # characters


@dataclass(frozen=True, slots=True)
class QuotedAnswer:
    """The text of an answer, its citations, and the passages that they cite, by number."""

    text: str
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]


def quoted_answer(found: Quotations, reason: str = "") -> QuotedAnswer | None:
    """Return the answer that quotes what was found, None if that is nothing; `reason` is why no model answers."""
    if not found.quotes:
        return _place(found, reason)
    order = list(dict.fromkeys(quote.hit for quote in found.quotes))
    first_words = {quote.hit: quote.text for quote in reversed(found.quotes)}
    citations = tuple(make_citation(i, found.hits[hit], first_words[hit]) for i, hit in enumerate(order, start=1))
    blocks = [_block(found, quote, order.index(quote.hit) + 1) for quote in found.quotes]
    text = "\n\n".join([*blocks, _hint(found, reason)])
    return QuotedAnswer(text, citations, tuple(found.hits[hit] for hit in order))


def nothing_found(found: Quotations) -> str:
    """Return the answer to a question that the documents do not answer."""
    if found.kind == "summary":
        return _(
            "Which document is to be summarised? Ask again with its name, or choose a collection that has only it."
        )
    return (
        _("Nothing relevant to this question was found in the documents.")
        + " "
        + _("Try other words, or add documents that deal with it.")
    )


def _block(found: Quotations, quote: Quotation, number: int) -> str:
    """Return one quote with its mark: sentences in quotation marks, code, tables and lists in lines of their own."""
    shown = quote.shown or " ".join(quote.text.split())
    label = quote.label if len(quote.label) <= _MOST_LABEL else ""
    label = mark_headings(f"{neutralize_marks(label.rstrip(':：'))}: ") if label else ""
    also = neutralize_marks(_also(found, quote))
    if "\n" not in shown:
        return f"{label}“{neutralize_marks(shown)}”{also} [{number}]"
    lead = f"{label.rstrip()}\n\n" if label else ""
    last = shown.rsplit("\n", 1)[-1]
    if last.startswith("```"):
        return f"{lead}{shown}\n\n{also.strip()} [{number}]".replace("\n\n [", "\n\n[")
    shown = mark_headings(neutralize_marks(shown))
    if last.startswith("|"):
        return f"{lead}{shown}\n\n{also.strip()} [{number}]".replace("\n\n [", "\n\n[")
    return f"{lead}{shown}{also} [{number}]"


def _also(found: Quotations, quote: Quotation) -> str:
    """Return the names of further documents that have the same words."""
    cited = found.hits[quote.hit].document_id
    names = dict.fromkeys(found.hits[hit].document for hit in quote.also if found.hits[hit].document_id != cited)
    return gap() + _("(also in {documents})").format(documents=listed(names)) if names else ""


def _place(found: Quotations, reason: str) -> QuotedAnswer | None:
    """Return an answer that names the closest place, None where there is none."""
    if not found.hits:
        return None
    hit = found.hits[0]
    text = _("No sentence of the documents answers this by itself. The closest place is {place} [1].").format(
        place=_place_name(hit)
    )
    return QuotedAnswer(f"{text}\n\n{_connect(reason)}", (make_citation(1, hit),), (hit,))


def _place_name(hit: Passage) -> str:
    if hit.page is not None:
        return _("page {page} of “{document}”").format(page=hit.page, document=neutralize_marks(hit.document))
    if hit.sheet:
        return _("sheet “{sheet}” of “{document}”").format(sheet=hit.sheet, document=neutralize_marks(hit.document))
    if hit.heading:
        return _("“{heading}” in “{document}”").format(
            heading=neutralize_marks(hit.heading[-1]), document=neutralize_marks(hit.document)
        )
    return _("in “{document}”").format(document=neutralize_marks(hit.document))


def _hint(found: Quotations, reason: str) -> str:
    """Return what the quotes are and what they are not, for the kind of question."""
    document = found.document
    if found.kind == "summary":
        limit = _("These are main sentences of “{document}” in their order. A summary needs a language model.").format(
            document=document
        )
    elif found.kind == "listing":
        limit = plural(
            "{count} entry of “{document}” is quoted; there may be more.",
            "{count} entries of “{document}” are quoted in their order; there may be more.",
            found.entries,
            document=document,
        )
        if not found.complete:
            limit += gap() + _("Not all that were found are shown: open the document for the rest.")
    elif found.kind == "comparison":
        limit = _("What is said of each is quoted. To weigh them up needs a language model.")
    elif found.kind == "decision":
        limit = _("This is quoted, not judged. A plain yes or no needs a language model.")
    elif found.kind == "calculation":
        limit = _("This is quoted; nothing was counted or calculated. That needs a language model.")
    elif reason:
        return _("These sentences are quoted, because no language model is available. {why}").format(why=reason)
    else:
        return _unconnected()[0]
    return joined((limit, _connect(reason)))


def _connect(reason: str) -> str:
    """Return why no model answers, and what to do."""
    if reason:
        return _("No language model is available. {why}").format(why=reason)
    return _unconnected()[1]


def _unconnected() -> tuple[str, str]:
    """Return what answers say where no model is chosen: of sentences that were quoted, and after other words."""
    return (
        _("No language model is connected, so these sentences are quoted. Connect one under Settings."),
        _("No language model is connected: connect one under Settings."),
    )


@cache
def _unconnected_endings() -> tuple[str, ...]:
    endings: list[str] = []
    for name in LANGUAGES:
        with speaking(name):
            endings += map(str.__str__, _unconnected())
    return tuple(endings)


def without_hint(text: str) -> str:
    """Return the text of an answer without saying at its end, in any language, that no model is connected.

    For where that is said once beside all answers; it may have been written long ago.
    """
    for ending in _unconnected_endings():
        if text.endswith(ending):
            return text.removesuffix(ending).rstrip()
    return text
