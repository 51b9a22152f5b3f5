"""Follow-up questions: what to search for when a question leans on the one before it.

A question that names its subject is searched as it is. One that has little more than a pronoun ("and when did they
open it?", "它多少钱？") is searched together with the question before it. Nothing else is: a question about something
new that the documents do not answer must not be answered with passages on the old subject.
"""

from __future__ import annotations

import re

from services.chat.wording import is_unspaced

_WORD = re.compile(r"[^\W_]+")
_POINTERS = frozenset(
    _WORD.findall("it its they them their he him his she her this that these those one ones there then so same")
)
_STARTS = ("and ", "but ", "or ", "what about", "how about", "why?", "why not", "what else", "when?", "where?", "who?")
_FUNCTION_WORDS = _POINTERS | frozenset(
    _WORD.findall(
        "a an the and or but of in on at to for from by with as is are was were be been do does did has have had "
        "can could will would should may what when where which who whom whose why how much many long often about "
        "else also not no i you we me my your our please tell more explain"
    )
)
_UNSPACED_POINTERS = re.compile("[它他她其]|这|那|呢|该|上述|前者|后者|それ|これ|その|この")
MOST_CONTENT_WORDS = 2
MOST_UNSPACED_CHARACTERS = 12


def leans(question: str) -> bool:
    """Return whether `question` can hardly be searched without the one before it."""
    text = question.strip().lower()
    if any(is_unspaced(c) for c in text):
        return len(text) <= MOST_UNSPACED_CHARACTERS and _UNSPACED_POINTERS.search(text) is not None
    words = _WORD.findall(text)
    content = [word for word in words if word not in _FUNCTION_WORDS]
    points = any(word in _POINTERS for word in words) or text.startswith(_STARTS)
    return not content or (points and len(content) <= MOST_CONTENT_WORDS)


def joined(previous: str, question: str) -> str:
    """Return the query for a question that leans on `previous`."""
    return f"{previous.strip()} {question.strip()}"
