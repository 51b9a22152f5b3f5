"""One question of a set, and how its answer is judged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Expect(StrEnum):
    """What a good answer is: the answer first; all of several; the best sentences and what is missing; nothing."""

    FIRST = "first"  # the first quoted block has the answer
    ALL = "all"  # all items are quoted, whatever the number of blocks
    PARTLY = "partly"  # the right document is quoted, and the answer says what needs a language model
    NOTHING = "nothing"  # the documents do not answer it


@dataclass(frozen=True)
class Asked:
    """A question. `answers` must be quoted; a further block is on the subject if it has one of `also` or `answers`."""

    text: str
    answers: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    expect: Expect = Expect.FIRST


@dataclass(frozen=True)
class Verdict:
    """Whether a question was answered, and the quoted blocks that have nothing to do with it."""

    answered: bool
    irrelevant: tuple[str, ...]


def blocks(answer: str) -> list[str]:
    """Return the quoted blocks of an answer: what stands before a citation at the end of a paragraph."""
    found: list[str] = []
    quoted = ""
    for paragraph in answer.split("\n\n"):
        quoted = f"{quoted}\n\n{paragraph}" if quoted else paragraph
        if re.search(r"\[\d+\]\s*$", paragraph):
            found.append(quoted)
            quoted = ""
    return found


def judge(asked: Asked, answer: str) -> Verdict:
    """Judge an answer that was written without a language model."""
    quoted = blocks(answer)
    if asked.expect is Expect.NOTHING:
        return Verdict(not quoted, tuple(quoted))
    wanted = [_letters(one) for one in asked.answers]
    texts = [_letters(block) for block in quoted]
    whole = " ".join(texts)
    if asked.expect is Expect.FIRST:
        answered = bool(texts) and all(one in texts[0] for one in wanted)
    else:
        answered = all(one in whole for one in wanted)
    if asked.expect is Expect.PARTLY:
        answered = answered and "language model" in answer
    fine = [*wanted, *(_letters(one) for one in asked.also)]
    further = quoted[1:] if answered and asked.expect is Expect.FIRST else quoted
    return Verdict(answered, tuple(block for block in further if not any(one in _letters(block) for one in fine)))


def _letters(text: str) -> str:
    return re.sub(r"[\s*`]+", "", text.casefold())
