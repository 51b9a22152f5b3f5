"""Extractive answers without a language model: what answers best in the hits, quoted verbatim with what it needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from services.knowledge.retrieval.answer_types import answer_form, asks_how
from services.knowledge.retrieval.relation import QuestionRelation, QuestionWords, Shared, stem_of, union
from services.knowledge.retrieval.statements import Statement, shown, statements
from services.knowledge.text.layout import LayoutBlock, LayoutKind
from services.knowledge.text.lines import value_of
from services.knowledge.text.terms import located_terms, terms
from services.knowledge.types import Quote

# A statement's score is its coverage of the question plus twice the score of its passage.
_PASSAGE_WEIGHT = 2.0
# The best statements by coverage are also compared with the question by cosine. Ten of them, or twice the weight,
# found no more answers on XQuAD; each costs the embedding of a sentence.
_RERANKED = 6
_COSINE_WEIGHT = 1.5
# Least evidence of the best statement itself, in words and by meaning, and what its meaning counts there; with less,
# only its place is worth naming. What a cosine is worth decides here, and the cosine itself which statement is best:
# that quoted more of the answers on XQuAD.
_LEAST_OWN = 0.125
_LEAST_OWN_BY_MEANING = 0.1875
_MEANING_WEIGHT = 0.5
# What a statement gains that has the form of the answer: a number for "how many", steps for "how do I".
_FORM_BONUS = 0.15
# A title names a subject and states nothing about it: its coverage counts half.
_TITLE_WEIGHT = 0.5
# What the title above a statement and its document's name add to its coverage.
_ABOUT_WEIGHT = 0.7
# Least shares of the best statement's score, its own evidence and its passage's score for further sentences of its
# paragraph, and for quotes from elsewhere.
_BESIDE = (0.5, 0.3, 0.5)
_ELSEWHERE = (0.88, 0.8, 0.8)
# Least share of its own evidence for a quote from a passage that is quoted already.
_SAME_PASSAGE = 0.95
_MOST_SENTENCES = 3
# Rows, items or values of one block that answer as well as the best one.
_EQUAL = 0.97
_MOST_EQUAL = 6
# A list or table is quoted whole where no part of it covers so much more of the question than its title and lead-in.
_PART_GAIN = 0.12
# "2", "2.1", "IV." or "(b)" before a title, and its marks in Markdown.
_NUMBERING = re.compile(r"^[#\s]*(?:[(（]?(?:\d+(?:\.\d+)*|[ivxlc]+|[a-z])[.):、）]?\s+)?", re.IGNORECASE)
_EMBEDDED_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class RankedPassage:
    """A hit's text, its fused score, the path of headings above it, and its document's name."""

    text: str
    score: float
    headings: tuple[str, ...] = ()
    document: str = ""


@dataclass(slots=True, eq=False)
class _Candidate:
    """A statement with its own evidence for the question (`own`) and the score of its passage."""

    hit: int
    statement: Statement
    own: float
    passage: float
    gain: float = 0.0  # coverage beyond its context and title
    shared: Shared = field(default_factory=dict)
    also: set[int] = field(default_factory=set)
    surplus: float = 0.0  # what its cosine adds to `own` beyond what it is worth as evidence

    @property
    def block(self) -> LayoutBlock:
        return self.statement.block

    @property
    def score(self) -> float:
        return self.own + _PASSAGE_WEIGHT * self.passage

    @property
    def evidence(self) -> float:
        """As `own`, with what the cosine is worth in place of the cosine."""
        return self.own - self.surplus

    def is_close_to(self, best: _Candidate) -> bool:
        score, own, passage = _BESIDE
        return (
            self.score >= score * best.score and self.own >= own * best.own and self.passage >= passage * best.passage
        )


def quote(
    question: str,
    located: Sequence[tuple[str, range]],
    idf: Mapping[str, float],
    passages: Sequence[RankedPassage],
    limit: int,
    *,
    trust: float = 0.0,
    embed: Callable[[Sequence[str]], Sequence[NDArray[np.float32]]] | None = None,
    worth: Callable[[float, str], float] | None = None,
) -> list[Quote]:
    """Return at most `limit` quotes from `passages`, best first; fewer where the others score much lower.

    Args:
        question: the question.
        located: its terms with their places (`terms.located_terms`).
        idf: inverse document frequency of each term.
        passages: the hits, best first.
        limit: most quotes in all.
        trust: how well `embed` knows the question's language, 0 to 1.
        embed: texts to normalised vectors, each (d,); left out, sentences are not compared by meaning.
        worth: what a cosine between the question and a statement says, 0 to 1 (`dense_worth`); left out, the cosine.
    """
    words = QuestionWords(located, idf)
    best = sorted(_candidates(words, passages), key=lambda one: -one.score)
    highest = 1 + _PASSAGE_WEIGHT
    if embed is not None and trust > 0 and len(best) > 1:
        asked, *stated = embed([question, *(_words(candidate.statement) for candidate in best[:_RERANKED])])
        for candidate, vector in zip(best, stated, strict=False):
            cosine = max(float(vector @ asked), 0.0)
            meaning = worth(cosine, candidate.statement.text) if worth is not None else cosine
            share = trust * _share(candidate.statement)
            candidate.own += _COSINE_WEIGHT * share * cosine
            candidate.surplus = share * (_COSINE_WEIGHT * cosine - _MEANING_WEIGHT * meaning)
        best[:_RERANKED] = sorted(best[:_RERANKED], key=lambda one: -one.score)
        highest += _COSINE_WEIGHT * trust
    form, steps = answer_form(question), asks_how(question)
    for candidate in best:
        if (form and form.search(candidate.statement.text)) or (steps and _is_procedure(candidate.statement)):
            candidate.own += _FORM_BONUS * _share(candidate.statement)
    best.sort(key=lambda one: -one.score)
    least = _LEAST_OWN + _LEAST_OWN_BY_MEANING * (trust if embed is not None else 0.0)
    if best and best[0].evidence < least:
        return []
    quotes: list[Quote] = []
    chosen: list[_Selection] = []
    for candidate in best:
        if len(quotes) >= limit:
            break
        if not chosen or (
            all(candidate.block is not one.candidate.block for one in chosen) and _answers_too(candidate, chosen)
        ):
            chosen.append(_select(candidate, best, words))
            quotes.append(_quote(chosen[-1], candidate.score / highest))
    return quotes


@dataclass(frozen=True, slots=True)
class _Selection:
    """A statement that is quoted, with the places of all parts of its block that are, and their evidence together."""

    candidate: _Candidate
    places: tuple[int, ...]
    evidence: float


def _answers_too(candidate: _Candidate, chosen: Sequence[_Selection]) -> bool:
    """Return whether a statement from elsewhere answers as well as the best one."""
    if candidate.statement.kind is LayoutKind.TITLE:
        return False
    best = chosen[0]
    score, own, passage = _ELSEWHERE
    if any(candidate.hit == one.candidate.hit for one in chosen):
        own = _SAME_PASSAGE
    return (
        candidate.score >= score * best.candidate.score
        and candidate.evidence >= own * best.evidence
        and candidate.passage >= passage * best.candidate.passage
    )


def _select(candidate: _Candidate, ranked: Iterable[_Candidate], words: QuestionWords) -> _Selection:
    """Return a statement with further parts of its block that answer, too."""
    statement = candidate.statement
    places = set(range(statement.first, statement.last + 1))
    beside = [one for one in ranked if one.block is candidate.block and one is not candidate]
    covered = candidate.shared
    if statement.kind is LayoutKind.PROSE:
        for one in beside:
            wider = places | set(range(one.statement.first, one.statement.last + 1))
            if len(wider) <= _MOST_SENTENCES and one.is_close_to(candidate):
                places, covered = wider, union(covered, one.shared)
    elif not statement.whole:
        equal = [one for one in beside if not one.statement.whole and one.score >= _EQUAL * candidate.score]
        if len(equal) < _MOST_EQUAL:
            places.update(one.statement.first for one in equal)
    evidence = candidate.evidence + words.coverage(covered) - words.coverage(candidate.shared)
    return _Selection(candidate, tuple(sorted(places)), evidence)


def _quote(selection: _Selection, score: float) -> Quote:
    candidate, statement = selection.candidate, selection.candidate.statement
    text = statement.block.parts[statement.first] if statement.whole else statement.text
    label = statement.title if statement.kind is LayoutKind.TABLE or _is_bare(candidate.block) else ""
    return Quote(
        candidate.hit,
        text,
        score,
        shown=shown(candidate.block, selection.places),
        label=label,
        also=tuple(sorted(candidate.also - {candidate.hit})),
    )


def _is_procedure(statement: Statement) -> bool:
    """Return whether a statement tells what to do: steps, or commands."""
    return statement.kind is LayoutKind.CODE or (statement.whole and statement.block.ordered)


def _is_bare(block: LayoutBlock) -> bool:
    """Return whether a block needs its title to be understood: it has no lead-in and is no running text."""
    return not block.lead and block.kind in {LayoutKind.LIST, LayoutKind.VALUES, LayoutKind.CODE}


def _candidates(question: QuestionWords, passages: Sequence[RankedPassage]) -> list[_Candidate]:
    """Return the statements that add words to the question; if none does, those that repeat it."""
    informative: dict[tuple[str, ...], _Candidate] = {}
    repeating: dict[tuple[str, ...], _Candidate] = {}
    for number, passage in enumerate(passages):
        stated = [
            (statement, words)
            for statement in statements(passage.text, passage.headings)
            if (words := tuple(terms(statement.text)))
        ]
        leads = {lead for statement, _words in stated for lead in (statement.context, statement.title) if lead}
        vocabulary = chain((words for _statement, words in stated), map(terms, leads))
        relation = QuestionRelation(question, stem_of(passage.document), vocabulary)
        for statement, words in stated:
            candidate = _candidate(relation, number, statement, words, passage)
            found = informative if _adds_words(statement, words, question.terms) else repeating
            # Chunks overlap: a statement in two of them is quoted from the better one.
            other = found.get(words)
            if other is None or other.score < candidate.score:
                found[words] = candidate
            if other is not None:
                found[words].also |= other.also | {other.hit, candidate.hit}
    return _whole_or_parts(list((informative or repeating).values()))


def _candidate(
    relation: QuestionRelation, hit: int, statement: Statement, words: Iterable[str], passage: RankedPassage
) -> _Candidate:
    context = relation.about(statement.context)
    # A whole list or table counts for what it is about, not for any word in it.
    stated = context
    if not (statement.whole and statement.kind in _PARTED):
        stated = union(context, relation.shared(words))
    about = union(relation.about(statement.title), relation.document)
    own = relation.coverage(stated)
    known = relation.coverage(union(stated, about))
    own = (own + (known - own) * _ABOUT_WEIGHT) * _share(statement)
    gain = known - relation.coverage(union(context, about))
    return _Candidate(hit, statement, own, passage.score, gain, stated)


_PARTED = frozenset({LayoutKind.LIST, LayoutKind.TABLE})


def _whole_or_parts(candidates: list[_Candidate]) -> list[_Candidate]:
    """Return candidates without the parts of lists and tables that are quoted whole, or without those as a whole."""
    gains: dict[int, float] = {}
    for one in candidates:
        if not one.statement.whole and one.statement.kind in _PARTED:
            gains[id(one.block)] = max(gains.get(id(one.block), 0.0), one.gain)
    return [
        one
        for one in candidates
        if one.statement.kind not in _PARTED
        or one.statement.whole == (gains.get(id(one.block), 0.0) < _PART_GAIN and _has_whole(one, candidates))
    ]


def _has_whole(candidate: _Candidate, candidates: Iterable[_Candidate]) -> bool:
    return candidate.statement.whole or any(one.statement.whole and one.block is candidate.block for one in candidates)


def _share(statement: Statement) -> float:
    return _TITLE_WEIGHT if statement.kind is LayoutKind.TITLE else 1.0


def _words(statement: Statement) -> str:
    """Return what is compared with the question by meaning."""
    about = statement.context or (statement.title if statement.kind is not LayoutKind.PROSE else "")
    return f"{about} {statement.text}".strip()[:_EMBEDDED_CHARACTERS]


def _adds_words(statement: Statement, words: Iterable[str], asked: AbstractSet[str]) -> bool:
    """Return whether a statement has a word, or a character of an unspaced script, that the terms `asked` do not cover.

    The numbering of headings does not count, nor do the name of a value, and a value that only repeats the title.
    """
    text = _NUMBERING.sub("", statement.text) if statement.kind is LayoutKind.TITLE else statement.text
    known = asked
    if statement.kind in _PARTED:
        text = f"{statement.context} {text}"  # that something is in a list is said of it
    elif statement.kind is LayoutKind.VALUES:
        text = value_of(text)
        known = asked | {*terms(statement.title)}
    elif any(word.isascii() and word.isalpha() and word not in known for word in words):
        return True
    located = located_terms(text)
    places = {place for _term, covered in located for place in covered}
    return bool(places - {place for term, covered in located if term in known for place in covered})
