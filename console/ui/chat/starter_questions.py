"""Questions to begin with, made of the headings and names of the newest documents: no model is asked for them.

A question is in the language of what it asks for, as far as its script says that, else in the reader's.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import PurePath

from console.ui.shared.formatting import plain
from services.core.i18n import _, language, speaking
from services.core.languages import ENGLISH, SIMPLIFIED, SPACELESS
from services.knowledge.types import DocumentTopics

_NUMBERING = re.compile(
    r"(?:第\s*[一二三四五六七八九十百零\d]+\s*[章节節条條部分篇]+|\d{1,2}(?:\.\d{1,2})*[.、)）]?(?=\s)"
    r"|[（(]?(?:\d{1,2}(?:\.\d{1,2})*|[一二三四五六七八九十]+|[IVXivx]+|[A-Za-z])[）).、．:：](?!\d)"
    r"|(?:chapter|section|part|article)\s+(?:\d+|[IVX]+)\b)[\s.:：、–-]*",
    re.IGNORECASE,
)
# Headings that say nothing of what stands below them, folded.
_EMPTY_WORDS = frozenset(
    re.findall(
        r"[^,\s][^,]*",
        "introduction, overview, contents, table of contents, summary, abstract, preface, foreword, appendix, "
        "references, index, general, notes, 目录, 目錄, 概述, 概览, 前言, 引言, 简介, 簡介, 介绍, 介紹, 摘要, "
        "总结, 總結, 附录, 附錄, 参考文献, 參考文獻",
    )
)
_LENGTHS = 3, 60  # characters; of Chinese from 2
_SHORTEST_HAN = 2


def starter_questions(topics: Sequence[DocumentTopics], most: int) -> list[str]:
    """Return at most so many questions, in turn from each document; none where there are no documents."""
    turns = zip_longest(*(_questions(each) for each in topics))
    questions = dict.fromkeys(question for turn in turns for question in turn if question)
    return [*questions][:most]


def _questions(document: DocumentTopics) -> list[str]:
    """Return the questions about a document: about its parts, for one without headings about the whole."""
    inner = [path[-1] for path in document.headings if len(path) > 1]
    found = [topic for heading in inner or [path[-1] for path in document.headings] if (topic := _topic(heading))]
    return [_about(topic) for topic in found] or [_summary(PurePath(plain(document.name)).stem)]


def _about(topic: str) -> str:
    if topic.endswith(("?", "？")):
        return topic
    with speaking(_language_of(topic)):
        return _("Tell me about “{topic}”.").format(topic=topic)


def _summary(name: str) -> str:
    with speaking(_language_of(name)):
        return _("Summarise the document “{name}”.").format(name=name)


def _topic(heading: str) -> str:
    """Return what a heading names, without its number; "" if that is nothing to ask for."""
    heading = plain(heading)
    number = _NUMBERING.match(heading)
    topic = heading[number.end() if number else 0 :].strip(" .:：。、*#_-–—")
    shortest, longest = _LENGTHS
    letters = sum(character.isalpha() for character in topic)
    fits = len(topic) <= longest and letters >= (_SHORTEST_HAN if _has("CJK", topic) else shortest)
    return topic if fits and topic.casefold() not in _EMPTY_WORDS else ""


def _language_of(text: str) -> str:
    """Return the language to ask in for what is called `text`."""
    reader = language()
    if _has("HIRAGANA", text) or _has("KATAKANA", text):
        return reader
    if _has("CJK", text):
        return reader if reader in SPACELESS else SIMPLIFIED
    return ENGLISH if reader in SPACELESS and _has("LATIN", text) else reader


def _has(script: str, text: str) -> bool:
    return any(unicodedata.name(character, "").startswith(script) for character in text)
