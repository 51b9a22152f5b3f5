"""The paragraphs of the report; what stands in braces is filled in."""

from __future__ import annotations

_WORK = """
The questions go to {conversations} conversations in English and Chinese, half of them stored by Millpond (asked through
`/api/conversations`), half kept by a client of `/v1/chat/completions`, about {documents} documents with {facts} facts
each; {correct:.1%} of the whole answers name the figure that was asked for. {repeated:.0%} of the questions are planned
to repeat an earlier one word by word, {hung_up:.0%} of the askers hang up in the middle, {replaced:.0%} of the uploads
are a new version of an earlier file; uploads are text, Markdown, CSV, Word and PDF (some with a picture of {picture:g}
MB). Sessions are web sockets that do what a page does; half of them vanish without a word. {tabs} Chromium tabs with
the memory page's live charts were open all the time and drew {charts} times. The chat model of the model questions:
{model}.
"""
_FLOORS = """
After each of {blocks} blocks the service comes to rest, then {tools}; the lowest RSS of the next seconds is the floor.
The first {warm_up:.0%} of the floors are the warm-up (set before any run); the floors at the ends are medians of
{ends}.
"""
_BASELINE = """
Written for this comparison as the articles describe the bad practice (`tests/soak/baseline/`): a conversation history
without limit, all text in RAM (langchain-community's FAISS with its InMemoryDocstore), the index saved and loaded again
at every change, an embedding model made for every request, a chat model loaded for every question to it, uploads and an
index of its own kept for each session, parsing in the process itself, no limit on how much happens at once. The same
documents, questions, uploads and sessions, the same embedding model, the same four askers; it has no pages, which is in
its favour. Nothing is extrapolated: its peak is that of the work it managed. Peaks count child processes with what they
have for themselves.
"""
_BUDGET = """
`MILLPOND_MEMORY_LIMIT_MB` is the RSS when ready ({ready:.0f} MB) + {headroom} MiB; then large uploads, long questions
to {model} and browser sessions with uploads come all at once for {minutes:.1f} minutes. With the budget off the same
work took the process to {free:,.0f} MB. Answers by status: {statuses}.
"""


def _joined(text: str) -> str:
    return " ".join(text.split())


WORK, FLOORS, BASELINE, BUDGET = _joined(_WORK), _joined(_FLOORS), _joined(_BASELINE), _joined(_BUDGET)
